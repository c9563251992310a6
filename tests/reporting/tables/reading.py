"""Tables as tests read them."""

from __future__ import annotations

import csv
import io

from medseg.reporting.render.csv import as_csv
from medseg.reporting.render.table import GridCell, Table

MARKS = {None: "", 1: "**", 2: "__"}


def displayed(table: Table) -> list[dict[str, str]]:
    """The displayed rows by heading; the best in **, the second in __, footnotes as ^1."""
    headings = [heading.text for heading in table.grid.headings]
    return [dict(zip(headings, map(read, row), strict=True)) for row in table.grid.rows]


def read(cell: GridCell) -> str:
    mark = MARKS[cell.entry.rank]
    return f"{mark}{cell.entry.text}{mark}{cell.entry.after}{''.join(f'^{number}' for number in cell.marks)}"


def in_csv(table: Table) -> list[dict[str, str]]:
    """The rows of the CSV file."""
    return list(csv.DictReader(io.StringIO(as_csv(table))))
