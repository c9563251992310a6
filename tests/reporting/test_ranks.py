"""Ranks over datasets against printed tables, and how sure they are against plain loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from medseg.reporting.ranks import (
    Ranking,
    average_ranks,
    count_ranks,
    critical_difference,
    friedman,
    rank,
    rank_stability,
    resampled_means,
)


def test_average_ranks_share_ties() -> None:
    scores = [[0.9, 0.8, 0.8, 0.1], [0.5, 0.6, 0.7, 0.1]]
    assert average_ranks(scores) == pytest.approx([(1 + 3) / 2, (2.5 + 2) / 2, (2.5 + 1) / 2, 4])
    assert average_ranks(scores, higher_is_better=False) == pytest.approx([3.0, 2.75, 3.25, 1.0])


def test_friedman_by_its_formula() -> None:
    scores = np.random.default_rng(12).random((12, 4))
    ranks = average_ranks(scores)
    chi2 = 12 * 12 / (4 * 5) * ((ranks**2).sum() - 4 * 25 / 4)
    assert friedman(scores) == pytest.approx(stats.chi2.sf(chi2, 3))
    assert friedman(np.full((6, 3), 0.5)) == 1.0


# q of Nemenyi's test at 5 % as Demsar (JMLR 2006, table 5a) prints it.
@pytest.mark.parametrize(
    ("networks", "q"), [(2, 1.960), (3, 2.343), (4, 2.569), (5, 2.728), (6, 2.850), (8, 3.031), (10, 3.164)]
)
def test_critical_difference_of_the_printed_table(networks: int, q: float) -> None:
    expected = q * math.sqrt(networks * (networks + 1) / (6 * 14))
    assert critical_difference(networks, 14) == pytest.approx(expected, rel=1e-3)


# A ranking.


def test_a_ranking_is_by_average_rank_and_leaves_out_what_lacks_a_dataset() -> None:
    values = {(row, column): score for column in "xy" for row, score in (("a", 0.7), ("b", 0.9), ("c", 0.8))}
    values["d", "x"] = 1.0
    result = rank("abcd", "xy", values, higher_is_better=True)
    assert result is not None
    assert (result.rows, result.ranks, result.datasets) == (("b", "c", "a"), (1.0, 2.0, 3.0), 2)
    assert result.left_out == ("d",)
    assert result.p is None
    assert result.critical is None
    assert result.groups() == []
    reverse = rank("abcd", "xy", values, higher_is_better=False)
    assert reverse is not None
    assert reverse.rows == ("a", "c", "b")


def test_five_datasets_and_three_networks_make_a_test() -> None:
    columns = range(5)
    values = {(row, column): row + 0.1 * column for row in range(3) for column in columns}
    result = rank(range(3), columns, values, higher_is_better=True)
    assert result is not None
    assert result.p == pytest.approx(stats.friedmanchisquare(*np.arange(15).reshape(3, 5)).pvalue)
    assert result.critical == pytest.approx(critical_difference(3, 5))
    four = rank(range(3), range(4), values, higher_is_better=True)
    assert four is not None
    assert four.p is None
    two = rank(range(2), columns, values, higher_is_better=True)
    assert two is not None
    assert two.p is None


def test_groups_are_the_longest_that_are_not_distinguished() -> None:
    ranking = Ranking(tuple("abcd"), (1.0, 1.9, 2.1, 4.0), 6, 0.01, 1.0, ())
    assert ranking.groups() == [(0, 1), (1, 2)]
    assert rank("a", "xy", {("a", "x"): 1.0, ("a", "y"): 1.0}, higher_is_better=True) is None
    assert rank("ab", "x", {("a", "x"): 1.0, ("b", "x"): 1.0}, higher_is_better=True) is None


# How sure the order is.


@pytest.mark.parametrize("most", [1, 20, 10**6])
def test_ranks_are_counted_and_ties_share(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("medseg.reporting.ranks.MOST_VALUES", most)  # compared in 4 pieces, in 2, in one
    values = np.array([[0.9, 0.8, 0.7], [0.7, 0.8, 0.9], [0.5, 0.5, 0.1], [0.2, 0.2, 0.2]])
    expected = np.array(
        [
            [1 + 0 + 0.5 + 1 / 3, 0.5 + 1 / 3, 1 + 1 / 3],
            [0.5 + 1 / 3, 2.5 + 1 / 3, 1 / 3],
            [1 + 1 / 3, 1 / 3, 2 + 1 / 3],
        ]
    )
    assert count_ranks(values) == pytest.approx(expected / 4)


def test_shares_agree_with_a_plain_loop() -> None:
    rng = np.random.default_rng(0)
    image = rng.normal(0.8, 0.1, 40)
    values = {
        (row, "x"): image + 0.004 * row + rng.normal(0, 0.04, (3, 40)) + rng.normal(0, 0.01, (3, 1)) for row in range(3)
    }
    result = rank_stability(range(3), "x", values, resamples=4000).columns["x"].shares
    again, loop = np.random.default_rng(1), np.zeros((3, 3))
    for _ in range(4000):
        units = again.integers(0, 40, 40)
        means = []
        for row in range(3):
            seeds = values[row, "x"][:, units].mean(axis=1)
            drawn = seeds[again.integers(0, 3, 3)].mean()
            means.append(seeds.mean() + (drawn - seeds.mean()) * 1.5**0.5)
        loop[np.argsort(means)[::-1], np.arange(3)] += 1 / 4000
    assert result == pytest.approx(loop, abs=0.04)
    assert result.sum(axis=0) == pytest.approx(np.ones(3))
    assert result.sum(axis=1) == pytest.approx(np.ones(3))


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_resampled_means_vary_as_the_mean_of_so_many_seeds_does(seeds: int) -> None:
    values = np.repeat(np.random.default_rng(2).normal(0, 1, (seeds, 1)), 10, axis=1)
    drawn = resampled_means([values], 20_000, np.random.default_rng(3))
    assert drawn.var() == pytest.approx(values[:, 0].var(ddof=1) / seeds, rel=0.05)


def test_units_are_drawn_once_for_all_rows() -> None:
    rng = np.random.default_rng(4)
    image = rng.normal(0.8, 0.2, (1, 50))
    values = {("a", "x"): image, ("b", "x"): image + 0.001}
    assert rank_stability("ab", "x", values).columns["x"].shares == pytest.approx(np.array([[0, 1], [1, 0]]))
    reverse = rank_stability("ab", "x", values, higher_is_better=False).columns["x"].shares
    assert reverse == pytest.approx(np.eye(2))
    same = rank_stability("ab", "x", {("a", "x"): image, ("b", "x"): image.copy()}).columns["x"].shares
    assert same == pytest.approx(np.full((2, 2), 0.5))


def test_datasets_are_drawn_as_well() -> None:
    rng = np.random.default_rng(5)
    values = {}
    for column, gain in (("x", 0.1), ("y", 0.1), ("z", -0.1)):
        image = rng.normal(0.8, 0.01, (2, 30))
        values["a", column], values["b", column] = image, image + gain
    values["c", "x"] = values["a", "x"]
    result = rank_stability("abc", "xyz", values)
    assert result.columns["x"].rows == ("a", "b", "c")
    assert result.columns["z"].rows == ("a", "b")
    assert result.columns["z"].shares == pytest.approx(np.eye(2))
    assert result.overall is not None
    assert result.overall.rows == ("a", "b")
    # b is first unless at least two of the three drawn datasets are z: (1 + 3 x 2) / 27.
    assert result.overall.shares[1, 0] == pytest.approx(20 / 27, abs=0.04)
    assert rank_stability("ab", "x", values).overall is None


def test_networks_that_tie_on_a_dataset_share_its_ranks() -> None:
    scores = {"x": (0.9, 0.9, 0.1), "y": (0.5, 0.4, 0.6)}
    values = {(row, c): np.full((1, 5), score) for c, given in scores.items() for row, score in enumerate(given)}
    result = rank_stability(range(3), "xy", values).overall
    assert result is not None
    # First is: of x and y (ranks 1.5 + 2, 1.5 + 3, 3 + 1) the first; of x twice the first and second, of y the third.
    assert result.shares[:, 0] == pytest.approx([0.625, 0.125, 0.25], abs=0.03)


def test_the_same_arrays_give_the_same_shares() -> None:
    rng = np.random.default_rng(6)
    values = {(row, column): rng.normal(0, 1, (2, 30)) for row in "abc" for column in "xy"}
    one, other = (rank_stability("abc", "xy", values) for _ in range(2))
    assert one.overall is not None
    assert other.overall is not None
    assert (one.overall.shares == other.overall.shares).all()
    assert (one.columns["y"].shares == other.columns["y"].shares).all()
