"""What would come out another time: the ranks in other samples, and the seeds and images that it takes to tell more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from medseg.reporting.comparison import Comparison
from medseg.reporting.layout import Line
from medseg.reporting.render.table import Blocks, Column, Table
from medseg.reporting.words import number, percent

MOST_RANKS = 6
"""Displayed of a network; all are in CSV."""


class Rank(NamedTuple):
    """The share of samples in which a network has a rank; `column` is None over all datasets."""

    column: Line | None
    row: Line
    rank: int
    share: float


def stability_tables(comparison: Comparison) -> list[Table[Rank]]:
    """How often each network has each rank in bootstrap samples: over all datasets, on each. CSV: one for all."""
    stability = comparison.stability
    if stability is None:
        return []
    shares = [] if stability.overall is None else [(None, stability.overall)]
    shares += list(stability.datasets.items())
    records = [
        Rank(column, row, rank, float(share))
        for column, table in shares
        for row, line in zip(stability.rows, table, strict=True)
        for rank, share in enumerate(line, start=1)
    ]
    columns: Sequence[Column[Rank]] = (
        Column("dataset", value=lambda r: r.column.label if r.column else "all datasets"),
        Column("network", "network", lambda r: r.row.label),
        Column("measure", value=lambda r: comparison.measure.name),
        Column("rank", value=lambda r: r.rank),
        Column("share", "share", lambda r: r.share, percent, number=True, repeated=True),
    )
    ranks = range(1, min(MOST_RANKS, len(stability.rows)) + 1)
    blocks: Blocks[Rank] = Blocks(lambda r: r.row, lambda r: r.rank, {rank: f"rank {rank}" for rank in ranks})
    tables = []
    for column, _ in shares:
        here = [record for record in records if record.column == column]
        where = column.label if column else "all datasets"
        over = "images, or groups of these, and seeds" if column else "datasets, images, or groups of these, and seeds"
        notes = [f"Share of {stability.samples} bootstrap samples of {over} in which the network has the rank."]
        if len(stability.rows) > MOST_RANKS:
            notes.append(f"The first {MOST_RANKS} ranks; all are in stability.csv.")
        title = f"Rank stability, {where}: {comparison.measure.title}"
        name = f"stability-{column.label}" if column else "stability"
        tables.append(Table(name, title, columns, records, tuple(notes), blocks, here, csv="stability"))
    return tables


def planning_table(comparison: Comparison) -> Table[Any]:
    """How many seeds, or images, it takes to tell two networks apart that differ by 1 and 2 points."""
    unit = comparison.measure.point_unit
    columns: Sequence[Column[Any]] = (
        Column("dataset", "dataset", lambda p: p.column.label),
        Column("measure", value=lambda p: comparison.measure.name),
        Column("points", f"to tell, {unit}", lambda p: p.points, lambda value: number(value, 0), number=True),
        Column("seeds", "seeds, with these images", lambda p: p.seeds, number=True),
        Column("images", "images, with these seeds", lambda p: p.images, number=True),
    )
    notes = (
        "Seeds of each network, and test images, with which four of five experiments tell two networks apart that "
        "differ by so much; a dash: no number of them is enough. From the variances between images and between "
        "trainings in these runs, which few seeds know only roughly.",
    )
    return Table("planning", f"Planning: {comparison.measure.title}", columns, comparison.plans, notes)
