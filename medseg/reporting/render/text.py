"""Tables as text for a terminal."""

from __future__ import annotations

from typing import Any

from medseg.reporting.render.markdown import align, superscript
from medseg.reporting.render.table import Shown, Table

EMPHASIS = {1: "**", 2: "_"}
"""Before and after what is best and second."""


def as_text(table: Table[Any]) -> str:
    """Write a table in aligned columns, and its notes."""
    grid = table.grid
    heading = [heading.text for heading in grid.headings]
    right = [heading.number for heading in grid.headings]
    # A row is as many lines as its highest cell.
    cells = [[text_cell(cell).split("\n") for cell in row] for row in grid.rows]
    rows = [[cell[k] if k < len(cell) else "" for cell in row] for row in cells for k in range(max(map(len, row)))]
    widths = [max(map(len, column)) for column in zip(heading, *rows, strict=True)]
    lines = [
        "  ".join(map(align, row, widths, right)).rstrip()
        for row in (heading, ["-" * width for width in widths], *rows)
    ]  # fmt: skip
    notes = [*table.notes, *(f"{superscript(mark)} {note}" for mark, note in enumerate(grid.footnotes, start=1))]
    return "\n".join([*lines, *(["", *notes] if notes else [])])


def text_cell(cell: Shown) -> str:
    """Write a cell with the marks of its footnotes."""
    mark = EMPHASIS.get(cell.entry.place or 0, "")
    return f"{mark}{cell.entry.text}{mark}{cell.entry.after}{superscript(*cell.marks)}"
