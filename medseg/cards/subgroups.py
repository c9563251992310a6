"""The subgroups of a card: the Dice of each, and the gap between the best and the worst."""

from __future__ import annotations

from collections.abc import Sequence

from medseg.metrics.measures import MEASURES
from medseg.reporting.render.markdown import as_markdown, escape_markdown
from medseg.reporting.render.table import Column, Table
from medseg.reporting.subgroups import Divided, Subgroups
from medseg.reporting.tables.subgroups import SubgroupRow, entry, gap_entry, notes

COLUMNS: Sequence[Column[SubgroupRow]] = (
    Column("subgroup", "subgroup", lambda r: r.name),
    Column("images", "images", lambda r: r.cell.images, number=True),
    Column("dice", "Dice", lambda r: None, text=entry),
)


def describe_subgroups(subgroups: Subgroups) -> list[str]:
    """Return a table and its gap for each way in which the test images are divided; nothing where there is none."""
    parts = [part for divided in subgroups.divided for part in describe_division(divided)]
    return ["### Subgroups", *parts] if parts else []


def describe_division(divided: Divided) -> list[str]:
    """Return the heading, the table and the gap of a network on the subgroups of one division."""
    ((row, cells),) = divided.cells.items()
    records = [
        SubgroupRow(row, divided.division, name, MEASURES["dice"], cell, divided.gaps.get(row))
        for name, cell in cells.items()
    ]
    parts = [f"By {escape_markdown(divided.division.title)}:", as_markdown(Table("subgroups", "", COLUMNS, records))]
    if row in divided.gaps:
        gap = gap_entry(records[0])
        parts.append(escape_markdown(f"Gap in points: {gap.text}{gap.after}."))
    return [*parts, *map(escape_markdown, notes(divided))]
