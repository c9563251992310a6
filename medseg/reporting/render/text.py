"""Tables as text for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from typing import Any

from medseg.reporting.render.table import Grid, GridCell, Table, superscript

EMPHASIS = {1: "**", 2: "_"}
"""Before and after what is best and second."""


def as_text(table: Table[Any]) -> str:
    """Write a table in aligned columns, and its notes."""
    # A row is as many lines as its highest cell.
    cells = [[text_cell(cell).split("\n") for cell in row] for row in table.grid.rows]
    rows = [line for row in cells for line in zip_longest(*row, fillvalue="")]
    lines = ["  ".join(row).rstrip() for row in aligned(table.grid, table.grid.titles, rows)]
    return "\n".join([*lines, *(["", *table.all_notes] if table.all_notes else [])])


def text_cell(cell: GridCell) -> str:
    """Write a cell with the marks of its footnotes."""
    mark = EMPHASIS.get(cell.entry.rank or 0, "")
    return f"{mark}{cell.entry.text}{mark}{cell.entry.after}{superscript(*cell.marks)}"


def aligned(
    grid: Grid, titles: Sequence[str], rows: Sequence[Sequence[str]], least: int = 0, right: str = "-"
) -> list[list[str]]:
    """Fill the titles, a rule and the rows of a grid up to the widths of its columns, `least` each.

    `right` ends the rule of a column that is aligned to the right.
    """
    widths = [max(least, *map(len, column)) for column in zip(titles, *rows, strict=True)]
    numbers = [heading.column.number for heading in grid.headings]
    rule = ["-" * (width - 1) + (right if number else "-") for width, number in zip(widths, numbers, strict=True)]
    return [
        [
            text.rjust(width) if number else text.ljust(width)
            for text, width, number in zip(row, widths, numbers, strict=True)
        ]
        for row in (titles, rule, *rows)
    ]
