"""Tables as Markdown. Texts come out as they are, whatever they hold: no markup is made of a name."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from medseg.reporting.render.table import Shown, Table, one_line

EMPHASIS = {1: ("**", "**"), 2: ("<ins>", "</ins>")}
"""Bold and underlined."""

SUPERSCRIPTS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


def as_markdown(table: Table[Any]) -> str:
    """Write a table and its notes; the columns are aligned in the source as well."""
    grid = table.grid
    rows = [[markdown_cell(cell) for cell in row] for row in grid.rows]
    heading = [escape_markdown(heading.text) for heading in grid.headings]
    widths = [max(3, *map(len, column)) for column in zip(heading, *rows, strict=True)]
    right = [heading.number for heading in grid.headings]
    rule = [
        "-" * (width - 1) + ":" if number else "-" * width for width, number in zip(widths, right, strict=True)
    ]  # fmt: skip
    lines = [
        f"| {' | '.join(map(align, row, widths, right))} |"
        for row in (heading, rule, *rows)
    ]  # fmt: skip
    notes = [f"- {escape_line(note)}" for note in table.notes]
    notes += [f"- {superscript(mark)} {escape_markdown(note)}" for mark, note in enumerate(grid.footnotes, start=1)]
    return "\n".join([*lines, *(["", *notes] if notes else [])])


def align(text: str, width: int, right: bool) -> str:
    """Fill a text up to a width."""
    return text.rjust(width) if right else text.ljust(width)


def markdown_cell(cell: Shown) -> str:
    """Write a cell with the marks of its footnotes."""
    before, behind = EMPHASIS.get(cell.entry.place or 0, ("", ""))
    text = "<br>".join(map(escape_markdown, cell.entry.text.split("\n")))
    return f"{before}{text}{behind}{escape_markdown(cell.entry.after)}{superscript(*cell.marks)}"


def superscript(*numbers: int) -> str:
    """Return the marks of footnotes."""
    return " ".join(str(number).translate(SUPERSCRIPTS) for number in numbers)


@lru_cache(10_000)  # the same names are in many cells
def escape_markdown(text: str) -> str:
    """Write a text so that it is shown as it is, inside a line.

    Escaped is what can begin markup: underscores inside a word, brackets that no link follows and `<` before a number
    stay readable in the source.
    """
    text = re.sub(r"&(?=#?\w+;)", "&amp;", one_line(text))
    text = re.sub(r"([\\|*`{])", r"\\\1", text)
    text = re.sub(r"(?<![^\W_])_|_(?![^\W_])", r"\\_", text)
    text = re.sub(r"\](?=[(\[:])", r"\\]", text)
    text = re.sub(r"\[(?=\^)", r"\\[", text)
    # Entities, not backslashes: these are of extensions, and what lacks the extension would show the backslash.
    text = text.replace("$", "&#36;").replace("~~", "&#126;&#126;")
    return re.sub(r"<(?=[A-Za-z/!?])", "&lt;", text)


def escape_line(text: str) -> str:
    """Write a text so that it is shown as it is where a line or an item of a list begins with it."""
    text = escape_markdown(text).strip()
    text = re.sub(r"^([#+\->\[])", r"\\\1", text)
    text = re.sub(r"^(\d+)([.)])", r"\1\\\2", text)
    return re.sub(r"(#+)$", r"\\\1", text)
