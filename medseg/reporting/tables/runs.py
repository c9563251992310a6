"""The table of the runs: what each is, how it ended, its scores."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from medseg.metrics.measures import Measure
from medseg.reporting.cells import Cell
from medseg.reporting.comparison import Comparison
from medseg.reporting.formatting import fixed, last_line, seed_and_fold
from medseg.reporting.render.table import Column, Table
from medseg.runs.run import Run


@dataclass(frozen=True)
class RunRow:
    """A run and its cell; None for a run of no cell."""

    run: Run
    cell: Cell | None

    @cached_property
    def summary(self) -> dict[str, Any]:
        """Of its test; empty where it is not finished."""
        return dict(self.run.summary) if self.run.finished else {}


def runs_table(runs: Sequence[Run], comparison: Comparison) -> Table[RunRow]:
    """One row for each run."""
    cells = {id(run): cell for cell in comparison.cells.values() for run in cell.runs}
    records = [RunRow(run, cells.get(id(run))) for run in runs]

    def of_run(key: str, title: str = "") -> Column[RunRow]:
        return Column(key, title, lambda r: getattr(r.run, key))

    def of_summary(key: str, title: str = "", show: Callable[[Any], str] = str) -> Column[RunRow]:
        return Column(key, title, lambda r: r.summary.get(key), show, number=True)

    def score(measure: Measure) -> Column[RunRow]:
        title = measure.heading if measure.name == comparison.measure.name else ""
        return Column(measure.name, title, lambda r: r.run.scores.get(measure.name), fixed(measure.digits), number=True)

    columns: list[Column[RunRow]] = [
        Column("", "network", lambda r: r.cell.row.label if r.cell else r.run.model),
        Column("", "dataset", lambda r: r.cell.column.label if r.cell else r.run.data),
        Column("", "seed", lambda r: seed_and_fold(r.run)),
        of_run("state", "state"),
        *map(of_run, ("experiment", "model", "data", "seed", "fold")),
        of_summary("images"),
        *map(score, comparison.measures.values()),
        of_summary("best_epoch", "best epoch"),
        Column("epoch", "epoch", lambda r: r.run.status.get("epoch"), text=epoch, number=True),
        of_summary("training_seconds", "training, min", fixed(1, 60)),
        of_summary("parameters"),
        Column("run", "run", lambda r: r.run.name),
        Column("error", "error, last line", lambda r: last_line(r.run.error) or None),
    ]
    return Table("runs", "Runs", columns, records)


def epoch(record: RunRow) -> str:
    """Write how many epochs a run has behind it, and how many it should have."""
    status = record.run.status
    return "-" if status.get("max_epochs") is None else f"{status.get('epoch', 0)} of {status['max_epochs']}"


def unfinished_table(runs: Sequence[Run], comparison: Comparison) -> Table[RunRow]:
    """The runs without test scores, with the last line of their error. CSV: all runs."""
    table = runs_table(runs, comparison)
    shown = [record for record in table.records if not record.run.finished]
    running = any(record.run.state == "running" for record in shown)
    notes = ("A run of another machine that was killed is still listed as running.",) if running else ()
    title = "Runs that are not finished"
    return replace(table, name="unfinished", title=title, notes=notes, displayed=shown, csv="runs")
