"""The table of the runs: what each is, how it ended, its scores."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from medseg.reporting.comparison import Cell, Comparison
from medseg.reporting.render.table import Column, Table
from medseg.reporting.words import fixed, last_line, where
from medseg.runs.run import Run


@dataclass(frozen=True)
class Listed:
    """A run and its cell; None for a run of no cell."""

    run: Run
    cell: Cell | None

    @cached_property
    def summary(self) -> dict[str, Any]:
        """Of its test; empty where it is not finished."""
        return dict(self.run.summary) if self.run.finished else {}

    def score(self, name: str) -> float | None:
        """Return the mean of a measure."""
        found = self.summary.get("headline", {}).get(name, {}).get("mean")
        return self.summary.get("conventions", {}).get(name) if found is None else found


def runs_table(runs: Sequence[Run], comparison: Comparison, displayed: Sequence[Run] | None = None) -> Table[Listed]:
    """One row for each run; with the runs to display where these are not all."""
    measure = comparison.measure
    cells = {id(run): cell for cell in comparison.cells.values() for run in cell.runs}
    records = [Listed(run, cells.get(id(run))) for run in runs]

    def summary(key: str) -> Callable[[Listed], Any]:
        return lambda record: record.summary.get(key)

    def score(name: str) -> Callable[[Listed], float | None]:
        return lambda record: record.score(name)

    columns: list[Column[Listed]] = [
        Column("run", "" if displayed is None else "run", lambda r: r.run.name),
        Column("experiment", value=lambda r: r.run.experiment),
        *(() if displayed is not None else PLACE),
        Column("state", "state", lambda r: r.run.state),
        Column("epoch", "epoch", lambda r: r.run.status.get("epoch"), text=epoch, number=True),
        Column("model", value=lambda r: r.run.model),
        Column("data", value=lambda r: r.run.data),
        Column("seed", value=lambda r: r.run.seed),
        Column("fold", value=lambda r: r.run.fold),
        Column("images", value=summary("images")),
        Column("epochs", value=summary("epochs")),
        Column("best_epoch", "best epoch", summary("best_epoch"), number=True),
        Column("training_seconds", "training, min", summary("training_seconds"), fixed(1, 60), number=True),
        Column("parameters", value=summary("parameters")),
        *(
            Column(
                one.name,
                one.heading if one.name == measure.name else "",
                score(one.name),
                fixed(one.digits),
                number=True,
            )
            for one in comparison.measures.values()
        ),
        Column("error", "error, last line", lambda r: last_line(r.run.error) or None),
    ]
    shown = None if displayed is None else [record for record in records if any(record.run is one for one in displayed)]
    return Table("runs", "Runs", columns, records, displayed=shown)


PLACE: Sequence[Column[Listed]] = (
    Column("", "network", lambda r: r.cell.row.label if r.cell else r.run.model),
    Column("", "dataset", lambda r: r.cell.column.label if r.cell else r.run.data),
    Column("", "seed", lambda r: where(r.run)),
)
"""Where a run is in the comparison."""


def epoch(record: Listed) -> str:
    """Write how many epochs a run has behind it, and how many it should have."""
    status = record.run.status
    return "-" if status.get("max_epochs") is None else f"{status.get('epoch', 0)} of {status['max_epochs']}"


def unfinished_table(runs: Sequence[Run], comparison: Comparison) -> Table[Listed]:
    """The runs that are not finished, with the last line of their error. CSV: all runs."""
    table = runs_table(runs, comparison, [run for run in runs if not run.finished])
    running = any(record.run.state == "running" for record in table.displayed or ())
    notes = ("A run of another machine that was killed is still listed as running.",) if running else ()
    return Table(
        "unfinished", "Runs that are not finished", table.columns, table.records, notes, None, table.displayed, "runs"
    )
