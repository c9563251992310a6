"""The statistics of reports against scipy, separate calculations, and simulated cases whose truth is known."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import special, stats

from medseg.reporting.rule import PairInput, differences
from medseg.reporting.signed_ranks import wilcoxon_each
from medseg.reporting.statistics import (
    Estimate,
    Part,
    Side,
    TrainingVariance,
    estimate_means,
    holm,
)

Array = np.ndarray


# Intervals.


def difference(first: Array, second: Array) -> Estimate:
    sides = Side.of(first), Side.of(second)
    family = differences([PairInput(0, 1, sides)], TrainingVariance.of([side.seed_means for side in sides]))
    parts = tuple(Part(float(part.variance[0]), float(part.freedom[0])) for part in family.parts)
    return Estimate(float(family.mean[0]), parts)


def test_the_interval_is_students_where_units_do_not_vary() -> None:
    rng = np.random.default_rng(1)
    first, second = rng.normal(0.8, 0.02, (4, 1)), rng.normal(0.8, 0.02, (3, 1))
    result = difference(np.repeat(first, 50, axis=1), np.repeat(second, 50, axis=1))
    pooled = stats.ttest_ind(first[:, 0], second[:, 0], equal_var=True)
    assert result.freedom == pytest.approx(pooled.df)
    assert result.interval() == pytest.approx(tuple(pooled.confidence_interval()))
    assert result.interval(0.99) == pytest.approx(tuple(pooled.confidence_interval(0.99)))
    assert result.p == pytest.approx(pooled.pvalue)


def test_the_interval_is_students_where_trainings_do_not_vary() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.normal(0.8, 0.1, 40), rng.normal(0.7, 0.1, 40)
    result = difference(np.stack([first] * 3), np.stack([second] * 2))
    paired = stats.ttest_rel(first, second)
    assert result.interval() == pytest.approx(tuple(paired.confidence_interval()))
    assert result.p == pytest.approx(paired.pvalue)
    one_sided = stats.ttest_rel(first - 0.15, second, alternative="less").pvalue
    assert result.below(0.15 - result.mean) == pytest.approx(one_sided)


def test_parts_add_up_and_few_degrees_of_freedom_count_more() -> None:
    result = Estimate(1.0, (Part(0.3, 2.0), Part(0.5, 60.0)))
    assert result.error == pytest.approx(0.8**0.5)
    # 0.3 x (1 + 2 / 2)^2 = 1.2 and 0.5 x (1 + 2 / 60)^2 = 0.534. Satterthwaite's would be 13.0.
    one, other = 1.2, 0.5 * (62 / 60) ** 2
    assert result.freedom == pytest.approx((one + other) ** 2 / (one**2 / 2 + other**2 / 60))
    assert result.freedom == pytest.approx(4.149, abs=0.001)
    low, high = result.interval(0.9)
    assert (low, high) == pytest.approx(stats.t.interval(0.9, result.freedom, 1.0, 0.8**0.5))


@pytest.mark.parametrize(("freedom", "most"), [(1, 0.061), (2, 0.0505), (3, 0.0505), (6, 0.0505), (12, 0.0505)])
@pytest.mark.parametrize("units", [120, 500])
def test_an_interval_misses_in_one_of_twenty_whatever_the_shares_of_its_parts(
    freedom: int, most: float, units: int
) -> None:
    trainings = stats.chi2.ppf((np.arange(1000) + 0.5) / 1000, freedom) / freedom
    misses = []
    for share in (0.02, 0.1, 0.25, 0.4, 0.6, 0.8, 0.95):
        result = [Estimate(0.0, (Part(share * one, freedom), Part(1 - share, units - 1))) for one in trainings]
        ends = [special.stdtrit(one.freedom, 0.025) * one.error for one in result]
        misses.append(float(np.mean(2 * special.ndtr(ends))))
    assert max(misses) <= most
    assert max(misses) >= 0.045  # and not wider than need be


def test_what_does_not_vary_is_certain() -> None:
    same = np.ones((2, 10))
    assert difference(same, same).interval() == (0.0, 0.0)
    assert difference(same, same).p == 1.0
    assert difference(same, same * 0.9).p == 0.0
    assert difference(same, same).below(0.01) == 0.0


def test_a_bracket_is_over_units_alone_with_one_seed() -> None:
    values = np.random.default_rng(1).beta(8, 2, (1, 30))
    # Another network with three seeds does not change it.
    other = np.random.default_rng(2).beta(8, 2, (3, 30))
    sides = [Side.of(values), Side.of(other)]
    result = estimate_means(sides, TrainingVariance.of([side.seed_means for side in sides]))
    expected = stats.t.interval(0.95, 29, values.mean(), stats.sem(values[0]))
    assert [end[0] for end in result.interval()] == pytest.approx(expected)


def test_a_bracket_has_units_and_trainings() -> None:
    values = np.random.default_rng(1).beta(8, 2, (3, 30))
    seeds = values.mean(axis=1)
    result = estimate_means([Side.of(values)], TrainingVariance.of([seeds]))
    assert result.mean == pytest.approx([values.mean()])
    assert result.error**2 == pytest.approx([values.mean(axis=0).var(ddof=1) / 30 + seeds.var(ddof=1) / 3])


def test_a_single_unit_and_a_single_training_add_nothing() -> None:
    result = estimate_means([Side.of(np.array([[0.7]]))], TrainingVariance.of([[0.7]]))
    assert (result.error.tolist(), result.freedom.tolist()) == ([0.0], [np.inf])


def test_the_residual_is_that_of_the_analysis_of_variance() -> None:
    rng = np.random.default_rng(2)
    values = rng.normal(0, 1, 400) + rng.normal(0, 1, (5, 1)) + rng.normal(0, 0.3, (5, 400))
    assert Side.of(values).residual == pytest.approx(0.09, rel=0.1)
    assert Side.of(values[:1]).residual == 0.0


# The variance between trainings.


def test_the_variance_of_trainings_is_pooled_over_networks() -> None:
    means = [[0.80, 0.82], [0.70, 0.72, 0.74], [0.9]]
    result = TrainingVariance.of(means)
    # Squares 0.0002 + 0.0008 of 1 + 2 degrees of freedom.
    assert result.pooled == Part(pytest.approx(0.001 / 3), 3.0)
    assert not result.separate
    both, nothing = result.of_differences(np.array([[0], [1]]), np.array([[2], [3]]))
    assert both == Part(pytest.approx([0.001 / 3 * (1 / 2 + 1 / 3)]), 3.0)
    assert nothing == Part(0.0, np.inf)
    of_means = result.of_means(np.array([2, 3, 1]))
    assert of_means.variance == pytest.approx([0.001 / 6, 0.001 / 9, 0.0])
    assert of_means.freedom.tolist() == [3.0, 3.0, np.inf]


def test_a_network_that_visibly_deviates_more_gets_a_separate_variance() -> None:
    rng = np.random.default_rng(3)
    means = [rng.normal(0.8, 0.002, 3) for _ in range(3)] + [np.array([0.7, 0.8, 0.9])]
    result = TrainingVariance.of(means)
    assert set(result.separate) == {3}
    assert result.separate[3] == Part(pytest.approx(0.01), 2.0)
    assert result.pooled.variance == pytest.approx(np.mean([one.var(ddof=1) for one in means]))
    one, other = result.of_differences(np.array([[0, 0], [1, 3]]), np.full((2, 2), 3))
    assert (one.freedom.tolist(), other.freedom.tolist()) == ([8.0, 8.0], [np.inf, 2.0])
    assert one.variance == pytest.approx([result.pooled.variance * 2 / 3, result.pooled.variance / 3])
    assert other.variance == pytest.approx([0.0, 0.01 / 3])
    # One whose trainings deviate less than the others' is no reason to trust it more.
    assert not TrainingVariance.of([rng.normal(0.8, 0.02, 3) for _ in range(3)] + [np.full(3, 0.8)]).separate.get(3)


def test_networks_that_deviate_alike_are_seldom_apart() -> None:
    rng = np.random.default_rng(4)
    apart = [bool(TrainingVariance.of(list(rng.normal(0, 1, (6, 3)))).separate) for _ in range(1000)]
    assert 0.12 < np.mean(apart) < 0.25


def test_no_trainings_no_variance() -> None:
    result = TrainingVariance.of([[0.8], [0.7]])
    assert result.pooled is None
    with pytest.raises(ValueError, match="not known"):
        result.of_differences(np.array([[0], [1]]), np.ones((2, 1)))
    assert TrainingVariance.of([]).single(0) is None


def test_trainings_that_do_not_deviate_are_not_apart() -> None:
    result = TrainingVariance.of([np.full(3, 0.1) * 3, np.full(3, 0.3), np.full(3, 0.7) / 7 * 3])
    assert not result.separate
    assert result.pooled.variance < 1e-30


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
    return holm([p for p, _ in wilcoxon_each([a - b for a, b in itertools.combinations(networks, 2)])])


def test_where_nothing_differs_one_test_in_twenty_says_otherwise() -> None:
    random = np.random.default_rng(9)
    result = [p < 0.05 for p, _ in wilcoxon_each([random.normal(0, 0.04, 80) for _ in range(1000)])]
    # 5 % +- 3 standard errors.
    assert 0.03 <= np.mean(result) <= 0.07


def test_holm_keeps_a_whole_family_to_one_in_twenty() -> None:
    random = np.random.default_rng(10)
    result = [(family(random, np.zeros(4)) < 0.05).any() for _ in range(250)]
    assert np.mean(result) <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 250)


def test_a_known_difference_is_found() -> None:
    random = np.random.default_rng(11)
    result = np.array([family(random, np.array([0.0, 0.0, 0.03])) < 0.05 for _ in range(100)])
    # Pairs: (0, 1) alike, (0, 2) and (1, 2) 3 points apart with a noise of 5.7 over 80 images: 4.7 standard errors.
    assert result[:, 1].mean() > 0.95
    assert result[:, 2].mean() > 0.95
    assert result[:, 0].mean() < 0.12


def test_two_seeds_are_enough_to_know_that_trainings_deviate() -> None:
    trainings = TrainingVariance.of([[0.7, 0.8], [0.75, 0.75]])
    part = trainings.of_means(np.array([1, 2]))
    assert (part.variance[1], part.freedom[1]) == (pytest.approx(0.005 / 2 / 2), 2)
    assert (part.variance[0], part.freedom[0]) == (0.0, np.inf)
