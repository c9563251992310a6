"""What would come out another time: the ranks in other samples, and the seeds and images that it takes to tell more."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from operator import attrgetter
from typing import Any, NamedTuple

from medseg.reporting.comparison import Comparison
from medseg.reporting.formatting import fixed, percent
from medseg.reporting.layout import Line
from medseg.reporting.planning import MOST_SEEDS, MOST_UNITS, POWER, Plan
from medseg.reporting.ranks import RESAMPLES
from medseg.reporting.render.table import Blocks, Column, Table

MOST_RANKS = 6
"""Displayed of a network; all are in CSV."""


class Rank(NamedTuple):
    """The share of samples in which a network has a rank; `where` is the dataset, or all of them."""

    where: str
    row: Line
    rank: int
    share: float


def stability_tables(comparison: Comparison, most: int = MOST_RANKS) -> list[Table[Rank]]:
    """How often each network has each of `most` ranks in bootstrap samples: over all datasets, on each. CSV: all."""
    stability, measure = comparison.stability, comparison.measure
    if stability is None:
        return []
    shares = {"": stability.overall} if stability.overall else {}
    shares |= {column.label: of for column, of in stability.columns.items()}
    records = {
        where: [
            Rank(where or "all datasets", row, rank, float(share))
            for row, line in zip(of.rows, of.shares, strict=True)
            for rank, share in enumerate(line, start=1)
        ]
        for where, of in shares.items()
    }
    every = [record for several in records.values() for record in several]
    columns: Sequence[Column[Rank]] = (
        Column("dataset", value=lambda r: r.where),
        Column("network", "network", lambda r: r.row.label),
        Column("measure", value=lambda r: measure.name),
        Column("rank"),
        Column("share", "share", show=percent, number=True, repeated=True),
    )
    single = {row for (row, _), cell in comparison.cells.items() if cell.sample and len(cell.sample.seeds) == 1}
    several = {row for (row, _), cell in comparison.cells.items() if cell.sample and len(cell.sample.seeds) > 1}
    tables = []
    for where, of in shares.items():
        ranks = range(1, min(most, len(of.rows)) + 1)
        over = f"{'' if where else 'datasets, '}images (or groups of them) and seeds"
        notes = [
            f"Share of {RESAMPLES} bootstrap samples of {over} in which the network has the rank: how sure the order "
            "is. It assumes that these are a random sample of what there could be."
        ]
        if single.intersection(of.rows) - several:
            notes.append("A network with one seed looks surer than it is: its trainings cannot be drawn anew.")
        if len(of.rows) > most:
            notes.append(f"The first {most} ranks; all are in stability.csv.")
        name, title = f"stability-{where}" if where else "stability", where or "all datasets"
        blocks: Blocks[Rank] = Blocks(lambda r: r.row, lambda r: r.rank, {rank: f"rank {rank}" for rank in ranks})
        table = Table(name, f"Rank stability, {title}: {measure.title}", columns, every, tuple(notes), blocks)
        tables.append(replace(table, displayed=records[where], csv="stability"))
    return tables


def planning_table(comparison: Comparison) -> Table[tuple[Line, Plan]]:
    """How many seeds, or images, it takes to show a difference of 1 and of 2 points, or units of the score."""
    measure = comparison.measure
    grouped = any(cell.sample and cell.sample.groups for cell in comparison.cells.values())
    units = "images or groups" if grouped else "images"

    def of_plan(
        key: str, title: str = "", show: Callable[[Any], str] = str, most: int = 0
    ) -> Column[tuple[Line, Plan]]:
        """Return the column of an attribute; `most`: of what was tried, where None is that this is not enough."""
        value = attrgetter(key)
        text = (lambda p: f">{most}" if value(p[1]) is None else str(value(p[1]))) if most else None
        return Column(key, title, lambda p: value(p[1]), show, text, number=bool(title))

    columns: Sequence[Column[tuple[Line, Plan]]] = (
        Column("dataset", "dataset", lambda p: p[0].label),
        Column("measure", value=lambda p: measure.name),
        of_plan("difference", f"to tell, {measure.point_unit}", fixed(0, 1 / measure.points)),
        of_plan("pairs"),
        of_plan("seeds", "seeds now"),
        of_plan("units", f"{units} now"),
        of_plan("power", "power now", percent),
        of_plan("seeds_needed", f"seeds, with these {units}", most=MOST_SEEDS),
        of_plan("units_needed", f"{units}, with these seeds", most=MOST_UNITS),
    )
    notes = (
        "Power: the probability that the rule tells two networks apart that differ by so much, all pairs of the "
        f"dataset being judged together. Needed: for a power of {percent(POWER)}.",
        "From the variances of these runs, as if what is added were like what is there. Two or three seeds know the "
        "variance between trainings only roughly, so take the numbers as orders of magnitude.",
    )
    return Table("planning", f"Planning: {measure.title}", columns, comparison.plans, notes)
