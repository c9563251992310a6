"""Tables as LaTeX that goes into a paper as it is: `booktabs`, notes below the table, nothing wider than the text.

What is too wide or too high for one table is continued in another one. How wide a column becomes is estimated from its
characters; where that is too little, the table is made smaller by the rest. Widths are in digits of the font, heights
in lines.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

from medseg.reporting.file_names import file_name
from medseg.reporting.render.latex_text import BOLD, escape_latex, text_width, wrap
from medseg.reporting.render.table import Grid, GridCell, Heading, Table

WIDTH, HEIGHT = 81.0, 52.0
"""Of a page of an article (345 x 550 pt, less the caption) in footnotesize; smaller is hard to read."""

GAP = 1.4
"""Between two columns: 2 x 3 pt."""

NAME, WORD = 22.0, 14.0
"""The least that names beside blocks get where they are as wide; the widest word of a cell that is not broken."""

LINE, LINE_WORD, NOTE = 88.0, 20.0, 0.85
"""Width of a line of notes, of the widest word in one that is not broken, and the height of the line."""

Row = tuple[GridCell, ...]


@dataclass(frozen=True)
class Field:
    """A column of a part: its cells are broken between words, or they are numbers, which are broken before an interval.

    `least` and `most` are the widths that it needs with its cells broken, and without; `width` is that which it gets.
    """

    index: int
    heading: Heading
    words: bool
    least: float
    most: float
    width: float

    @classmethod
    def of(cls, grid: Grid, index: int) -> Field:
        heading, cells = grid.headings[index], [row[index] for row in grid.rows]
        words = not grid.numeric(index)
        title = min(WORD, max(map(text_width, heading.title.split(" "))))
        most = max([title, *(cell_width(cell, cell.text.split("\n")) for cell in cells)])
        if words:
            name = NAME if heading.block == 0 and grid.headings[-1].block > 1 else 0.0
            longest = max((text_width(word) for cell in cells for word in cell.text.split()), default=0.0)
            least = max(title, min(most, max(name, min(longest, WORD))))
        else:
            least = max([title, *(cell_width(cell, halves(cell)) for cell in cells)])
        return cls(index, heading, words, least, most, least)

    @property
    def narrow(self) -> bool:
        """Whether its cells are broken."""
        return self.width < self.most

    @property
    def side(self) -> str:
        """Where its lines are aligned."""
        return "r" if self.heading.column.number else "l"

    @property
    def kind(self) -> str:
        """What `tabular` calls it."""
        share = f"{self.width / WIDTH:.3f}"
        return rf">{{\raggedright\arraybackslash}}p{{{share}\linewidth}}" if self.words and self.narrow else self.side

    def lines(self, cell: GridCell) -> list[str]:
        """Return the lines of a cell, as far as they can be foreseen."""
        if self.words:
            return [line for text in cell.text.split("\n") for line in wrap(text, self.width)]
        return halves(cell) if self.narrow else [cell.text]

    def stack(self, lines: Iterable[str], at: str) -> str:
        """Put lines of LaTeX below one another."""
        first, *more = map(protect, lines)
        text = r" \\ ".join([first, *more])
        return rf"\begin{{tabular}}[{at}]{{@{{}}{self.side}@{{}}}}{text}\end{{tabular}}" if more else first

    def title(self, text: str, width: float) -> str:
        """Write a heading in lines of a width."""
        return self.stack(map(escape_latex, wrap(text, width)), "b")

    def cell(self, cell: GridCell) -> str:
        """Write a cell, with the marks of its footnotes."""
        entry, width = cell.entry, self.width if self.words else 0.0
        lines = [escape_latex(line, width / BOLD if entry.rank == 1 else width) for line in entry.text.split("\n")]
        text = r"\newline{}".join(lines) if self.words and self.narrow else self.stack(lines, "t")
        if entry.rank in (1, 2):
            text = rf"\{'textbf' if entry.rank == 1 else 'underline'}{{{text}}}"
        text += escape_latex(entry.after, width) + raised(*cell.marks)
        if self.words or len(self.lines(cell)) == 1:
            return text
        before, _, after = text.partition(" [")
        return self.stack([before, f"[{after}"], "t")


def as_latex(table: Table[Any], label: str = "") -> str:
    """Write a table, in as many `table` environments as it takes.

    `label`: the first is labelled `tab:<label>`, further ones `tab:<label>:2` and so on; by default the table's name.
    """
    parts = [(fields, rows) for fields in split_columns(table.grid) for rows in split_rows(table, fields)]
    label = label or file_name(table.name)
    lines = ["% needs \\usepackage{array,booktabs,graphicx}"]
    for number, (fields, rows) in enumerate(parts, start=1):
        more = f" ({number} of {len(parts)})" if len(parts) > 1 else ""
        notes = [escape_latex(note, LINE_WORD) for note in (table.notes if number == 1 else ())]
        footnotes = {mark: table.grid.footnotes[mark - 1] for mark in sorted(marks_of(fields, rows))}
        notes += [f"{raised(mark)} {escape_latex(note, LINE_WORD)}" for mark, note in footnotes.items()]
        lines += [
            r"\begin{table}[htbp]",
            r"  \centering\sloppy",
            rf"  \caption{{{escape_latex(table.title + more, LINE_WORD)}}}",
            rf"  \label{{tab:{label}{f':{number}' if number > 1 else ''}}}",
            r"  \par\smallskip\footnotesize\setlength{\tabcolsep}{3pt}%",
            r"  \resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
            *tabular(fields, rows),
        ]
        if notes:
            lines.append(r"  \par\smallskip\begin{minipage}{\linewidth}\scriptsize\raggedright")
            lines += [*(rf"  {note}\par" for note in notes), r"  \end{minipage}"]
        lines.append(r"\end{table}")
    return "\n".join(lines)


def tabular(fields: Sequence[Field], rows: Sequence[Row]) -> list[str]:
    """Write the headings and the rows of a part."""
    titles = [field.title(field.heading.title, field.width) for field in fields]
    written = [protect(" & ".join(field.cell(row[field.index]) for field in fields)) for row in rows]
    space = r"\addlinespace[2pt]" if any(field.narrow for field in fields) else ""
    return [
        rf"  \begin{{tabular}}{{@{{}}{''.join(field.kind for field in fields)}@{{}}}}",
        r"    \toprule",
        *block_headings(fields),
        f"    {' & '.join(titles)} \\\\",
        r"    \midrule",
        *(f"    {row} \\\\{space if k < len(rows) - 1 else ''}" for k, row in enumerate(written)),
        r"    \bottomrule",
        r"  \end{tabular}}",
    ]


def block_headings(fields: Sequence[Field]) -> list[str]:
    """Write the headings of blocks above those of their columns; nothing where there are none."""
    cells, rules, last = [], [], 0
    for (_, over), several in groupby(fields, lambda field: (field.heading.block, field.heading.over)):
        block = list(several)
        last += len(block)
        text = block[-1].title(over, sum(field.width for field in block))
        cells.append(rf"\multicolumn{{{len(block)}}}{{c}}{{{text}}}" if over else "& " * (len(block) - 1))
        rules += [rf"\cmidrule(lr){{{last - len(block) + 1}-{last}}}"] if over else []
    return [f"    {' & '.join(cells)} \\\\", f"    {' '.join(rules)}"] if rules else []


def raised(*marks: int) -> str:
    """Write the marks of footnotes."""
    return rf"\textsuperscript{{{','.join(map(str, marks))}}}" if marks else ""


def protect(line: str) -> str:
    r"""Keep a `[` or `*` at the start of a line from being taken for an argument of the `\\` before it."""
    return f"{{}}{line}" if line.lstrip().startswith(("[", "*")) else line


# What fits.


def cell_width(cell: GridCell, lines: Sequence[str]) -> float:
    """Return how wide the lines of a cell are."""
    marks = 0.8 * sum(1 + len(str(mark)) for mark in cell.marks)
    return marks + max(text_width(line, bold=cell.entry.rank == 1) for line in lines)


def halves(cell: GridCell) -> list[str]:
    """Return the lines that a cell of numbers may be broken into: a number, and its interval."""
    before, bracket, after = cell.text.partition(" [")
    return [before, f"[{after}"] if bracket else [before]


def total(fields: Sequence[Field]) -> float:
    """Return how wide some columns are at the least."""
    return sum(field.least + GAP for field in fields) - GAP


def split_columns(grid: Grid) -> list[list[Field]]:
    """Put as many blocks as fit beside what names the row, which begins each part."""
    every = [Field.of(grid, index) for index in range(len(grid.headings))]
    first, *blocks = [list(block) for _, block in groupby(every, lambda field: field.heading.block)]
    parts: list[list[Field]] = [] if blocks else [first]
    for block in blocks:
        if parts and total([*parts[-1], *block]) <= WIDTH:
            parts[-1] += block
        else:
            parts.append([*first, *block])
    return [share_out(fields) for fields in parts]


def share_out(fields: Sequence[Field]) -> list[Field]:
    """Give each column its width: the least, and of the rest numbers on one line, words, titles, in this order."""
    rest = max(0.0, WIDTH - total(fields))
    share = {}
    for words in (False, True):
        more = sum(field.most - field.least for field in fields if field.words == words)
        part = min(1.0, rest / more) if more else 0.0
        share[words] = part if words else float(more <= rest)
        rest -= share[words] * more
    sized = []
    for field in fields:
        width = field.least + share[field.words] * (field.most - field.least)
        title = max(0.0, text_width(field.heading.title) - width)
        if title <= rest:
            width, rest = width + title, rest - title
        sized.append(replace(field, width=width))
    return sized


def split_rows(table: Table[Any], fields: Sequence[Field]) -> list[list[Row]]:
    """Split the rows into groups that are no higher than a page, with their headings and notes."""
    over = max(len(wrap(field.heading.over, 2 * WORD)) for field in fields)
    titles = max(len(wrap(field.heading.title, field.width)) for field in fields)
    height = max(HEIGHT / 4, HEIGHT - over - titles - note_lines(table.notes))
    groups: list[list[Row]] = [[]]
    filled = 0.0
    for row in table.grid.rows:
        lines = 0.25 + max(len(field.lines(row[field.index])) for field in fields)
        lines += note_lines([table.grid.footnotes[mark - 1] for mark in marks_of(fields, [row])])
        if groups[-1] and filled + lines > height:
            groups.append([])
            filled = 0.0
        groups[-1].append(row)
        filled += lines
    return groups


def note_lines(notes: Sequence[str]) -> float:
    """Return how many lines some notes take."""
    return NOTE * sum(len(wrap(note, LINE)) for note in notes)


def marks_of(fields: Sequence[Field], rows: Sequence[Row]) -> set[int]:
    """Return the footnotes that some cells have."""
    return {mark for row in rows for field in fields for mark in row[field.index].marks}
