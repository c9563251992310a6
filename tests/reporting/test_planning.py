"""What it would take: plans against simulated experiments of the planned size."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from medseg.reporting.planning import Variances, fewest, plan, smallest_difference
from medseg.reporting.rule import PairInput, judge
from medseg.reporting.statistics import Side, TrainingVariance

KNOWN = Variances(networks=2, pairs=1, seeds=3, units=120, training=1e-4, unit=1.6e-3, residual=8e-4)


def draw(rng: np.random.Generator, known: Variances, difference: float, seeds: int, units: int) -> list[np.ndarray]:
    image = rng.normal(0.8, 0.1, units)
    return [
        image
        + effect
        + rng.normal(0, (known.unit / 2) ** 0.5, units)
        + rng.normal(0, known.training**0.5, (seeds, 1))
        + rng.normal(0, known.residual**0.5, (seeds, units))
        for effect in (0.0, difference)
    ]


@pytest.mark.parametrize(
    ("difference", "seeds", "units"), [(0.02, 3, 120), (0.02, 7, 120), (0.02, 5, 60), (0.01, 20, 300), (0.03, 2, 500)]
)
def test_the_power_is_that_of_simulated_experiments(difference: float, seeds: int, units: int) -> None:
    rng, called = np.random.default_rng(seeds), 0
    for _ in range(400):
        sides = [Side.of(values) for values in draw(rng, KNOWN, difference, seeds, units)]
        pair = PairInput(0, 1, (sides[0], sides[1]), sides[0].per_unit - sides[1].per_unit)
        (one,) = judge([pair], TrainingVariance.of([side.seed_means for side in sides]))
        called += one.state == "worse"
    assert KNOWN.power(difference, seeds=seeds, units=units) == pytest.approx(called / 400, abs=0.08)


def test_the_variances_are_seen_again() -> None:
    rng = np.random.default_rng(0)
    sides = [Side.of(values) for values in draw(rng, KNOWN, 0.0, 200, 2000)]
    result = Variances.of(sides)
    assert result is not None
    assert (result.networks, result.seeds, result.units) == (2, 200, 2000)
    assert result.training == pytest.approx(KNOWN.training, rel=0.2)
    assert result.unit == pytest.approx(KNOWN.unit, rel=0.1)
    assert result.residual == pytest.approx(KNOWN.residual, rel=0.05)


def test_what_changes_from_training_to_training_is_no_difference_of_networks() -> None:
    sides = [Side.of(values) for values in draw(np.random.default_rng(1), KNOWN, 0.0, 2, 5000)]
    result = Variances.of(sides)
    assert result is not None
    assert result.unit == pytest.approx(KNOWN.unit, rel=0.1)


def test_a_plan_names_the_fewest_that_suffice() -> None:
    result = plan(replace(KNOWN, pairs=6), 0.02)
    assert (result.seeds, result.units, result.pairs) == (3, 120, 6)
    assert result.seeds_needed is not None
    assert replace(KNOWN, pairs=6).power(0.02, seeds=result.seeds_needed, units=120) >= 0.8
    assert replace(KNOWN, pairs=6).power(0.02, seeds=result.seeds_needed - 1, units=120) < 0.8
    # Three trainings that deviate by 1 point cannot show 2 points, however many images.
    assert result.units_needed is None
    assert result.power < 0.8
    assert plan(replace(KNOWN, pairs=6), 0.01).power < result.power
    assert plan(replace(KNOWN, pairs=28), 0.02).power < result.power


def test_few_images_are_not_made_up_for_by_seeds() -> None:
    few = Variances(networks=2, pairs=1, seeds=3, units=10, training=1e-6, unit=1.6e-3, residual=1e-5)
    result = plan(few, 0.02)
    assert result.seeds_needed is None
    assert result.units_needed is not None
    assert 30 < result.units_needed < 60  # (2.8 x 0.04 / 0.02)^2 = 31, and the ranks of t and trainings a little more


def test_what_cannot_be_known_is_not_planned() -> None:
    sides = [Side.of(np.random.default_rng(0).normal(0, 1, (1, 9))) for _ in range(2)]
    assert Variances.of(sides) is None
    one = [Side.of(np.ones((2, 1)))] * 2
    assert Variances.of(one) is None


def test_no_power_without_seeds_or_with_too_few_units_for_the_ranks() -> None:
    assert KNOWN.power(0.5, seeds=1, units=100) == 0.0
    assert replace(KNOWN, pairs=28).power(0.5, seeds=3, units=10) == 0.0
    assert replace(KNOWN, pairs=28).power(0.5, seeds=3, units=11) > 0.9
    assert Variances(2, 1, 2, 10, 0.0, 0.0, 0.0).power(0.01, seeds=2, units=10) == 1.0


def test_the_fewest_is_searched_by_halves() -> None:
    assert [fewest(lambda n, k=k: float(n >= k), 2, 100) for k in (1, 2, 57, 100, 101)] == [2, 2, 57, 100, None]


@pytest.mark.parametrize("known", [KNOWN, replace(KNOWN, pairs=28), replace(KNOWN, training=1e-6, seeds=2)])
def test_the_smallest_difference_has_the_power(known: Variances) -> None:
    smallest = smallest_difference(known)
    assert smallest is not None
    assert known.power(smallest, seeds=known.seeds, units=known.units) == pytest.approx(0.8, abs=1e-3)


def test_no_difference_is_shown_by_one_seed_or_too_few_units() -> None:
    assert smallest_difference(replace(KNOWN, seeds=1)) is None
    assert smallest_difference(replace(KNOWN, units=3)) is None
    assert smallest_difference(Variances(2, 1, 2, 10, 0.0, 0.0, 0.0)) == 0.0
