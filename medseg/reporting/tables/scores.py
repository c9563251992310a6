"""The tables of scores: the comparison with its costs, every score of a dataset."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from medseg.metrics.measures import Measure
from medseg.reporting.cells import Cell, Score
from medseg.reporting.clustering import effective_number
from medseg.reporting.comparison import Comparison, ranks_of
from medseg.reporting.costs import Costs
from medseg.reporting.formatting import count, describe_runs, describe_unused, interval, listed, number, spread
from medseg.reporting.line import Line
from medseg.reporting.render.table import Blocks, Column, Entry, Table
from medseg.reporting.tables.costs import cost_columns, cost_notes

STATES = ("trained", "failed", "damaged", "interrupted", "running", "waiting")
"""What a cell without a finished run shows, the worst first."""

ONE_SEED = "Not judged (one seed): a single training does not tell a better network from a lucky training."


@dataclass(frozen=True)
class ScoreRow:
    """A cell under a measure, with the costs of its row.

    `rank` is 1 for bold, 2 for underlined; `rivals`: other cells of its dataset have a score.
    """

    cell: Cell
    measure: Measure
    costs: Costs
    rank: int | None
    rivals: bool

    @property
    def score(self) -> Score | None:
        return self.cell.scores.get(self.measure.name)

    @property
    def seeds(self) -> int:
        return len(self.cell.sample.seeds) if self.cell.sample else 0

    @property
    def images(self) -> int:
        return len(self.cell.sample.ids) if self.cell.sample else 0

    @property
    def groups(self) -> int | None:
        """How many groups the images are of; None where these are taken as independent."""
        return len(set(self.cell.sample.groups)) if self.cell.sample and self.cell.sample.groups else None

    @property
    def effective_images(self) -> float | None:
        """How many independent images would show as much as the groups do; None without groups."""
        sample = self.cell.sample
        if sample is None or sample.groups is None or self.measure.score not in sample.scores:
            return None
        return effective_number(sample.per_image(self.measure.score), sample.groups)

    @property
    def runs_used(self) -> int:
        """The runs that the score is of."""
        return len(self.cell.runs) - len(self.cell.unfinished) - len(self.cell.unused)


Values = Sequence[Column[ScoreRow]]

NAMES: Values = (
    Column("network", "network", lambda r: r.cell.row.label),
    Column("model", value=lambda r: r.cell.row.name),
    Column("dataset", value=lambda r: r.cell.column.label),
    Column("measure", value=lambda r: r.measure.name),
)

MEAN: Column[ScoreRow] = Column("mean", "mean", lambda r: r.score and r.score.mean, repeated=True)

SCORE: Values = (
    Column("sd_over_seeds", value=lambda r: r.score and r.score.sd),
    Column("low", value=lambda r: r.score and r.score.low),
    Column("high", value=lambda r: r.score and r.score.high),
    Column("remark", value=lambda r: r.score and r.score.remark),
)
"""What CSV has of a score beside its mean."""


def comparison_table(comparison: Comparison) -> Table[ScoreRow]:
    """The networks on the datasets: score, spread, interval, runs; and what the networks cost. CSV: a row for each."""
    measure = comparison.measure
    order = "descending" if measure.higher_is_better else "ascending"
    columns: Values = (
        *NAMES,
        Column("scored_at", value=lambda r: comparison.at or "native size"),
        replace(MEAN, title=measure.title, text=cell_entry, order=order),
        *SCORE,
        Column("rank"),
        Column("like_best", value=lambda r: r.cell.like_best),
        *map(Column[ScoreRow], ("seeds", "images", "groups", "effective_images")),
        Column("runs", value=lambda r: len(r.cell.runs)),
        Column("runs_finished", value=lambda r: len(r.cell.runs) - len(r.cell.unfinished)),
        Column("runs_used"),
        *cost_columns(comparison),
    )
    headings, records = {}, []
    for column in comparison.columns:
        cells = comparison.column_cells(column)
        rivals = sum(measure.name in cell.scores for cell in cells) > 1
        here = [ScoreRow(cell, measure, comparison.costs[cell.row], cell.rank, rivals) for cell in cells]
        headings[column] = column_heading(column, here)
        records += here
    notes = (*legend(records, measure), *cost_notes(comparison), *comparison.warnings)
    position = {row: k for k, row in enumerate(comparison.rows)}
    records.sort(key=lambda record: position[record.cell.row])
    blocks: Blocks[ScoreRow] = Blocks(lambda r: r.cell.row, lambda r: r.cell.column, headings)
    return Table("comparison", f"{measure.heading} of every network on every dataset", columns, records, notes, blocks)


def cell_entry(record: ScoreRow) -> Entry:
    """Write a cell; what it lacks becomes a footnote."""
    cell, score, notes = record.cell, record.score, []
    lacking = [describe_runs(cell.unfinished)] if cell.unfinished else []
    if cell.unused:
        lacking.append(f"not used: {describe_unused(cell.unused)}")
    if lacking:
        notes.append(f"{cell.row.label} on {cell.column.label}: {'; '.join(lacking)}")
    if score is None:
        states = [state for state in STATES if any(run.state == state for run in cell.runs)]
        return Entry(states[0] if states and not record.runs_used else "-", notes=tuple(notes))
    if record.rivals and record.seeds == 1:
        notes.append(ONE_SEED)
    of = f" of {len(cell.runs)}" if record.runs_used < len(cell.runs) else ""
    entry = score_entry(record)
    after = f"{entry.after}{interval(score, record.measure)} ({record.runs_used}{of}){' ≈' if cell.like_best else ''}"
    return replace(entry, after=after, notes=tuple(notes))


def score_entry(record: ScoreRow) -> Entry:
    """Write a score with its deviation."""
    assert record.score is not None
    text = number(record.score.mean, record.measure.digits)
    return Entry(text, spread(record.score, record.measure), record.rank)


def column_heading(column: Line, records: Sequence[ScoreRow]) -> str:
    """Name a dataset, with its test images, and the groups of these, where they are the same for all networks."""
    having = [record for record in records if record.cell.sample]
    if len({record.cell.sample.ids for record in having if record.cell.sample}) != 1:
        return column.label
    heading = f"{column.label}, {count(having[0].images, 'image')}"
    if having[0].groups is None:
        return heading
    heading += f" of {count(having[0].groups, 'group')}"
    numbers = sorted({round(one) for record in having if (one := record.effective_images) is not None})
    between = dict.fromkeys(map(str, numbers[:1] + numbers[-1:]))
    return f"{heading} (effective number {' to '.join(between)})" if between else heading


def legend(records: Sequence[ScoreRow], measure: Measure) -> list[str]:
    """Explain the cells."""
    shown = [(record, record.score, record.cell.sample) for record in records if record.score and record.cell.sample]
    what = "mean over images" if measure.convention == "per_image" else "of all images together"
    several = any(sample.counts.shape[2] > 1 for _, _, sample in shown)
    if several and measure.convention in ("per_image", "pooled"):
        what += ", mean over the foreground classes"
    parts = [f"{measure.title}: {what}"]
    if any(score.sd is not None for _, score, _ in shown):
        parts.append("mean ± standard deviation over seeds")
    over = dict.fromkeys(
        f"over {'groups of images' if sample.groups else 'images'} "
        + ("and trainings" if len(sample.seeds) > 1 else "alone (one seed)")
        for _, score, sample in shown
        if score.low is not None
    )
    if over:
        parts.append(f"[95 % t interval {', or '.join(over)}]")
    remarks = dict.fromkeys(score.remark for _, score, _ in shown if score.remark)
    parts += [f"[{remark}]: the interval would leave the range of the score" for remark in remarks]
    parts.append("(finished runs)")
    if any(run.fold is not None for record, _, _ in shown for run in record.cell.runs):
        parts.append("the folds of a seed are pooled")
    notes = [f"{'; '.join(parts)}."]
    ungrouped = dict.fromkeys(record.cell.column.label for record, _, sample in shown if not sample.groups)
    if ungrouped:
        everywhere = len(ungrouped) == len({record.cell.column for record, _, _ in shown})
        of = "" if everywhere else f" of {listed(list(ungrouped))}"
        notes.append(f"Images{of} are taken as independent.")
    marks = {
        "bold: best of the dataset": any(record.rank == 1 for record, _, _ in shown),
        "underlined: second": any(record.rank == 2 for record, _, _ in shown),
        "≈: not shown to differ from the best (5 % over all pairs of a dataset)": any(
            record.cell.like_best for record, _, _ in shown
        ),
    }
    there = "; ".join(mark for mark, is_there in marks.items() if is_there)
    return [*notes, f"{there.capitalize()}."] if there else notes


def score_tables(comparison: Comparison) -> list[Table[ScoreRow]]:
    """Every score of each dataset, then what other conventions make of the same runs. CSV: a row for each score."""
    scored_at: Column[ScoreRow] = Column("scored_at", value=lambda r: comparison.at or "native size")
    columns: Values = (*NAMES, scored_at, replace(MEAN, text=score_entry, number=True), *SCORE)
    by_column = {
        column: [record for measure in comparison.measures.values() for record in ranked(comparison, column, measure)]
        for column in comparison.columns
    }
    records = [record for here in by_column.values() for record in here]
    tables = []
    for column, here in by_column.items():
        for name, title, single in (("scores", "All scores", True), ("conventions", "Other conventions", False)):
            shown = [
                record
                for record in here
                if (record.measure.convention == "per_image") == single or record.measure.name in ("dice", "iou")
            ]
            headings = {record.measure: record.measure.heading for record in shown}
            blocks: Blocks[ScoreRow] = Blocks(lambda r: r.cell.row, lambda r: r.measure, headings)
            table = Table(f"{name}-{column.label}", f"{title}: {column.label}", columns, records, blocks=blocks)
            tables += [replace(table, displayed=shown, csv="scores")] if shown else []
    return tables


def ranked(comparison: Comparison, column: Line, measure: Measure) -> list[ScoreRow]:
    """Return the cells of a dataset that have a measure, with their ranks by it."""
    having = [cell for cell in comparison.column_cells(column) if measure.name in cell.scores]
    ranks = ranks_of(having, measure)
    return [
        ScoreRow(cell, measure, comparison.costs[cell.row], ranks.get(cell.row), len(having) > 1) for cell in having
    ]
