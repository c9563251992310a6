"""The tuning of a run: the space of its settings, the trials, what was chosen. Read from files alone."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from medseg.errors import UserError
from medseg.runs.folder import RunFolder
from medseg.runs.schema import Schema, read_checked
from medseg.system.files import numbers, read_table

FOLDER = "tuning"
"""Folder of the trials, in that of the experiment."""

ENDED = ("trained", "pruned", "diverged")
"""States of trials with nothing left to do."""

NEAR = 0.05
"""Part of a range next to one of its ends that counts as the end."""


@dataclass(frozen=True)
class Trial:
    """What a trial came to.

    Args:
        name: of its run.
        values: key -> value that was tried.
        state: trained, pruned or diverged; of one that has not ended, that of its run.
        dice: highest validation Dice of its epochs; None where it has none or diverged.
        epochs: how many there were.
        seconds: that they took.
    """

    name: str
    values: Mapping[str, Any]
    state: str
    dice: float | None
    epochs: int
    seconds: float


@dataclass(frozen=True)
class Tuning:
    """How the settings of a run were chosen.

    Args:
        search: grid or optuna.
        space: key -> list of values, or range `{low, high, log}`.
        budget: trials, epochs of a trial, seed, pruning.
        trials: in the order of the space, or of the search.
        chosen: index of the trial whose values the run has.
        given: the space with factors such as `x3`, as the configuration has it; None in files of older versions.
    """

    search: str
    space: Mapping[str, Any]
    budget: Mapping[str, Any]
    trials: Sequence[Trial]
    chosen: int
    given: Mapping[str, Any] | None = None

    @property
    def best(self) -> Trial:
        """The chosen trial."""
        return self.trials[self.chosen]

    @property
    def seconds(self) -> float:
        """Seconds of training of all trials."""
        return sum(trial.seconds for trial in self.trials)

    def count(self, state: str) -> int:
        """Count the trials in a state."""
        return sum(trial.state == state for trial in self.trials)

    @property
    def equal(self) -> int:
        """How many other trials have the validation Dice of the chosen one."""
        return sum(trial.dice == self.best.dice for trial in self.trials) - 1

    @property
    def tie(self) -> str:
        """Say how many they are, in words."""
        others = "another trial is" if self.equal == 1 else f"{self.equal} other trials are"
        return f"{others} equal: validation did not tell their values apart"

    @property
    def at_edge(self) -> tuple[str, ...]:
        """The keys whose chosen value is the lowest or the highest of the space: a better one may lie outside."""
        return tuple(key for key, values in self.space.items() if is_edge(self.best.values[key], values))

    def as_plain(self) -> dict[str, Any]:
        """Return the content of `tuning.json`."""
        return asdict(self)


def is_edge(value: Any, values: Any) -> bool:
    """Tell whether a value is at an end of a list of numbers, or near one of a range."""
    if isinstance(values, Mapping):
        scale = math.log if values.get("log") else float
        low, high, at = (scale(each) for each in (values["low"], values["high"], value))
        return not low + NEAR * (high - low) < at < high - NEAR * (high - low)
    plain = [each for each in values if isinstance(each, int | float) and not isinstance(each, bool)]
    return len(plain) == len(values) > 1 and value in (min(plain), max(plain))


def read_trial(folder: RunFolder, values: Mapping[str, Any]) -> Trial:
    """Read what a trial has come to so far; `values`: that it tries.

    Raises `UserError` where its `metrics.csv` is damaged.
    """
    status = folder.status
    state = str(status.get("state", "waiting"))
    if state == "trained":
        state = "diverged" if status.get("diverged") else "pruned" if status.get("pruned") else state
    scores = dice_of_epochs(folder)
    reached = [score for score in scores if not math.isnan(score)]
    best = max(reached) if reached and state != "diverged" else None
    return Trial(folder.path.name, dict(values), state, best, len(scores), round(sum(column(folder, "seconds")), 1))


def dice_of_epochs(folder: RunFolder) -> list[float]:
    """Return the validation Dice of each epoch of a run, NaN where it has none; empty before the first."""
    return column(folder, "val/dice")


def column(folder: RunFolder, name: str) -> list[float]:
    """Return a column of `metrics.csv`."""
    header, rows = read_table(folder.metrics)
    if not header:
        return []
    try:
        return numbers([row[header.index(name)] for row in rows])
    except (ValueError, IndexError) as error:
        raise UserError(f"{folder.metrics}: damaged ({error}); repeat the trial with force=true") from None


SCHEMA: Schema = {
    "search": str,
    "space": dict,
    "budget": dict,
    "trials": [
        {"name": str, "values": dict, "state": str, "dice": (float, None), "epochs": int, "seconds": float},
    ],
    "chosen": int,
    "given": (dict, None),
}


def read_tuning(folder: RunFolder) -> Tuning | None:
    """Read `tuning.json` of a run; None where its settings were not tuned.

    Raises `UserError` where it is damaged.
    """
    content = read_checked(folder.tuning, SCHEMA)
    if not content:
        return None
    trials = [Trial(**{name: trial.get(name) for name in Trial.__dataclass_fields__}) for trial in content["trials"]]
    whole = 0 <= content["chosen"] < len(trials) and all({*content["space"]} <= {*trial.values} for trial in trials)
    if not whole:
        raise UserError(f"{folder.tuning}: damaged (a trial without values)")
    return Tuning(
        content["search"], content["space"], content["budget"], trials, content["chosen"], content.get("given")
    )
