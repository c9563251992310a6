"""Tables as LaTeX that goes into a paper as it is: `booktabs`, notes below the table, nothing wider than the text.

What is too wide or too high for one table is continued in another one. How wide a column becomes is estimated from its
characters; where that is too little, the table is made smaller by the rest. Widths are in digits of the font, heights
in lines.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, NamedTuple

from medseg.reporting.render.latex_text import BOLD, escape_latex, text_width, wrap
from medseg.reporting.render.table import Grid, Shown, Table

Row = tuple[Shown, ...]


class Font(NamedTuple):
    """A size of the font: its name, digits in a line and lines on a page of an article, less those of the caption."""

    name: str
    width: float
    height: float


FONTS = (Font("footnotesize", 81.0, 52.0), Font("scriptsize", 86.0, 61.0))
"""Smaller ones are not readable."""

GAP = 1.4
"""Between two columns: 2 x 3 pt."""

NAME, WORD = 22.0, 14.0
"""The least that names beside blocks get where they are as wide; the widest word that is not broken."""

LINE, NOTE = 88.0, 0.85
"""Width of a line of notes, and its height."""


class Measured(NamedTuple):
    """The least and the most that a column needs, and its title; `words`: its cells are broken between words."""

    least: float
    most: float
    title: float
    words: bool


@dataclass(frozen=True)
class Part:
    """Some rows and columns of a table.

    Args:
        grid: of the table.
        measured: of all its columns.
        font: of the table.
        widths: column -> width.
        rows: those of this part.
    """

    grid: Grid
    measured: Sequence[Measured]
    font: Font
    widths: dict[int, float]
    rows: Sequence[Row]

    def narrow(self, column: int) -> bool:
        """Tell whether the texts of a column are broken into lines."""
        return self.measured[column].words and self.widths[column] < self.measured[column].most


def as_latex(table: Table[Any]) -> str:
    """Write a table, in as many `table` environments as it takes."""
    parts = split(table)
    lines = ["% needs \\usepackage{array,booktabs,graphicx}"]
    for number, part in enumerate(parts, start=1):
        more = f" ({number} of {len(parts)})" if len(parts) > 1 else ""
        marks = sorted({mark for row in part.rows for column in part.widths for mark in row[column].marks})
        notes = [escape_latex(note, LINE) for note in (table.notes if number == 1 else ())]
        notes += [f"{raised(mark)} {escape_latex(table.grid.footnotes[mark - 1], LINE)}" for mark in marks]
        lines += [
            r"\begin{table}[htbp]",
            r"  \centering\sloppy",
            rf"  \caption{{{escape_latex(table.title + more, LINE / 2)}}}",
            rf"  \label{{tab:{label(table.name)}{f'-{number}' if number > 1 else ''}}}",
            rf"  \par\smallskip\{part.font.name}\setlength{{\tabcolsep}}{{3pt}}%",
            r"  \resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
            *tabular(part),
        ]
        if notes:
            lines.append(r"  \par\smallskip\begin{minipage}{\linewidth}\scriptsize\raggedright")
            lines += [*(rf"  {note}\par" for note in notes), r"  \end{minipage}"]
        lines.append(r"\end{table}")
    return "\n".join(lines)


def label(name: str) -> str:
    r"""Make a name that `\label` takes."""
    return re.sub(r"[^A-Za-z0-9.:-]+", "-", name).strip("-")


def raised(*marks: int) -> str:
    """Write the marks of footnotes."""
    return rf"\textsuperscript{{{','.join(map(str, marks))}}}" if marks else ""


# How wide columns are.


def measure(grid: Grid, column: int) -> Measured:
    """Measure a column."""
    heading, cells = grid.headings[column], [row[column] for row in grid.rows]
    title = min(WORD, max(map(text_width, heading.title.split(" "))))
    whole = text_width(heading.title)
    most = max([title, *(cell_width(cell, cell.text.split("\n")) for cell in cells)])
    if grid.numeric(column):
        return Measured(max([title, *(cell_width(cell, halves(cell)) for cell in cells)]), most, whole, words=False)
    name = NAME if heading.block == 0 and grid.headings[-1].block > 1 else 0.0
    longest = max((text_width(word) for cell in cells for word in cell.text.split()), default=0.0)
    return Measured(max(title, min(most, max(name, min(longest, WORD)))), most, whole, words=True)


def cell_width(cell: Shown, lines: Sequence[str]) -> float:
    """Return how wide the lines of a cell are."""
    marks = 0.8 * sum(1 + len(str(mark)) for mark in cell.marks)
    return marks + max(text_width(line, bold=cell.entry.place == 1) for line in lines)


def halves(cell: Shown) -> list[str]:
    """Return the lines that a cell of numbers may be broken into: a number, and its interval."""
    before, bracket, after = cell.text.partition(" [")
    return [before, f"[{after}"] if bracket else [before]


def total(measured: Sequence[Measured], columns: Sequence[int]) -> float:
    """Return how wide some columns are at the least."""
    return sum(measured[column].least + GAP for column in columns) - GAP


def share_out(measured: Sequence[Measured], columns: Sequence[int], line: float) -> dict[int, float]:
    """Return the width of each column: the least, and of the rest numbers on one line, words, titles, in this order."""
    widths = {column: measured[column].least for column in columns}
    rest = line - total(measured, columns)
    wanted = {column: measured[column].most - width for column, width in widths.items()}
    numbers = [column for column in columns if not measured[column].words]
    if 0 < (more := sum(wanted.pop(column) for column in numbers)) <= rest:
        rest -= more
        widths |= {column: measured[column].most for column in numbers}
    share = min(1.0, max(0.0, rest) / (sum(wanted.values()) or 1.0))
    widths |= {column: widths[column] + share * more for column, more in wanted.items()}
    rest -= share * sum(wanted.values())
    for column, width in widths.items():
        more = max(0.0, measured[column].title - width)
        if more <= rest:
            widths[column], rest = width + more, rest - more
    return widths


# What goes into which part.


def split(table: Table[Any]) -> list[Part]:
    """Split a table into parts that fit on a page, block by block, row by row."""
    grid = table.grid
    measured = [measure(grid, column) for column in range(len(grid.headings))]
    blocks: dict[int, list[int]] = {}
    for column, heading in enumerate(grid.headings):
        blocks.setdefault(heading.block, []).append(column)
    first = blocks.pop(0)
    widest = max((total(measured, [*first, *block]) for block in blocks.values()), default=0.0)
    font = next((font for font in FONTS if widest <= font.width), FONTS[-1])
    together: list[list[int]] = [] if blocks else [first]
    for block in blocks.values():
        if together and total(measured, [*together[-1], *block]) <= font.width:
            together[-1] += block
        else:
            together.append([*first, *block])
    parts = []
    for columns in together:
        whole = Part(grid, measured, font, share_out(measured, columns, font.width), grid.rows)
        height = max(font.height / 4, font.height - lines_beside(table, whole))
        parts += [Part(grid, measured, font, whole.widths, rows) for rows in split_rows(whole, height)]
    return parts


def split_rows(part: Part, height: float) -> list[list[Row]]:
    """Split the rows into groups that are no higher than some lines."""
    groups: list[list[Row]] = [[]]
    filled = 0.0
    for row in part.rows:
        lines = 0.25 + max(len(cell_lines(part, row[column], column)) for column in part.widths)
        marks = {mark for column in part.widths for mark in row[column].marks}
        lines += note_lines([part.grid.footnotes[mark - 1] for mark in marks])
        if groups[-1] and filled + lines > height:
            groups.append([])
            filled = 0.0
        groups[-1].append(row)
        filled += lines
    return groups


def note_lines(notes: Sequence[str]) -> float:
    """Return how many lines some notes take."""
    return NOTE * sum(len(wrap(note, LINE)) for note in notes)


def cell_lines(part: Part, cell: Shown, column: int) -> list[str]:
    """Return the lines of a cell."""
    width = part.widths[column]
    if part.measured[column].words:
        return [line for text in cell.text.split("\n") for line in wrap(text, width)]
    return halves(cell) if width < part.measured[column].most else [cell.text]


def lines_beside(table: Table[Any], part: Part) -> float:
    """Return how many lines headings and notes take."""
    headings = [(part.grid.headings[column], width) for column, width in part.widths.items()]
    titles = max(len(wrap(heading.title, width)) for heading, width in headings)
    over = max(len(wrap(heading.over, 2 * WORD)) if heading.over else 0 for heading, _ in headings)
    return titles + over + note_lines(table.notes)


# Writing.


def tabular(part: Part) -> list[str]:
    """Write the lines of a part."""
    headings = part.grid.headings
    kinds = []
    for column, width in part.widths.items():
        broken = rf">{{\raggedright\arraybackslash}}p{{{width / part.font.width:.3f}\linewidth}}"
        kinds.append(broken if part.narrow(column) else "r" if headings[column].number else "l")
    titles = [stacked(wrap(headings[c].title, width), headings[c].number, "b") for c, width in part.widths.items()]
    rows = [protect(" & ".join(cell_latex(part, row[column], column) for column in part.widths)) for row in part.rows]
    high = any("tabular" in row for row in rows) or any(">" in kind for kind in kinds)
    space = r"\addlinespace[2pt]" if high else ""
    return [
        rf"  \begin{{tabular}}{{@{{}}{''.join(kinds)}@{{}}}}",
        r"    \toprule",
        *over_latex(part),
        f"    {' & '.join(titles)} \\\\",
        r"    \midrule",
        *(f"    {row} \\\\{space if k < len(rows) - 1 else ''}" for k, row in enumerate(rows)),
        r"    \bottomrule",
        r"  \end{tabular}}",
    ]


def over_latex(part: Part) -> list[str]:
    """Write the headings of blocks above those of their columns; nothing where there are none."""
    cells, rules, at = [], [], 0
    for _, columns in groupby(part.widths, lambda column: part.grid.headings[column].block):
        block = list(columns)
        over, at = part.grid.headings[block[0]].over, at + len(block)
        if over:
            text = stacked(wrap(over, sum(part.widths[column] for column in block)), False, "b")
            cells.append(rf"\multicolumn{{{len(block)}}}{{c}}{{{text}}}")
            rules.append(rf"\cmidrule(lr){{{at - len(block) + 1}-{at}}}")
        else:
            cells.append("& " * (len(block) - 1))
    return [f"    {' & '.join(cells)} \\\\", f"    {' '.join(rules)}"] if rules else []


def cell_latex(part: Part, cell: Shown, column: int) -> str:
    """Write a cell, with the marks of its footnotes."""
    entry, words, number = cell.entry, part.measured[column].words, part.grid.headings[column].number
    width = part.widths[column] if words else 0.0
    narrowest = width / BOLD if entry.place == 1 else width
    lines = [escape_latex(line, narrowest) for line in entry.text.split("\n")]
    text = r"\newline{}".join(lines) if part.narrow(column) else stack(lines, number, "t")
    if entry.place in (1, 2):
        text = rf"\{'textbf' if entry.place == 1 else 'underline'}{{{text}}}"
    after = escape_latex(entry.after, width)
    if not words and len(cell_lines(part, cell, column)) > 1:
        before, _, behind = f"{text}{after}".partition(" [")
        return stack([before, f"[{behind}{raised(*cell.marks)}"], number, "t")
    return text + after + raised(*cell.marks)


def stacked(lines: Sequence[str], number: bool, at: str) -> str:
    """Put the lines of a heading below one another."""
    return stack([escape_latex(line) for line in lines], number, at)


def stack(lines: Sequence[str], number: bool, at: str) -> str:
    """Put lines of LaTeX below one another."""
    text = r" \\ ".join(map(protect, lines))
    return rf"\begin{{tabular}}[{at}]{{@{{}}{'r' if number else 'l'}@{{}}}}{text}\end{{tabular}}" if lines[1:] else text


def protect(line: str) -> str:
    r"""Keep a `[` or `*` at the start of a line from being taken for an argument of the `\\` before it."""
    return f"{{}}{line}" if line.lstrip().startswith(("[", "*")) else line
