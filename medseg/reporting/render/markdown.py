"""Tables as Markdown. Texts come out as they are, whatever they hold: no markup is made of a name."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from medseg.reporting.render.table import GridCell, Table, one_line, superscript
from medseg.reporting.render.text import aligned

EMPHASIS = {1: ("**", "**"), 2: ("<ins>", "</ins>")}
"""Bold and underlined."""


def as_markdown(table: Table[Any]) -> str:
    """Write a table and its notes; the columns are aligned in the source as well."""
    rows = [[markdown_cell(cell) for cell in row] for row in table.grid.rows]
    lines = aligned(table.grid, [escape_markdown(title) for title in table.grid.titles], rows, least=3, right=":")
    notes = [f"- {escape_line(note)}" for note in table.all_notes]
    return "\n".join([*(f"| {' | '.join(line)} |" for line in lines), *(["", *notes] if notes else [])])


def markdown_cell(cell: GridCell) -> str:
    """Write a cell with the marks of its footnotes."""
    before, behind = EMPHASIS.get(cell.entry.rank or 0, ("", ""))
    text = "<br>".join(map(escape_markdown, cell.entry.text.split("\n")))
    return f"{before}{text}{behind}{escape_markdown(cell.entry.after)}{superscript(*cell.marks)}"


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
