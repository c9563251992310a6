"""The tables of scores: the comparison, every score of a dataset, other conventions, published figures, what failed."""

from __future__ import annotations

from collections.abc import Sequence

from medseg.metrics.measures import MEASURES, Measure
from medseg.reporting.comparison import Cell, Comparison
from medseg.reporting.costs import Costs
from medseg.reporting.layout import Line
from medseg.reporting.published_cells import PublishedCell
from medseg.reporting.records import Run
from medseg.reporting.render import Entry, Heading, Table, superscript
from medseg.reporting.words import account, count, interval, last_line, number, signed, size, spread, where

STATES = ("failed", "interrupted", "running", "waiting")
"""What a cell without a finished run says, the worst first."""


def comparison_table(comparison: Comparison) -> Table:
    """Rows against datasets: score, spread, interval, runs; then what the rows cost."""
    measure = comparison.measure
    footnotes: list[str] = []
    rows = []
    for row in comparison.rows:
        cells: list[str | Entry] = [row.label]
        for column in comparison.columns:
            cell = comparison.cells.get((row, column))
            cells.append("-" if cell is None else cell_entry(cell, measure, footnotes))
        rows.append((*cells, *cost_entries(comparison.costs[row])))
    sizes = {costs.size for costs in comparison.costs.values() if costs.size}
    at = f" ({size(next(iter(sizes)))})" if len(sizes) == 1 else ""
    headings = (
        Heading("network"),
        *(Heading(column_heading(comparison, column)) for column in comparison.columns),
        Heading("parameters, M", number=True),
        Heading(f"MACs, G{at}", number=True),
        Heading("latency, ms", number=True),
        Heading("memory, MiB", number=True),
        Heading("training, min", number=True),
    )
    notes = (*legend(comparison), *cost_notes(comparison), *comparison.warnings, *footnotes)
    title = f"{measure.heading} of every network on every dataset"
    return Table("comparison", title, headings, tuple(rows), notes)


def cell_entry(cell: Cell, measure: Measure, footnotes: list[str]) -> Entry:
    """Write a cell; what it lacks is added to the footnotes."""
    mark = ""
    if cell.unfinished or cell.unused:
        said = [account(cell.unfinished)] if cell.unfinished else []
        said += (
            [f"not used, since another fold is missing: {', '.join(map(where, cell.unused))}"] if cell.unused else []
        )
        mark = superscript(len(footnotes) + 1)
        footnotes.append(f"{mark} {cell.row.label} on {cell.column.label}: {'; '.join(said)}")
    score = cell.scores.get(measure.name)
    done = len(cell.runs) - len(cell.unfinished) - len(cell.unused)
    if score is None:
        states = [state for state in STATES if any(run.state == state for run in cell.runs)]
        return Entry(states[0] if states and not done else "-", mark)
    runs = str(done) if done == len(cell.runs) else f"{done} of {len(cell.runs)}"
    like = " ≈" if cell.like_best else ""
    after = f"{spread(score, measure)}{interval(score, measure)} ({runs}){like}{mark}"
    return Entry(number(score.mean, measure.digits), after, cell.place)


def column_heading(comparison: Comparison, column: Line) -> str:
    """Name a dataset, with its number of test images where that is the same for all rows."""
    images = {len(cell.sample.ids) for (_, of), cell in comparison.cells.items() if of == column and cell.sample}
    return f"{column.label}, {count(images.pop(), 'image')}" if len(images) == 1 else column.label


def cost_entries(costs: Costs) -> tuple[str, ...]:
    """Write what a row costs."""

    def in_units(value: float | None, unit: float, digits: int) -> str:
        return "-" if value is None else number(value / unit, digits)

    return (
        in_units(costs.parameters, 1e6, 2),
        in_units(costs.macs, 1e9, 2),
        number(costs.latency_ms, 1),
        number(costs.memory_mib, 0),
        in_units(costs.training_seconds, 60, 1),
    )


def legend(comparison: Comparison) -> list[str]:
    """Say how to read a cell."""
    measure = comparison.measure
    cells = [cell for cell in comparison.cells.values() if measure.name in cell.scores]
    seeds = any(cell.scores[measure.name].sd is not None for cell in cells)
    folds = any(run.fold is not None for cell in cells for run in cell.runs)
    several = any(cell.sample.counts.shape[2] > 1 for cell in cells if cell.sample)
    what = "mean over images" if measure.convention == "per_image" else "of all images together"
    if several and measure.convention in ("per_image", "pooled"):
        what += ", mean over the foreground classes"
    over = "images and seeds" if seeds else "images"
    parts = [f"{measure.title}: {what}", "mean ± deviation over seeds"] if seeds else [f"{measure.title}: {what}"]
    parts += [f"[95 % bootstrap interval over {over}]", "(finished runs)"]
    notes = ["; ".join(parts) + ("; the folds of a seed are pooled" if folds else "") + "."]
    if any(cell.place for cell in cells):
        test = "Wilcoxon's signed-rank test" if measure.convention == "per_image" else "a paired t-test"
        notes.append(
            f"Bold: best of the dataset; underlined: second; ≈: not distinguishable from the best ({test}, Holm's "
            "correction for all pairs, 5 %; or an interval of the difference that holds 0)."
        )
    return notes


def cost_notes(comparison: Comparison) -> list[str]:
    """Say what the costs were measured with."""
    costs = list(comparison.costs.values())
    notes = []
    measured = sorted({c.measured_on for c in costs if c.measured_on})
    if measured:
        notes.append(
            f"Latency: median of one image; memory: the most that training takes. Measured on: {'; '.join(measured)}."
        )
    if len({c.size for c in costs if c.size}) > 1:
        at = [f"{row.label} {size(c.size)}" for row, c in comparison.costs.items() if c.size]
        notes.append(f"Not all rows were measured at the same size: {', '.join(at)}.")
    if any(c.macs is None for c in costs):
        notes.append("MACs, latency and memory are there once python -m medseg.benchmark has measured them.")
    if any(c.training_seconds is not None for c in costs):
        notes.append("Training: of one run, mean over the finished runs of the row.")
    return notes


def score_tables(comparison: Comparison, column: Line) -> list[Table]:
    """Every score of a dataset, and what other conventions make of the same runs."""
    tables = []
    for name, title, chosen in (
        ("scores", "All scores", [m for m in MEASURES.values() if m.convention == "per_image"]),
        (
            "conventions",
            "Other conventions",
            [*OVERLAPS, *(m for m in MEASURES.values() if m.convention != "per_image")],
        ),
    ):
        shown = [m for m in chosen if any(m.name in cell.scores for cell in column_cells(comparison, column))]
        rows: list[tuple[str | Entry, ...]] = [
            (cell.row.label, *(score_entry(cell, measure, comparison, column) for measure in shown))
            for cell in column_cells(comparison, column)
            if cell.scores
        ]
        if rows:
            headings = (Heading("network"), *(Heading(m.heading, number=True) for m in shown))
            tables.append(Table(f"{name}-{column.label}", f"{title}: {column.label}", headings, tuple(rows)))
    return tables


OVERLAPS = (MEASURES["dice"], MEASURES["iou"])


def column_cells(comparison: Comparison, column: Line) -> list[Cell]:
    """Return the cells of a dataset in the order of the rows."""
    places = [(row, column) for row in comparison.rows]
    return [comparison.cells[place] for place in places if place in comparison.cells]


def score_entry(cell: Cell, measure: Measure, comparison: Comparison, column: Line) -> Entry:
    """Write a score with its deviation; bold and underlined by the mean alone."""
    score = cell.scores.get(measure.name)
    if score is None:
        return Entry("-")
    others = {c.scores[measure.name].mean for c in column_cells(comparison, column) if measure.name in c.scores}
    order = sorted(others, reverse=measure.higher_is_better)
    place = order.index(score.mean) + 1
    return Entry(number(score.mean, measure.digits), spread(score, measure), place if len(order) > 1 else None)


def published_table(cells: Sequence[PublishedCell]) -> Table:
    """Our scores beside published ones, each pair under the convention of the published one."""
    rows = []
    for cell in cells:
        found = cell.published
        rows.append(
            (
                cell.row.label,
                cell.column.label,
                cell.measure.title,
                f"{number(cell.ours.mean, 3)}{interval(cell.ours, cell.measure)}",
                number(found.value, 3),
                "-" if cell.difference is None else signed(cell.difference * 100, 1),
                "; ".join(cell.differs_in) or "nothing known",
                f"{found.source}{f', {found.year}' if found.year and found.year not in found.source else ''}",
            )
        )
    headings = (
        Heading("network", share=0.1),
        Heading("dataset"),
        Heading("score", share=0.08),
        Heading("ours", share=0.13),
        Heading("published", number=True),
        Heading("difference, points", number=True),
        Heading("protocol differs in", share=0.15),
        Heading("source", share=0.17),
    )
    notes = (
        "Ours is taken as the source takes its mean; where the source does not say how, ours is the mean over images.",
        "Difference: ours - published, where both are taken in the same way or the source does not say.",
    )
    return Table("published", "Next to published figures", headings, tuple(rows), notes)


def unfinished_table(runs: Sequence[Run]) -> Table | None:
    """The runs that are not finished, with the last line of their error; None where all are."""
    rows, states = [], {run.state for run in runs}
    for run in runs:
        if not run.finished:
            epochs = run.status.get("max_epochs")
            epoch = "-" if epochs is None else f"{run.status.get('epoch', 0)} of {epochs}"
            rows.append((run.name, run.state, epoch, last_line(run.error) or "-"))
    headings = (
        Heading("run", share=0.35),
        Heading("state"),
        Heading("epoch", number=True),
        Heading("error, last line", share=0.4),
    )
    notes = ("A run of another machine that was killed still says running.",) if "running" in states else ()
    return Table("unfinished", "Runs that are not finished", headings, tuple(rows), notes) if rows else None
