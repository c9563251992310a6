"""The tables of scores: the comparison with its costs, every score of a dataset."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from medseg.metrics.measures import Measure
from medseg.reporting.comparison import Cell, Comparison, Score
from medseg.reporting.costs import Costs
from medseg.reporting.layout import Line
from medseg.reporting.render.table import Blocks, Column, Entry, Table
from medseg.reporting.statistics import effective_number
from medseg.reporting.words import account, count, fixed, interval, number, size, spread, where

STATES = ("failed", "damaged", "interrupted", "running", "waiting")
"""What a cell without a finished run shows, the worst first."""

ONE_SEED = "Not judged (one seed): a single training does not tell a better network from a lucky training."


class Cost(NamedTuple):
    """A cost: its title, the unit that it is divided by, digits after the point; `at`: it depends on the image size."""

    title: str
    unit: float
    digits: int
    at: bool = False


COSTS = {
    "parameters": Cost("parameters, M", 1e6, 2),
    "macs": Cost("MACs, G", 1e9, 2, at=True),
    "latency_ms": Cost("latency, ms", 1.0, 1),
    "memory_mib": Cost("memory, MiB", 1.0, 0),
    "training_seconds": Cost("training, min", 60.0, 1),
}
"""Attribute of `Costs` -> how it is shown."""


@dataclass(frozen=True)
class Scored:
    """A cell under a measure.

    Args:
        cell: of the comparison.
        measure: what is shown of it.
        costs: of its row.
        place: 1 for bold, 2 for underlined.
        rivals: other cells of its dataset have a score.
    """

    cell: Cell
    measure: Measure
    costs: Costs
    place: int | None
    rivals: bool

    @property
    def score(self) -> Score | None:
        return self.cell.scores.get(self.measure.name)

    @property
    def used(self) -> int:
        """The runs that the score is of."""
        return len(self.cell.runs) - len(self.cell.unfinished) - len(self.cell.unused)


Values = Sequence[Column[Scored]]

SCORE: Values = (
    Column("sd_over_seeds", value=lambda r: r.score and r.score.sd),
    Column("low", value=lambda r: r.score and r.score.low),
    Column("high", value=lambda r: r.score and r.score.high),
    Column("remark", value=lambda r: (r.score and r.score.remark) or None),
)
"""What CSV has of a score beside its mean."""


def comparison_table(comparison: Comparison) -> Table[Scored]:
    """The networks on the datasets: score, spread, interval, runs; and what the networks cost. CSV: a row for each."""
    measure = comparison.measure
    columns: Values = (
        *names(),
        Column("measure", value=lambda r: r.measure.name),
        Column(
            "mean",
            measure.title,
            lambda r: r.score and r.score.mean,
            text=cell_entry,
            order="descending" if measure.higher_is_better else "ascending",
            repeated=True,
        ),
        *SCORE,
        Column("place", value=lambda r: r.place),
        Column("like_best", value=lambda r: r.cell.like_best),
        Column("seeds", value=lambda r: len(r.cell.sample.seeds) if r.cell.sample else 0),
        Column("images", value=lambda r: len(r.cell.sample.ids) if r.cell.sample else 0),
        Column("groups", value=lambda r: groups(r.cell)),
        Column("effective_images", value=lambda r: effective(r.cell, r.measure)),
        Column("runs", value=lambda r: len(r.cell.runs)),
        Column("runs_finished", value=lambda r: len(r.cell.runs) - len(r.cell.unfinished)),
        Column("runs_used", value=lambda r: r.used),
        *cost_columns(comparison),
        Column("measured_height", value=lambda r: r.costs.size and r.costs.size[0]),
        Column("measured_width", value=lambda r: r.costs.size and r.costs.size[1]),
        Column("measured_on", value=lambda r: r.costs.measured_on or None),
    )
    records = []
    for column in comparison.columns:
        cells = comparison.column_cells(column)
        rivals = sum(measure.name in cell.scores for cell in cells) > 1
        records += [Scored(cell, measure, comparison.costs[cell.row], cell.place, rivals) for cell in cells]
    title = f"{measure.heading} of every network on every dataset"
    notes = (*legend(records, measure), *cost_notes(comparison), *comparison.warnings)
    position = {row: place for place, row in enumerate(comparison.rows)}
    records.sort(key=lambda record: position[record.cell.row])
    headings = {column: column_heading(comparison, column) for column in comparison.columns}
    return Table("comparison", title, columns, records, notes, by_dataset(headings))


def names() -> Values:
    """Return the columns that name a cell."""
    return (
        Column("network", "network", lambda r: r.cell.row.label),
        Column("model", value=lambda r: r.cell.row.name),
        Column("dataset", value=lambda r: r.cell.column.label),
    )


def by_dataset(headings: dict[Line, str]) -> Blocks[Scored]:
    """Put the cells of a network side by side."""
    return Blocks(lambda r: r.cell.row, lambda r: r.cell.column, headings)


def groups(cell: Cell) -> int | None:
    """Return how many groups the images of a cell are of; None where these are taken as independent."""
    return len(set(cell.sample.groups)) if cell.sample and cell.sample.groups else None


def effective(cell: Cell, measure: Measure) -> float | None:
    """Return how many independent images would say as much as the groups of a cell do; None without groups."""
    sample = cell.sample
    if sample is None or sample.groups is None or measure.score not in sample.scores:
        return None
    return effective_number(sample.per_image(measure.score), sample.groups)


def cell_entry(record: Scored) -> Entry:
    """Write a cell; what it lacks becomes a footnote."""
    cell, score, notes = record.cell, record.score, []
    lacking = [account(cell.unfinished)] if cell.unfinished else []
    if cell.unused:
        lacking.append(f"not used, since another fold is missing: {', '.join(map(where, cell.unused))}")
    if lacking:
        notes.append(f"{cell.row.label} on {cell.column.label}: {'; '.join(lacking)}")
    if score is None:
        states = [state for state in STATES if any(run.state == state for run in cell.runs)]
        return Entry(states[0] if states and not record.used else "-", notes=tuple(notes))
    if record.rivals and cell.sample and len(cell.sample.seeds) == 1:
        notes.append(ONE_SEED)
    runs = str(record.used) if record.used == len(cell.runs) else f"{record.used} of {len(cell.runs)}"
    like = " ≈" if cell.like_best else ""
    after = f"{spread(score, record.measure)}{interval(score, record.measure)} ({runs}){like}"
    return Entry(number(score.mean, record.measure.digits), after, record.place, tuple(notes))


def column_heading(comparison: Comparison, column: Line) -> str:
    """Name a dataset, with its test images, and the groups of these, where they are the same for all networks."""
    cells = [cell for cell in comparison.column_cells(column) if cell.sample]
    if len({cell.sample.ids for cell in cells if cell.sample}) != 1 or cells[0].sample is None:
        return column.label
    heading = f"{column.label}, {count(len(cells[0].sample.ids), 'image')}"
    number = groups(cells[0])
    if number is not None:
        heading += f" of {count(number, 'group')}"
        numbers = [round(one) for cell in cells if (one := effective(cell, comparison.measure)) is not None]
        if numbers:
            low, high = min(numbers), max(numbers)
            heading += f" (effective number {low if low == high else f'{low} to {high}'})"
    return heading


def cost_columns(comparison: Comparison) -> Values:
    """Return a column for each cost."""
    sizes = {costs.size for costs in comparison.costs.values() if costs.size}
    at = f" ({size(next(iter(sizes)))})" if len(sizes) == 1 else ""

    def value(name: str) -> Callable[[Scored], Any]:
        return lambda record: getattr(record.costs, name)

    return [
        Column(
            name,
            f"{cost.title}{at if cost.at else ''}",
            value(name),
            fixed(cost.digits, cost.unit),
            number=True,
            order="ascending",
        )
        for name, cost in COSTS.items()
    ]


def legend(records: Sequence[Scored], measure: Measure) -> list[str]:
    """Explain the cells."""
    shown = [record for record in records if record.score and record.cell.sample]
    samples = [record.cell.sample for record in shown if record.cell.sample]
    several = any(sample.counts.shape[2] > 1 for sample in samples)
    what = "mean over images" if measure.convention == "per_image" else "of all images together"
    if several and measure.convention in ("per_image", "pooled"):
        what += ", mean over the foreground classes"
    parts = [f"{measure.title}: {what}"]
    if any(record.score and record.score.sd is not None for record in shown):
        parts.append("mean ± standard deviation over seeds")
    over = dict.fromkeys(bracket(record) for record in shown if record.score and record.score.low is not None)
    if over:
        parts.append(f"[95 % t interval {', or '.join(over)}]")
    remarks = dict.fromkeys(record.score.remark for record in shown if record.score and record.score.remark)
    parts += [f"[{remark}]: the interval would leave the range of the score" for remark in remarks]
    parts.append("(finished runs)")
    if any(run.fold is not None for record in shown for run in record.cell.runs):
        parts.append("the folds of a seed are pooled")
    notes = [f"{'; '.join(parts)}."]
    ungrouped = dict.fromkeys(r.cell.column.label for r in shown if r.cell.sample and not r.cell.sample.groups)
    if ungrouped:
        everywhere = len(ungrouped) == len({record.cell.column for record in shown})
        of = "" if everywhere else f" of {', '.join(ungrouped)}"
        notes.append(f"Images{of} are taken as independent.")
    marks = ["bold: best of the dataset"] if any(r.place == 1 for r in shown) else []
    marks += ["underlined: second"] if any(r.place == 2 for r in shown) else []
    if any(record.cell.like_best for record in shown):
        marks.append("≈: not shown to differ from the best (5 % over all pairs of a dataset)")
    return [*notes, f"{'; '.join(marks).capitalize()}."] if marks else notes


def bracket(record: Scored) -> str:
    """Say over what the interval of a cell is."""
    assert record.cell.sample is not None
    what = "groups of images" if record.cell.sample.groups else "images"
    if len(record.cell.sample.seeds) > 1:
        return f"over {what} and trainings"
    return f"over {what} alone (one seed)"


def cost_notes(comparison: Comparison) -> list[str]:
    """Say how the costs were measured."""
    costs = list(comparison.costs.values())
    notes = []
    measured = sorted({c.measured_on for c in costs if c.measured_on})
    if measured:
        notes.append(
            f"Latency: median of one image; memory: peak of a training step. Measured on: {'; '.join(measured)}."
        )
    if len({c.size for c in costs if c.size}) > 1:
        at = [f"{row.label} {size(c.size)}" for row, c in comparison.costs.items() if c.size]
        notes.append(f"Measured at different sizes: {', '.join(at)}.")
    if any(c.training_seconds is not None for c in costs):
        notes.append("Training: of one run, mean over the finished runs of the network.")
    return notes


def score_tables(comparison: Comparison) -> list[Table[Scored]]:
    """Every score of each dataset, then what other conventions make of the same runs. CSV: a row for each score."""
    columns: Values = (
        *names(),
        Column("measure", value=lambda r: r.measure.name),
        Column("mean", "mean", lambda r: r.score and r.score.mean, text=score_entry, number=True, repeated=True),
        *SCORE,
    )
    by_column = {}
    for column in comparison.columns:
        cells = comparison.column_cells(column)
        by_column[column] = [
            record for m in comparison.measures.values() for record in best_by_mean(comparison, cells, m)
        ]
    records = [record for here in by_column.values() for record in here]
    base = Table("scores", "All scores", columns, records, csv="scores")
    tables = []
    for column, here in by_column.items():
        for name, title, single in (("scores", "All scores", True), ("conventions", "Other conventions", False)):
            shown = [
                record
                for record in here
                if (record.measure.convention == "per_image") == single or record.measure.name in ("dice", "iou")
            ]
            if shown:
                headings = {record.measure: record.measure.heading for record in shown}
                blocks: Blocks[Scored] = Blocks(lambda r: r.cell.row, lambda r: r.measure, headings)
                title = f"{title}: {column.label}"
                tables.append(replace(base, name=f"{name}-{column.label}", title=title, blocks=blocks, displayed=shown))
    return tables


def best_by_mean(comparison: Comparison, cells: Sequence[Cell], measure: Measure) -> list[Scored]:
    """Mark the best and the second mean of a dataset, of three networks and more; nothing where one has one seed."""
    having = [cell for cell in cells if measure.name in cell.scores]
    judged = len(having) > 1 and all(cell.sample is None or len(cell.sample.seeds) > 1 for cell in having)
    order = sorted({cell.scores[measure.name].mean for cell in having}, reverse=measure.higher_is_better)
    places = dict(zip(order, (1, 2) if len(having) > 2 else (1,), strict=False)) if judged else {}
    return [
        Scored(cell, measure, comparison.costs[cell.row], places.get(cell.scores[measure.name].mean), len(having) > 1)
        for cell in having
    ]


def score_entry(record: Scored) -> Entry:
    """Write a score with its deviation."""
    assert record.score is not None
    text = number(record.score.mean, record.measure.digits)
    return Entry(text, spread(record.score, record.measure), record.place)
