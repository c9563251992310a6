"""The tables of subgroups: the score of every network in each, and the gap between its best and its worst."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from medseg.metrics.measures import Measure
from medseg.reporting.cells import Score
from medseg.reporting.contrasts import level_of
from medseg.reporting.divisions import FEWEST, NO_TARGET, NOT_KNOWN, Division
from medseg.reporting.formatting import interval, level, number, point_digits, signed, spread
from medseg.reporting.line import Line
from medseg.reporting.render.table import Blocks, Column, Entry, Table
from medseg.reporting.subgroups import Divided, Gap, Subgroup, Subgroups
from medseg.reporting.wanted import SIZE

COUNTED = "In brackets after a subgroup: the number of its test images."


class SubgroupRow(NamedTuple):
    """A network on a subgroup."""

    row: Line
    division: Division
    name: str
    measure: Measure
    cell: Subgroup
    gap: Gap | None


def subgroup_tables(subgroups: Subgroups, measure: Measure) -> list[Table[SubgroupRow]]:
    """A table for each way to divide each dataset; CSV: a row for each network and subgroup."""
    by_division = {
        divided: [
            SubgroupRow(row, divided.division, name, measure, cell, divided.gaps.get(row))
            for row, cells in divided.cells.items()
            for name, cell in cells.items()
        ]
        for divided in subgroups.divided
    }
    every = [record for here in by_division.values() for record in here]
    columns: Sequence[Column[SubgroupRow]] = (
        Column("network", "network", lambda r: r.row.label),
        Column("dataset", value=lambda r: r.division.column.label),
        Column("divided_by", value=lambda r: r.division.by),
        Column("subgroup", value=lambda r: r.name),
        Column("measure", value=lambda r: r.measure.name),
        Column(
            "mean", measure.title, lambda r: r.cell.score and r.cell.score.mean, text=entry, number=True, repeated=True
        ),
        Column("sd_over_seeds", value=lambda r: r.cell.score and r.cell.score.sd),
        Column("low", value=lambda r: r.cell.score and r.cell.score.low),
        Column("high", value=lambda r: r.cell.score and r.cell.score.high),
        Column("remark", value=lambda r: r.cell.score and r.cell.score.remark),
        Column("images", value=lambda r: r.cell.images),
        Column("units", value=lambda r: r.cell.units),
        Column("best", value=lambda r: r.gap and r.gap.best),
        Column("worst", value=lambda r: r.gap and r.gap.worst),
        Column("gap", f"gap, {measure.point_unit}", lambda r: r.gap and r.gap.difference, text=gap_entry),
        Column("gap_low", value=lambda r: r.gap and r.gap.low),
        Column("gap_high", value=lambda r: r.gap and r.gap.high),
        Column("gap_level", value=lambda r: r.gap.level if r.gap and r.gap.low is not None else None),
        Column("gap_remark", value=lambda r: r.gap and r.gap.remark),
    )
    tables = []
    for divided, records in by_division.items():
        division = divided.division
        blocks: Blocks[SubgroupRow] = Blocks(lambda r: r.row, lambda r: r.name, headings(divided))
        title = f"{division.column.label} by {division.title}: {measure.title}"
        name = f"subgroups-{division.column.label}-{division.by}"
        table = Table(name, title, columns, every, (COUNTED, *notes(divided)), blocks)
        tables.append(replace(table, displayed=records, csv="subgroups"))
    return tables


def headings(divided: Divided) -> dict[str, str]:
    """Name each subgroup, with its images."""
    return {name: f"{name} ({len(ids)})" for name, ids in divided.division.images.items()}


def entry(record: SubgroupRow) -> Entry:
    """Write a score with its deviation and its interval."""
    score = record.cell.score
    return Entry("-") if score is None else Entry(*text_of(score, record.measure))


def text_of(score: Score, measure: Measure) -> tuple[str, str]:
    """Write a mean, and what follows it: deviation and interval."""
    return number(score.mean, measure.digits), f"{spread(score, measure)}{interval(score, measure)}"


def gap_entry(record: SubgroupRow) -> Entry:
    """Write a gap with its interval, and between which subgroups it is."""
    gap, measure = record.gap, record.measure
    if gap is None:
        return Entry("-")
    digits = point_digits(measure)
    known = [end for end in (gap.low, gap.high) if end is not None]
    ends = gap.remark or ", ".join(signed(end * measure.points, digits) for end in known)
    worst, best = (short(name, record.division) for name in (gap.worst, gap.best))
    return Entry(number(gap.difference * measure.points, digits), f" [{ends}]; worst: {worst}; best: {best}")


def short(name: str, division: Division) -> str:
    """Name a subgroup where its bounds are not needed: `small` for `small, 1 to 2 %`."""
    return name.partition(",")[0] if division.by == SIZE else name


def notes(divided: Divided) -> list[str]:
    """Explain a table."""
    division, lines = divided.division, []
    everywhere = [cells[name] for name in division.images for cells in divided.cells.values() if name in cells]
    units = "groups of images" if any(cell.units < cell.images for cell in everywhere) else "images"
    few = [
        name
        for name in division.images
        if name not in division.apart
        and any(name in cells and cells[name].units < FEWEST for cells in divided.cells.values())
    ]
    compared = len(division.images) - len(division.apart) - len(few)
    if divided.gaps and compared > 2:
        pairs = compared * (compared - 1) // 2
        lines.append(
            f"Gap: from the worst subgroup to the best. Its interval is at {level(level_of(compared))}, so that those "
            f"of all {pairs} pairs of subgroups hold together in 95 %: it stays right although the two were chosen by "
            "their scores. The gap itself is then too large: it is above 0 even where all subgroups are equal."
        )
    elif divided.gaps:
        lines.append("Gap: from the worse subgroup to the better one, with its 95 % interval.")
    if NO_TARGET in division.apart:
        lines.append(f"{NO_TARGET.capitalize()}: images without foreground; not part of the gap.")
    if NOT_KNOWN in division.apart:
        lines.append(f"{NOT_KNOWN.capitalize()}: not part of the gap.")
    if few:
        lines.append(f"Fewer than {FEWEST} {units}, so not part of the gap: {joined(few)}.")
    return lines


def joined(names: Sequence[str]) -> str:
    """List names of subgroups, of which some may have commas."""
    return ("; " if any("," in name for name in names) else ", ").join(names)
