"""The table of external tests: the networks' own test, the external one, and what is lost between them."""

from __future__ import annotations

from medseg.metrics.measures import Measure
from medseg.reporting.comparison import Comparison
from medseg.reporting.drops import Drop, find_drops
from medseg.reporting.formatting import count, fixed, point_digits, signed
from medseg.reporting.render.table import Column, Table
from medseg.reporting.samples import Sample


def external_table(comparison: Comparison) -> Table[Drop]:
    """One row for each network and external test."""
    measure = comparison.measure
    drops = [drop for column in comparison.columns if column.external for drop in find_drops(comparison, column)]
    columns = (
        Column[Drop]("network", "network", lambda d: d.row.label),
        Column[Drop]("test", "external test", lambda d: d.column.label),
        Column[Drop]("measure", value=lambda d: measure.name),
        Column[Drop]("scored_at", value=lambda d: comparison.at or "native size"),
        Column[Drop]("own", "own test", show=fixed(measure.digits), number=True),
        Column[Drop]("external", "external", show=fixed(measure.digits), number=True),
        Column[Drop](
            "drop", f"drop, {measure.point_unit} [95 % interval]", text=lambda d: drop_text(d, measure), number=True
        ),
        Column[Drop]("low"),
        Column[Drop]("high"),
        Column[Drop]("seeds", "seeds", number=True),
        Column[Drop]("own_images", "own images", lambda d: images(d.cells[0].sample)),
        Column[Drop]("external_images", "external images", lambda d: images(d.cells[1].sample)),
    )
    what = "own - external" if measure.higher_is_better else "external - own, so that a positive one is a loss"
    shown = [drop for drop in drops if drop.low is not None]
    over = "the images of both tests (groups of them where these are known), which are independent of each other"
    trainings = ", and over trainings, the difference being taken for each seed" * any(drop.seeds > 1 for drop in shown)
    notes = [
        f"{measure.title} of the seeds that have both tests. Drop: {what}."
        + (f" Its t interval is over {over}{trainings}." if shown else "")
    ]
    if any(drop.seeds == 1 for drop in shown) and comparison.rows:
        notes.append("With one seed, the interval is over images alone.")
    return Table("external", f"Own and external tests: {measure.title}", columns, drops, tuple(notes))


def images(sample: Sample | None) -> str | None:
    """Say how many images a test has, and of how many groups."""
    if sample is None:
        return None
    groups = f" of {count(len(set(sample.groups)), 'group')}" if sample.groups else ""
    return f"{len(sample.ids)}{groups}"


def drop_text(drop: Drop, measure: Measure) -> str:
    """Write a drop in points, with its interval."""
    if drop.drop is None:
        return "-"
    digits = point_digits(measure)
    text = signed(drop.drop * measure.points, digits)
    if drop.low is None or drop.high is None:
        return text
    return f"{text} [{signed(drop.low * measure.points, digits)}, {signed(drop.high * measure.points, digits)}]"
