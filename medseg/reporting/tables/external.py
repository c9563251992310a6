"""The table of external tests: the internal test, the external one, and what is lost between them."""

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
        Column[Drop]("internal", "internal test", lambda d: d.own, fixed(measure.digits), number=True),
        Column[Drop]("external", "external", show=fixed(measure.digits), number=True),
        Column[Drop](
            "drop", f"drop, {measure.point_unit} [95 % interval]", text=lambda d: drop_text(d, measure), number=True
        ),
        Column[Drop]("low"),
        Column[Drop]("high"),
        Column[Drop]("seeds", "seeds", number=True),
        *units("internal", 0),
        *units("external", 1),
    )
    what = "internal - external" if measure.higher_is_better else "external - internal, so a positive one is a loss"
    shown = [drop for drop in drops if drop.low is not None]
    over = "the images of both tests (groups of them where these are known), which are independent of each other"
    trainings = ", and over trainings, the difference being taken for each seed" * any(drop.seeds > 1 for drop in shown)
    notes = [
        f"{measure.title} of the seeds that have both tests. Drop: {what}."
        + (f" Its t interval is over {over}{trainings}." if shown else "")
    ]
    remarks = dict.fromkeys(drop.remark for drop in drops if drop.remark)
    notes += [f"[{remark}]: the interval would leave what a drop of the score can be." for remark in remarks]
    if any(drop.seeds == 1 for drop in shown) and comparison.rows:
        notes.append("With one seed, the interval is over images alone.")
    return Table("external", f"Internal and external tests: {measure.title}", columns, drops, tuple(notes))


def units(test: str, number: int) -> list[Column[Drop]]:
    """Return the columns of the images of a test, the internal one (0) or the external one (1), and of their groups."""

    def sample(drop: Drop) -> Sample | None:
        return drop.cells[number].sample

    def images(drop: Drop) -> int | None:
        of = sample(drop)
        return len(of.ids) if of else None

    def groups(drop: Drop) -> int | None:
        of = sample(drop)
        return len(set(of.groups)) if of and of.groups else None

    def text(drop: Drop) -> str:
        grouped = groups(drop)
        known = "-" if images(drop) is None else str(images(drop))
        return known if grouped is None else f"{known} of {count(grouped, 'group')}"

    return [
        Column(f"{test}_images", f"{test} images", images, text=text, number=True),
        Column(f"{test}_groups", value=groups),
    ]


def drop_text(drop: Drop, measure: Measure) -> str:
    """Write a drop in points, with its interval."""
    if drop.drop is None:
        return "-"
    digits = point_digits(measure)
    text = signed(drop.drop * measure.points, digits)
    if drop.remark:
        return f"{text} [{drop.remark}]"
    if drop.low is None or drop.high is None:
        return text
    return f"{text} [{signed(drop.low * measure.points, digits)}, {signed(drop.high * measure.points, digits)}]"
