"""Which values the trials of a tuning try: every combination, or what Optuna suggests after the earlier ones."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from medseg.errors import ConfigError, UserError
from medseg.runs.naming import canonical
from medseg.runs.tuning import Trial
from medseg.sweeps.space import Space, Values, rounded

TRIALS = 10
"""Of Optuna where no number is given."""

MOST = 10_000
"""Combinations of a grid; more are taken for a mistake."""

AGAIN = 10
"""Suggestions in a row that were tried already, after which another combination is taken."""

EndedTrial = Callable[[Values], Trial | None]
"""Returns the trial of some values; None where it has not ended."""


class Search(Protocol):
    """Asked again and again until all of its trials have ended.

    Args:
        budget: how many trials it takes.
    """

    budget: int

    def ask(self, ended_trial: EndedTrial) -> list[Values]:
        """Return the values to try next, those of trials that may run at the same time; none at the end."""
        ...


class Grid:
    """Every combination of the values, the last key changing fastest.

    Args:
        space: lists.

    Raises `ConfigError` for more than `MOST` combinations.
    """

    def __init__(self, space: Space) -> None:
        self.budget = math.prod(map(len, space.values()))
        if self.budget > MOST:
            raise ConfigError(f"tuning.space has {self.budget:,} combinations; tuning.search=optuna takes fewer trials")
        self.all = [dict(zip(space, values, strict=True)) for values in itertools.product(*space.values())]

    def ask(self, ended_trial: EndedTrial) -> list[Values]:
        return [values for values in self.all if ended_trial(values) is None]


class TreeParzen:
    """Optuna's tree-structured Parzen estimator, one trial after another, the usual values first.

    What it suggests follows from its seed and the scores of the trials before: asked again in another process, it
    repeats itself, so trials that have ended are not repeated. A third of the trials is drawn at random, at most 10.
    Values that were tried already count once; after `AGAIN` of them in a row, the first combination that was not tried
    yet is, where all can be listed: the space has no range of fractions, and at most `MOST` combinations.

    Args:
        space: lists or ranges.
        trials: how many; no more than there are combinations, where all can be listed.
        seed: of the suggestions.
        usual: the values without tuning; tried first where the space has them.

    Raises `UserError` where Optuna is not installed.
    """

    def __init__(self, space: Space, trials: int, seed: int, usual: Values) -> None:
        try:
            import optuna
        except ImportError:
            raise UserError("tuning.search=optuna is not installed: pip install 'medseg[optuna]'") from None
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.grid = all_combinations(space)
        self.space, self.budget = space, min(trials, len(self.grid)) if self.grid else trials
        sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=min(10, max(1, trials // 3)))
        self.study = optuna.create_study(direction="maximize", sampler=sampler)
        self.suggested: Any = None
        self.tried: set[str] = set()
        self.again = 0
        if usual.keys() == space.keys() and all(holds(space[key], value) for key, value in usual.items()):
            self.suggest_next(usual)

    def ask(self, ended_trial: EndedTrial) -> list[Values]:
        while len(self.tried) < self.budget:
            self.suggested = self.suggested or self.study.ask()
            values = {key: suggest(self.suggested, key, among) for key, among in self.space.items()}
            trial = ended_trial(values)
            if trial is None:
                return [values]
            # One that diverged is as bad as can be; left out, its values would be suggested again.
            self.study.tell(self.suggested, 0.0 if trial.dice is None else trial.dice)
            self.suggested = None
            self.again = self.again + 1 if canonical(values) in self.tried else 0
            self.tried.add(canonical(values))
            if self.again >= AGAIN and self.grid:
                self.suggest_next(next(each for each in self.grid if canonical(each) not in self.tried))
        return []

    def suggest_next(self, values: Values) -> None:
        """Have Optuna suggest these values next; of a list, Optuna knows the index."""
        among = self.space
        parameters = {
            key: value if isinstance(among[key], Mapping) else among[key].index(value) for key, value in values.items()
        }
        self.study.enqueue_trial(parameters)


def all_combinations(space: Space) -> list[Values]:
    """List every combination of lists and of ranges of whole numbers; none for more than `MOST`, or for fractions."""
    values = {key: range(among["low"], among["high"] + 1) if is_whole(among) else among for key, among in space.items()}
    if any(isinstance(among, Mapping) for among in values.values()) or math.prod(map(len, values.values())) > MOST:
        return []
    return Grid({key: list(among) for key, among in values.items()}).all


def is_whole(among: Any) -> bool:
    """Tell whether the values of a key are a range of whole numbers."""
    return isinstance(among, Mapping) and all(isinstance(among[end], int) for end in ("low", "high"))


def holds(among: Any, value: Any) -> bool:
    """Tell whether a list or a range has a value."""
    if isinstance(among, Mapping):
        return isinstance(value, int | float) and among["low"] <= value <= among["high"]
    return value in among


def suggest(trial: Any, key: str, among: Any) -> Any:
    """Return a value of a key that Optuna suggests in a trial, the same each time; of a list, Optuna has the index."""
    if not isinstance(among, Mapping):
        return among[trial.suggest_categorical(key, list(range(len(among))))]
    low, high, log = among["low"], among["high"], among["log"]
    if is_whole(among):
        return trial.suggest_int(key, low, high, log=log)
    return rounded(trial.suggest_float(key, low, high, log=log))


def search_of(tuning: Mapping[str, Any], space: Space, usual: Values) -> Search:
    """Return the search that `tuning` asks for.

    Raises `UserError`.
    """
    if tuning["search"] == "grid":
        return Grid(space)
    return TreeParzen(space, tuning["trials"] or TRIALS, tuning["seed"], usual)
