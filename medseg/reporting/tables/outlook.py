"""What would come out another time: the ranks in other samples, and the seeds and images that it takes to tell more."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from medseg.metrics.measures import Measure
from medseg.reporting.comparison import Comparison
from medseg.reporting.layout import Line
from medseg.reporting.planning import POWER, Plan
from medseg.reporting.ranks import RESAMPLES, Shares
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
    shares: list[tuple[Line | None, Shares[Line]]] = [*stability.columns.items()]
    if stability.overall is not None:
        shares.insert(0, (None, stability.overall))
    records = [
        Rank(column, row, rank, float(share))
        for column, shared in shares
        for row, line in zip(shared.rows, shared.shares, strict=True)
        for rank, share in enumerate(line, start=1)
    ]
    columns: Sequence[Column[Rank]] = (
        Column("dataset", value=lambda r: r.column.label if r.column else "all datasets"),
        Column("network", "network", lambda r: r.row.label),
        Column("measure", value=lambda r: comparison.measure.name),
        Column("rank", value=lambda r: r.rank),
        Column("share", "share", lambda r: r.share, percent, number=True, repeated=True),
    )
    tables = []
    for column, shared in shares:
        here = [record for record in records if record.column == column]
        ranks = range(1, min(MOST_RANKS, len(shared.rows)) + 1)
        blocks: Blocks[Rank] = Blocks(lambda r: r.row, lambda r: r.rank, {rank: f"rank {rank}" for rank in ranks})
        notes = [
            f"Share of {RESAMPLES} bootstrap samples in which the network has the rank. Drawn anew: "
            f"{'' if column else 'datasets, '}test images (or their groups) and seeds. Assumes that they are as those "
            "that were not drawn; a network with one seed looks more certain than it is."
        ]
        if len(shared.rows) > MOST_RANKS:
            notes.append(f"The first {MOST_RANKS} ranks; all are in stability.csv.")
        title = f"Rank stability, {column.label if column else 'all datasets'}: {comparison.measure.title}"
        name = f"stability-{column.label}" if column else "stability"
        tables.append(Table(name, title, columns, records, tuple(notes), blocks, here, csv="stability"))
    return tables


Planned = tuple[Line, Plan]
"""A dataset, and what it would take there."""


def planning_table(comparison: Comparison) -> Table[Planned]:
    """How many seeds, or images, it would take to tell networks apart that differ by 1 and 2 points."""
    measure = comparison.measure

    def needed(name: str) -> Callable[[Planned], str]:
        return lambda p: "not by these alone" if getattr(p[1], name) is None else str(getattr(p[1], name))

    columns: Sequence[Column[Planned]] = (
        Column("dataset", "dataset", lambda p: p[0].label),
        Column("measure", value=lambda p: measure.name),
        Column("difference", f"to tell, {measure.point_unit}", lambda p: p[1].difference, points(measure), number=True),
        Column("pairs", value=lambda p: p[1].pairs),
        Column("seeds", value=lambda p: p[1].seeds),
        Column("units", value=lambda p: p[1].units),
        Column("power", "told apart now", lambda p: p[1].power, percent, number=True),
        Column("seeds_needed", "seeds it takes", lambda p: p[1].seeds_needed, text=needed("seeds_needed")),
        Column("units_needed", "images it takes", lambda p: p[1].units_needed, text=needed("units_needed")),
    )
    grouped = any(cell.sample and cell.sample.groups for cell in comparison.cells.values())
    units = "images, or groups of these where there are any," if grouped else "images"
    notes = (
        "Told apart now: how often these seeds and images would tell two networks apart that differ so much. Seeds it "
        f"takes: of each network, with the present images; images it takes: {units} with the present seeds; to tell "
        f"them apart in {100 * POWER:.0f} % of experiments.",
        "From the variances between images and between trainings in these runs; assumes that more images and trainings "
        "are as these. Of two or three seeds the plan is rough.",
    )
    return Table("planning", f"Planning: {measure.title}", columns, comparison.plans, notes)


def points(measure: Measure) -> Callable[[float], str]:
    """Return what writes a difference in points."""
    return lambda difference: number(difference * measure.points, 0)
