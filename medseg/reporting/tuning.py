"""How the settings of the rows were chosen, and what of that makes rows hard to compare."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from medseg.config.tuning import searched
from medseg.errors import UserError
from medseg.reporting.cells import Cell
from medseg.reporting.formatting import count, listed
from medseg.reporting.labels import as_text, short
from medseg.reporting.line import Line
from medseg.runs.equivalence import fill_in_defaults
from medseg.runs.naming import canonical
from medseg.runs.run import Run
from medseg.runs.tuning import Trial, Tuning


@dataclass(frozen=True)
class TunedCell:
    """The tuning of a network on a dataset.

    Args:
        row, column: of the table.
        fold: of cross-validation, of which each is tuned by itself; None without.
        tuning: the trials and the choice.
        budget: of all of it, in words.
        folder: of the experiment.
    """

    row: Line
    column: Line
    fold: int | None
    tuning: Tuning
    budget: str
    folder: str

    @property
    def name(self) -> str:
        """Of the cell, in words."""
        return f"{self.row.label} on {self.data}"

    @property
    def data(self) -> str:
        """The dataset, in words, with the fold if any."""
        return self.column.label + ("" if self.fold is None else f", fold {self.fold}")

    @property
    def chosen(self) -> str:
        """The chosen values, in words."""
        return ", ".join(f"{short_key(key)}={as_text(value)}" for key, value in self.tuning.best.values.items())


def all_trials(tuned: Iterable[TunedCell]) -> list[Trial]:
    """Return the trials of cells, each once, also where several cells were chosen from it."""
    return list({(of.folder, trial.name): trial for of in tuned for trial in of.tuning.trials}.values())


def without_earlier_choices(runs: Sequence[Run]) -> tuple[list[Run], list[str]]:
    """Return runs without those whose values a tuning with more trials has replaced by others, and a line on these.

    Two runs differ in their choice alone where they have the same network, data and seed, and settings that are equal
    but for the tuned keys of the two. Of as many trials, the later choice counts.
    """
    groups: dict[Any, list[Run]] = {}
    for run in runs:
        if run.finished and tuning_of(run) is not None:
            groups.setdefault((run.folder.parent, run.model, run.data, run.fold), []).append(run)
    replaced: dict[str, str] = {}
    for group in groups.values():
        for run in group:
            for other in group:
                if run.seed == other.seed and chosen_later(run, other):
                    replaced[str(run.folder.parent / run.setting)] = other.setting
    left = [run for run in runs if str(run.folder.parent / run.setting) not in replaced]
    if replaced:
        names = ", ".join(f"{name.rpartition('/')[2]} by {other}" for name, other in replaced.items())
        line = (
            f"{count(len(runs) - len(left), 'run')} not counted: a tuning with more trials, or a later one, has chosen "
            f"other values ({names})"
        )
        return left, [line]
    return left, []


def chosen_later(run: Run, other: Run) -> bool:
    """Tell whether the values of another run replace those of a run with the same network, data and seed."""
    one, two = set(run.tuned_keys), set(other.tuned_keys)
    if run.setting == other.setting or weight(run) >= weight(other) or not (one <= two or two <= one):
        return False
    settings = fill_in_defaults([run, other])
    here, there = (
        {key: value for key, value in each.items() if not any(f"{key}.".startswith(f"{k}.") for k in one | two)}
        for each in settings
    )
    return canonical(here) == canonical(there)


def weight(run: Run) -> tuple[int, float]:
    """Return what decides between two choices: the number of trials, then when it was made."""
    tuning = tuning_of(run)
    return len(tuning.trials) if tuning else 0, run.files.tuning.stat().st_mtime if tuning else 0.0


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
                # A seed that was added later may have been tuned by more trials than those before.
                if key not in found or len(tuning.trials) > len(found[key].tuning.trials):
                    found[key] = TunedCell(*key, tuning, describe_budget(run, tuning), str(run.folder.parent))
    return list(found.values())


def tuning_of(run: Run) -> Tuning | None:
    """Return how a run was tuned; None where it was not, or its file is damaged, which is told elsewhere."""
    try:
        return run.tuning
    except UserError:
        return None


def describe_budget(run: Run, tuning: Tuning) -> str:
    """Describe search, space and budget; equal for networks that were tuned alike, whatever their usual values are."""
    config = run.config.get("tuning")
    space = searched(config["space"]) if isinstance(config, Mapping) and config.get("space") else tuning.space
    space = tuning.given or space
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
        warnings.append(f"Not all rows were tuned with the same budget ({' | '.join(budgets)}).")
    without = dict.fromkeys(
        cell.row.label for cell in cells if any(run.finished and not run.tuned_keys for run in cell.runs)
    )
    if without:
        labels = dict.fromkeys(of.row.label for of in tuned)
        warnings.append(
            f"The settings of {', '.join(labels)} were chosen by trials, those of {', '.join(without)} were not: a "
            "difference may be that of the tuning."
        )
    return [*warnings, *at_edge(tuned)]


def at_edge(tuned: Iterable[TunedCell]) -> list[str]:
    """Return a line on the values that were chosen at the edge of the space; none where there are none."""
    edges: dict[str, dict[str, list[str]]] = {}  # dataset, with a fold if any -> value -> networks
    for of in tuned:
        for key in of.tuning.at_edge:
            value = f"{short_key(key)}={as_text(of.tuning.best.values[key])}"
            edges.setdefault(of.data, {}).setdefault(value, []).append(of.row.label)
    if not edges:
        return []
    chosen = [
        f"on {data}, {'; '.join(f'{value} of {listed(networks)}' for value, networks in values.items())}"
        for data, values in edges.items()
    ]
    return [
        f"Chosen at the edge of the space: {'; '.join(chosen)}. With a wider tuning.space the same command tries the "
        "new values alone."
    ]
