"""The columns of costs in the table of the comparison, and their notes."""

from __future__ import annotations

from operator import attrgetter
from typing import Any, NamedTuple

from medseg.reporting.comparison import Comparison
from medseg.reporting.formatting import count, fixed, size
from medseg.reporting.render.table import Column
from medseg.reporting.tuning import all_trials, tuned_cells


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


def cost_columns(comparison: Comparison) -> list[Column[Any]]:
    """Return a column for each cost, of records with `costs`, and for CSV what they were measured with."""
    sizes = {costs.size for costs in comparison.costs.values() if costs.size}
    at = f" ({size(sizes.pop())})" if len(sizes) == 1 else ""
    columns: list[Column[Any]] = []
    for name, cost in COSTS.items():
        title, show = f"{cost.title}{at if cost.at else ''}", fixed(cost.digits, cost.unit)
        columns.append(Column(name, title, attrgetter(f"costs.{name}"), show, number=True, order="ascending"))
    return [
        *columns,
        Column("measured_height", value=lambda r: r.costs.size and r.costs.size[0]),
        Column("measured_width", value=lambda r: r.costs.size and r.costs.size[1]),
        Column("measured_on", value=lambda r: r.costs.measured_on),
    ]


def cost_notes(comparison: Comparison) -> list[str]:
    """Say how the costs were measured."""
    costs, notes = comparison.costs, []
    measured = sorted({of.measured_on for of in costs.values() if of.measured_on})
    if measured:
        how = "Latency: median of one image; memory: peak of a training step."
        notes.append(f"{how} Measured on: {'; '.join(measured)}.")
    sizes = {row: of.size for row, of in costs.items() if of.size}
    if len(set(sizes.values())) > 1:
        at = [f"{row.label} {size(of)}" for row, of in sizes.items()]
        notes.append(f"Measured at different sizes: {', '.join(at)}.")
    if any(of.training_seconds is not None for of in costs.values()):
        notes.append("Training: of one run, mean over the finished runs of the network.")
    tuned = tuned_cells(comparison.cells.values())
    if tuned:
        trials = all_trials(tuned)
        seconds = sum(trial.seconds for trial in trials)
        rows = count(len({of.row for of in tuned}), "row")
        notes.append(
            f"Settings of {rows} were chosen by {count(len(trials), 'trial')} on validation images, "
            f"{seconds / 3600:.2g} h of training beside that of the runs (Tuning)."
        )
    return notes
