"""How the settings of the rows were chosen, and what of that makes rows hard to compare."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from medseg.config.tuning import searched, tuned_keys
from medseg.errors import UserError
from medseg.reporting.cells import Cell
from medseg.reporting.formatting import count
from medseg.reporting.layout import as_text, short
from medseg.reporting.line import Line
from medseg.runs.run import Run
from medseg.runs.tuning import Tuning


@dataclass(frozen=True)
class TunedCell:
    """The tuning of a network on a dataset.

    Args:
        row, column: of the table.
        fold: of cross-validation, of which each is tuned by itself; None without.
        tuning: the trials and the choice.
        budget: of all of it, in words.
    """

    row: Line
    column: Line
    fold: int | None
    tuning: Tuning
    budget: str

    @property
    def name(self) -> str:
        """Of the cell, in words."""
        fold = "" if self.fold is None else f", fold {self.fold}"
        return f"{self.row.label} on {self.column.label}{fold}"

    @property
    def chosen(self) -> str:
        """The chosen values, in words."""
        return ", ".join(f"{short_key(key)}={as_text(value)}" for key, value in self.tuning.best.values.items())


def short_key(key: str) -> str:
    """Shorten a key to what a reader of a table of networks needs."""
    return short(key).removeprefix("optimizer.")


def tuned_cells(cells: Iterable[Cell]) -> list[TunedCell]:
    """Return how each cell was tuned, once for all of its seeds; nothing for those that were not."""
    found: dict[Any, TunedCell] = {}
    for cell in cells:
        for run in cell.runs if cell.column.of is None else ():
            tuning = tuning_of(run)
            if tuning is not None:
                key = cell.row, cell.column, run.fold
                found.setdefault(key, TunedCell(*key, tuning, describe_budget(run, tuning)))
    return list(found.values())


def tuning_of(run: Run) -> Tuning | None:
    """Return how a run was tuned; None where it was not, or its file is damaged, which is told elsewhere."""
    try:
        return run.tuning
    except UserError:
        return None


def describe_budget(run: Run, tuning: Tuning) -> str:
    """Describe search, space and budget; equal for networks that were tuned alike, whatever their usual values are."""
    given = run.config.get("tuning")
    space = searched(given["space"]) if isinstance(given, Mapping) and given.get("space") else tuning.space
    keys = "; ".join(f"{key} {describe_values(values)}" for key, values in space.items())
    budget = tuning.budget
    how = "a grid" if tuning.search == "grid" else "Optuna's tree-structured Parzen estimator"
    pruning = "median pruning" if budget.get("pruning") else "no pruning"
    trials = f"{count(budget.get('trials', 0), 'trial')} of {count(budget.get('epochs', 0), 'epoch')}"
    return f"{how} over {keys}: {trials}, seed {budget.get('seed')}, {pruning}"


def describe_values(values: Any) -> str:
    """Write the values of a key, or a range of them."""
    if isinstance(values, Mapping):
        return f"from {as_text(values['low'])} to {as_text(values['high'])}{' (log)' if values.get('log') else ''}"
    return as_text(values)


def check_tuning(cells: Sequence[Cell]) -> list[str]:
    """Return what makes the tuning of the rows hard to compare: other budgets, none, a choice at the edge."""
    cells = [cell for cell in cells if cell.column.of is None]
    tuned = tuned_cells(cells)
    if not tuned:
        return []
    warnings = []
    budgets = dict.fromkeys(of.budget for of in tuned)
    if len(budgets) > 1:
        warnings.append(f"not all rows were tuned with the same budget ({' | '.join(budgets)})")
    without = dict.fromkeys(
        cell.row.label for cell in cells if any(run.finished and not tuned_keys(run.config) for run in cell.runs)
    )
    if without:
        labels = dict.fromkeys(of.row.label for of in tuned)
        warnings.append(
            f"settings of {', '.join(labels)} were chosen by trials, those of {', '.join(without)} were not: a "
            "difference may be that of the tuning"
        )
    edges = [
        f"{short_key(key)}={as_text(of.tuning.best.values[key])} of {of.name}"
        for of in tuned
        for key in of.tuning.at_edge
    ]
    if edges:
        warnings.append(
            f"chosen at the edge of the space: {'; '.join(edges)}; with a wider tuning.space the same command tries "
            "the new values alone"
        )
    return warnings
