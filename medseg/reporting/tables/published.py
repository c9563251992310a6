"""Our scores beside published ones."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from medseg.reporting.published_cells import PublishedCell
from medseg.reporting.render.table import Column, Table
from medseg.reporting.words import fixed, interval, number, signed

COLUMNS: Sequence[Column[PublishedCell]] = (
    Column("network", "network", lambda p: p.row.label),
    Column("dataset", "dataset", lambda p: p.column.label),
    Column("measure", value=lambda p: p.measure.name),
    Column("score", "score", lambda p: p.measure.title),
    Column("ours", "ours", lambda p: p.ours.mean, text=lambda p: number(p.ours.mean, 3) + interval(p.ours, p.measure)),
    Column("published", "published", lambda p: p.published.value, fixed(3), number=True),
    Column("difference", "difference, points", show=lambda value: signed(100 * value, 1), number=True),
    Column("differs_in", "protocol differs in", lambda p: "; ".join(p.differs_in) or "nothing known"),
    Column("source", "source", lambda p: p.published.source),
)


def published_table(cells: Iterable[PublishedCell]) -> Table[PublishedCell]:
    """Our scores beside published ones, each pair under the convention of the published one."""
    notes = (
        "Ours is taken as the source takes its mean; where the source does not say how, ours is the mean over images.",
        "Difference: ours - published, where both are taken in the same way or the source does not say.",
    )
    return Table("published", "Next to published figures", COLUMNS, list(cells), notes)
