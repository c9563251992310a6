"""What would come out another time: the ranks in other samples, and the seeds and images that it takes to tell more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from medseg.reporting.comparison import Comparison
from medseg.reporting.layout import Line
from medseg.reporting.planning import MOST_SEEDS, MOST_UNITS, POWER, Plan
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


def stability_tables(comparison: Comparison, most: int = MOST_RANKS) -> list[Table[Rank]]:
    """How often each network has each rank in bootstrap samples: over all datasets, on each. CSV: one for all.

    Args:
        comparison: that has been judged.
        most: ranks to display.
    """
    stability = comparison.stability
    if stability is None:
        return []
    shares: list[tuple[Line | None, Shares[Line]]] = list(stability.columns.items())
    shares = [*([(None, stability.overall)] if stability.overall else []), *shares]
    records = [
        Rank(column, row, rank, float(share))
        for column, table in shares
        for row, line in zip(table.rows, table.shares, strict=True)
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
    for column, table in shares:
        ranks = range(1, min(most, len(table.rows)) + 1)
        blocks: Blocks[Rank] = Blocks(lambda r: r.row, lambda r: r.rank, {rank: f"rank {rank}" for rank in ranks})
        here = [record for record in records if record.column == column]
        where = column.label if column else "all datasets"
        over = "images (or groups of them) and seeds" if column else "datasets, images (or groups of them) and seeds"
        notes = [
            f"Share of {RESAMPLES} bootstrap samples of {over} in which the network has the rank: how sure the order "
            "is. It assumes that these are a random sample of what there could be."
        ]
        if any(len(seeds_of(comparison, row)) == 1 for row in table.rows):
            notes.append("A network with one seed looks surer than it is: its trainings cannot be drawn anew.")
        if len(table.rows) > most:
            notes.append(f"The first {most} ranks; all are in stability.csv.")
        title = f"Rank stability, {where}: {comparison.measure.title}"
        name = f"stability-{column.label}" if column else "stability"
        tables.append(Table(name, title, columns, records, tuple(notes), blocks, here, csv="stability"))
    return tables


def seeds_of(comparison: Comparison, row: Line) -> set[int]:
    """Return the seeds of a row."""
    cells = (cell for (line, _), cell in comparison.cells.items() if line == row and cell.sample)
    return {seed for cell in cells if cell.sample for seed in cell.sample.seeds}


def planning_table(comparison: Comparison) -> Table[tuple[Line, Plan]]:
    """How many seeds, or images, it takes to tell two networks apart that differ by 1 and 2 points."""
    measure = comparison.measure
    grouped = any(cell.sample and cell.sample.groups for cell in comparison.cells.values())
    units = "images or groups" if grouped else "images"
    columns: Sequence[Column[tuple[Line, Plan]]] = (
        Column("dataset", "dataset", lambda p: p[0].label),
        Column("measure", value=lambda p: measure.name),
        Column(
            "difference",
            f"to tell, {measure.point_unit}",
            lambda p: p[1].difference,
            lambda value: number(value * measure.points, 0),
            number=True,
        ),
        Column("pairs", value=lambda p: p[1].pairs),
        Column("seeds", "seeds now", lambda p: p[1].seeds, number=True),
        Column("units", f"{units} now", lambda p: p[1].units, number=True),
        Column("power", "power now", lambda p: p[1].power, percent, number=True),
        Column(
            "seeds_needed",
            f"seeds, with these {units}",
            lambda p: p[1].seeds_needed,
            text=lambda p: at_most(p[1].seeds_needed, MOST_SEEDS),
            number=True,
        ),
        Column(
            "units_needed",
            f"{units}, with these seeds",
            lambda p: p[1].units_needed,
            text=lambda p: at_most(p[1].units_needed, MOST_UNITS),
            number=True,
        ),
    )
    notes = (
        "Power: the probability that the rule tells two networks apart that differ by so much, all pairs of the "
        f"dataset being judged together. Needed: for a power of {percent(POWER)}.",
        "From the variances of these runs, as if what is added were like what is there. Two or three seeds know the "
        "variance between trainings only roughly, so take the numbers as orders of magnitude.",
    )
    return Table("planning", f"Planning: {measure.title}", columns, comparison.plans, notes)


def at_most(needed: int | None, most: int) -> str:
    """Write a number that is needed; None where the most that was tried is not enough."""
    return f">{most}" if needed is None else str(needed)
