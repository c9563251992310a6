"""Tables of words as Markdown and LaTeX, and raw numbers as CSV. The same table is the same text, byte for byte."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Entry:
    """A cell that is more than a word: its text, emphasised, and what follows it plainly.

    Args:
        text: what is emphasised.
        after: what is not.
        place: 1 is bold, 2 underlined.
    """

    text: str
    after: str = ""
    place: int | None = None


@dataclass(frozen=True)
class Heading:
    """The heading of a column.

    Args:
        text: what it says.
        number: aligned to the right.
        share: of the width of a page in LaTeX, for a column of sentences; 0 is as wide as its longest entry.
    """

    text: str
    number: bool = False
    share: float = 0.0


@dataclass(frozen=True)
class Table:
    """A table ready to be written.

    Args:
        name: of its file, and its label in LaTeX.
        title: what it shows.
        headings: of its columns.
        rows: a word or an `Entry` for each column.
        notes: said below it.
    """

    name: str
    title: str
    headings: tuple[Heading, ...]
    rows: tuple[tuple[str | Entry, ...], ...]
    notes: tuple[str, ...] = ()


MARKDOWN = {1: ("**", "**"), 2: ("<ins>", "</ins>")}
"""Bold and underlined where Markdown is shown as a page."""

TERMINAL = {1: ("**", "**"), 2: ("_", "_")}
"""The same where it is read as it is."""

SUPERSCRIPTS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


def superscript(number: int) -> str:
    """Return the mark of a footnote."""
    return str(number).translate(SUPERSCRIPTS)


def as_markdown(table: Table, emphasis: Mapping[int, tuple[str, str]] = MARKDOWN) -> str:
    """Write a table and its notes as Markdown whose columns are aligned in the source as well."""
    rows = [[markdown_cell(entry, emphasis) for entry in row] for row in table.rows]
    heading = [escape_markdown(heading.text) for heading in table.headings]
    widths = [max(3, *map(len, column)) for column in zip(heading, *rows, strict=True)]
    rule = [
        "-" * (width - 1) + ":" if column.number else "-" * width
        for column, width in zip(table.headings, widths, strict=True)
    ]
    lines = [
        "| " + " | ".join(align(text, width, column.number) for text, width, column in cells) + " |"
        for cells in (zip(row, widths, table.headings, strict=True) for row in (heading, rule, *rows))
    ]
    notes = [f"- {escape_markdown(note)}" for note in table.notes]
    return "\n".join([*lines, *(["", *notes] if notes else [])])


def align(text: str, width: int, number: bool) -> str:
    """Fill a text up to a width."""
    return text.rjust(width) if number else text.ljust(width)


def markdown_cell(entry: str | Entry, emphasis: Mapping[int, tuple[str, str]]) -> str:
    """Write a cell."""
    if isinstance(entry, str):
        return escape_markdown(entry)
    before, behind = emphasis.get(entry.place or 0, ("", ""))
    return f"{before}{escape_markdown(entry.text)}{behind}{escape_markdown(entry.after)}"


def escape_markdown(text: str) -> str:
    """Keep a text from being taken for markup; underscores inside a word are none."""
    return re.sub(r"<(?=[A-Za-z/!?])", "&lt;", re.sub(r"([|*`\\])", r"\\\1", text))


LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": "$<$", ">": "$>$", "|": "$|$", '"': "''",
    "±": r"$\pm$", "≈": r"$\approx$", "↓": r"$\downarrow$", "−": "$-$", "×": r"$\times$", "≤": r"$\leq$",
    "≥": r"$\geq$", "→": r"$\rightarrow$", "…": r"\ldots{}",
}  # fmt: skip
"""Characters that LaTeX takes for something else, or lacks."""


def escape_latex(text: str) -> str:
    """Write a text so that LaTeX shows it as it is; marks of footnotes are raised digits."""
    text = re.sub(r"(?<![\w.])-(?=\d)", "−", text)  # a minus, not a hyphen
    text = "".join(LATEX.get(character, character) for character in text)
    back = {raised: digit for digit, raised in zip("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹", strict=True)}
    return re.sub("[⁰¹²³⁴⁵⁶⁷⁸⁹]+", lambda found: rf"\textsuperscript{{{''.join(back[c] for c in found[0])}}}", text)


def as_latex(table: Table) -> str:
    r"""Write a table for `\usepackage{booktabs}`: a `table` with caption and label, notes below."""
    columns = "".join(map(latex_column, table.headings))
    # Sentences are broken into lines; a wide table without them is made smaller.
    sentences = any(heading.share for heading in table.headings)
    begin = r"  \resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%"
    if sentences:
        begin = r"  {\scriptsize\setlength{\tabcolsep}{3pt}%"
    notes = [rf"  {escape_latex(note)}\par" for note in table.notes]
    lines = [
        rf"% needs \usepackage{{{'array,booktabs' if sentences else 'booktabs,graphicx'}}}",
        r"\begin{table}",
        r"  \centering",
        rf"  \caption{{{escape_latex(table.title)}}}",
        rf"  \label{{tab:{table.name}}}",
        r"  \par\smallskip",
        begin,
        rf"  \begin{{tabular}}{{{columns}}}",
        r"    \toprule",
        f"    {' & '.join(escape_latex(heading.text) for heading in table.headings)} \\\\",
        r"    \midrule",
        *(f"    {' & '.join(cells)} \\\\" for cells in latex_rows(table)),
        r"    \bottomrule",
        r"  \end{tabular}}",
        *([r"  \par\smallskip\begin{minipage}{\linewidth}\footnotesize", *notes, r"  \end{minipage}"] if notes else []),
        r"\end{table}",
    ]
    return "\n".join(lines)


def latex_column(heading: Heading) -> str:
    """Return the letter of a column, or its width."""
    if heading.share:
        return rf">{{\raggedright\arraybackslash}}p{{{heading.share:g}\linewidth}}"
    return "r" if heading.number else "l"


def latex_rows(table: Table) -> list[list[str]]:
    """Write the cells; those of a column of sentences may break where a path or a name would."""
    rows = [[latex_cell(entry) for entry in row] for row in table.rows]
    for row in rows:
        for k, heading in enumerate(table.headings):
            if heading.share:
                row[k] = re.sub(r"(/|\\_|=)", r"\1\\allowbreak{}", row[k])
    return rows


def latex_cell(entry: str | Entry) -> str:
    """Write a cell."""
    if isinstance(entry, str):
        return protect(escape_latex(entry))
    text = escape_latex(entry.text)
    if entry.place in (1, 2):
        text = rf"\{'textbf' if entry.place == 1 else 'underline'}{{{text}}}"
    return protect(text + escape_latex(entry.after))


def protect(text: str) -> str:
    r"""Keep a `[` at the start of a cell from being taken for an argument of the `\\` before it."""
    return f"{{}}{text}" if text.startswith("[") else text


def as_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """Write rows of equal keys as CSV: numbers as they are, nothing for None.

    Floats have 12 significant digits: what is beyond depends on the processor that added them up.
    """
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    if rows:
        writer.writerow(rows[0])
        writer.writerows([[raw(value) for value in row.values()] for row in rows])
    return stream.getvalue()


def raw(value: Any) -> Any:
    """Return a value as CSV has it."""
    return f"{value:.12g}" if isinstance(value, float) else value
