"""Which values a tuning tries: every combination once at most, and never more trials than there are combinations."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from medseg.runs.naming import canonical
from medseg.runs.tuning import Trial
from medseg.sweeps.search import MOST, TreeParzen, all_combinations
from medseg.sweeps.space import Values

FRACTIONS = {"low": 0.1, "high": 0.9, "log": False}


def whole(low: int, high: int, *, log: bool = False) -> dict[str, Any]:
    return {"low": low, "high": high, "log": log}


def tried(space: dict[str, Any], trials: int) -> list[dict[str, Any]]:
    """Return the values of all trials of a search, whose scores are made up."""
    search, ended, looks = TreeParzen(space, trials, 0, {}), dict[str, Trial](), itertools.count()

    def ended_trial(values: Values) -> Trial | None:
        assert next(looks) < 1000, "it never ends"
        return ended.get(canonical(values))

    while asked := search.ask(ended_trial):
        ended |= {canonical(each): Trial("", each, "trained", len(ended) / 100, 1, 1.0) for each in asked}
    return [dict(trial.values) for trial in ended.values()]


@pytest.mark.parametrize(
    ("space", "combinations"),
    [
        ({"depth": whole(2, 4)}, 3),
        ({"depth": whole(1, 6, log=True)}, 6),
        ({"depth": whole(2, 3), "loss": ["dice", "ce"]}, 4),
    ],
)
def test_a_search_ends_where_there_are_fewer_combinations_than_trials(space: dict[str, Any], combinations: int) -> None:
    values = tried(space, 10)
    assert len(values) == len({canonical(each) for each in values}) == combinations


@pytest.mark.parametrize(
    "space", [{"depth": whole(1, 50)}, {"rate": FRACTIONS}, {"depth": whole(1, 2), "r": FRACTIONS}]
)
def test_a_search_takes_the_trials_that_are_given(space: dict[str, Any]) -> None:
    assert len(tried(space, 5)) == 5


def test_what_cannot_be_listed_is_not() -> None:
    assert len(all_combinations({"depth": whole(1, MOST)})) == MOST
    for space in ({"depth": whole(1, MOST + 1)}, {"depth": whole(1, 10**15)}, {"depth": whole(1, 2), "r": FRACTIONS}):
        assert all_combinations(space) == []
