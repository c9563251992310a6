"""The statistics of reports against calculations of their own, and in simulated cases whose truth is known."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from medseg.reporting.statistics import (
    BATCH,
    RESAMPLES,
    average_ranks,
    bootstrap,
    critical_difference,
    friedman,
    holm,
    wilcoxon_each,
)

Array = np.ndarray


def means(scores: Array):
    """One quantity, the mean over images: S x N scores."""
    return lambda weights: (scores @ weights.T)[None]


def interval(scores: Array, resamples: int = RESAMPLES) -> tuple[float, float]:
    low, high = bootstrap([means(scores)], [len(scores)], scores.shape[1], resamples=resamples)
    return float(low[0, 0]), float(high[0, 0])


def loop(scores: Array, resamples: int = 4000, seed: int = 1) -> Array:
    """The same bootstrap as a plain loop: seeds and images are drawn anew each time."""
    random = np.random.default_rng(seed)
    count, images = scores.shape
    drawn = [(random.integers(0, count, count), random.integers(0, images, images)) for _ in range(resamples)]
    return np.array([np.mean([scores[s, chosen].mean() for s in seeds]) for seeds, chosen in drawn])


# The bootstrap.


def test_interval_of_one_seed_is_that_of_scipy_itself() -> None:
    scores = np.random.default_rng(0).beta(8, 2, (1, 50))
    theirs = stats.bootstrap(
        (scores[0],),
        np.mean,
        n_resamples=RESAMPLES,
        method="percentile",
        batch=BATCH // 50,
        rng=np.random.default_rng(0),
    ).confidence_interval
    assert interval(scores) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


@pytest.mark.parametrize("seeds", [1, 3])
def test_interval_agrees_with_a_plain_loop(seeds: int) -> None:
    random = np.random.default_rng(2)
    scores = random.beta(8, 2, 40) + random.normal(0, 0.03, (seeds, 1))
    expected = np.quantile(loop(scores), [0.025, 0.975])
    # The ends of 4000 draws themselves vary by about 0.0015 here.
    assert interval(scores) == pytest.approx(tuple(expected), abs=0.005)


def test_networks_have_the_intervals_that_they_have_alone() -> None:
    random = np.random.default_rng(3)
    one, other = random.beta(8, 2, (3, 40)), random.beta(7, 3, (2, 40))
    low, high = bootstrap([means(one), means(other)], [3, 2], 40)
    # Other draws of the same: their ends vary by about 0.001 here.
    assert (low[0, 0], high[0, 0]) == pytest.approx(interval(one), abs=0.004)
    assert (low[1, 0], high[1, 0]) == pytest.approx(interval(other), abs=0.004)


def test_the_same_numbers_give_the_same_interval() -> None:
    scores = np.random.default_rng(4).random((2, 30))
    assert interval(scores) == interval(scores.copy())


def test_a_quantity_that_is_not_there_is_nan_and_disturbs_nothing() -> None:
    scores = np.random.default_rng(5).random((1, 30))
    low, high = bootstrap([lambda weights: np.stack([scores @ weights.T, scores @ weights.T * np.nan])], [1], 30)
    assert (low[0, 0], high[0, 0]) == interval(scores)
    assert np.isnan(low[0, 1])


def test_coverage_of_the_interval_over_images() -> None:
    random = np.random.default_rng(6)
    hits = 0
    for _ in range(400):
        low, high = interval(random.beta(8, 2, (1, 60)), resamples=499)
        hits += low <= 0.8 <= high
    assert 0.91 <= hits / 400 <= 0.98


def test_coverage_with_seeds_needs_the_seeds_in_the_interval() -> None:
    # Ten trainings that differ by 3 points: over images alone, the interval would be much too short.
    random = np.random.default_rng(7)
    both = alone = 0
    for _ in range(200):
        scores = random.beta(8, 2, 100) + random.normal(0, 0.03, (10, 1))
        low, high = interval(scores, resamples=499)
        both += low <= 0.8 <= high
        low, high = interval(scores.mean(axis=0)[None], resamples=499)
        alone += low <= 0.8 <= high
    assert both / 200 >= 0.90
    assert alone < both


# Wilcoxon.


def wilcoxon(difference: Array) -> tuple[float, float]:
    return wilcoxon_each([difference])[0]


def by_enumeration(difference: Array) -> float:
    """Exact two-sided p: the share of all signs whose rank sum is as far from the middle."""
    ranks = stats.rankdata(np.abs(difference))
    middle = ranks.sum() / 2
    seen = abs(ranks[difference > 0].sum() - middle)
    sums = [
        sum(r for r, up in zip(ranks, signs, strict=True) if up)
        for signs in itertools.product((0, 1), repeat=len(ranks))
    ]
    return float(np.mean([abs(total - middle) >= seen - 1e-9 for total in sums]))


@pytest.mark.parametrize("images", [4, 7, 10])
@pytest.mark.parametrize("seed", range(5))
def test_wilcoxon_is_exact_for_few_images(images: int, seed: int) -> None:
    difference = np.random.default_rng(seed).normal(0.3, 1, images)
    assert wilcoxon(difference)[0] == pytest.approx(by_enumeration(difference), abs=1e-12)


def test_wilcoxon_for_many_images_by_its_normal_approximation() -> None:
    difference = np.random.default_rng(8).normal(0.15, 1, 200)
    ranks = stats.rankdata(np.abs(difference))
    up = ranks[difference > 0].sum()
    n = len(difference)
    z = (up - n * (n + 1) / 4) / math.sqrt(n * (n + 1) * (2 * n + 1) / 24)
    p, direction = wilcoxon(difference)
    assert p == pytest.approx(math.erfc(abs(z) / math.sqrt(2)), rel=1e-3)
    assert direction == pytest.approx((2 * up - ranks.sum()) / ranks.sum())


def test_wilcoxon_leaves_out_what_is_equal_or_missing() -> None:
    difference = np.array([0.3, -0.1, 0.2, 0.5, 0.4])
    more = np.r_[difference, 0.0, np.nan, 0.0]
    assert wilcoxon(more) == wilcoxon(difference)
    assert wilcoxon(np.zeros(9)) == (1.0, 0.0)
    assert wilcoxon(np.full(3, np.nan)) == (1.0, 0.0)


def test_wilcoxon_has_a_direction() -> None:
    assert wilcoxon(np.array([1.0, 2.0, 3.0]))[1] == 1.0
    assert wilcoxon(-np.array([1.0, 2.0, 3.0]))[1] == -1.0


# Holm.


def test_holm_by_hand() -> None:
    # Sorted 0.01, 0.02, 0.03, 0.04 x 4, 3, 2, 1 = 0.04, 0.06, 0.06, 0.04, none below the one before.
    assert holm([0.03, 0.01, 0.04, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.6, 0.7]) == pytest.approx([1.0, 1.0])
    assert holm([0.2]) == pytest.approx([0.2])
    assert len(holm([])) == 0


# Simulated networks.


def family(random: np.random.Generator, effects: Array, images: int = 80) -> Array:
    """Corrected p-values of all pairs of networks with such effects."""
    base = random.normal(0.8, 0.1, images)
    networks = [base + effect + random.normal(0, 0.04, images) for effect in effects]
    return holm([wilcoxon(a - b)[0] for a, b in itertools.combinations(networks, 2)])


def test_where_nothing_differs_one_test_in_twenty_says_otherwise() -> None:
    random = np.random.default_rng(9)
    found = [wilcoxon(random.normal(0, 0.04, 80))[0] < 0.05 for _ in range(1000)]
    # 5 % +- 3 standard errors.
    assert 0.03 <= np.mean(found) <= 0.07


def test_holm_keeps_a_whole_family_to_one_in_twenty() -> None:
    random = np.random.default_rng(10)
    found = [(family(random, np.zeros(4)) < 0.05).any() for _ in range(250)]
    assert np.mean(found) <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 250)


def test_a_known_difference_is_found() -> None:
    random = np.random.default_rng(11)
    found = np.array([family(random, np.array([0.0, 0.0, 0.03])) < 0.05 for _ in range(100)])
    # Pairs: (0, 1) alike, (0, 2) and (1, 2) 3 points apart with a noise of 5.7 over 80 images: 4.7 standard errors.
    assert found[:, 1].mean() > 0.95
    assert found[:, 2].mean() > 0.95
    assert found[:, 0].mean() < 0.12


# Ranks.


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
