"""What it would take: plans against simulated experiments of the planned size."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from medseg.reporting.planning import Variances, fewest, plan, smallest_difference
from medseg.reporting.rule import PairInput, judge
from medseg.reporting.statistics import Side, TrainingVariance

KNOWN = Variances(
    pairs=1,
    seeds=(3, 3),
    units=120,
    training=(1e-4, 1e-4),
    freedom=(4, 4),
    networks=(2, 2),
    unit=1.6e-3,
    residual=8e-4,
)
NOTHING_VARIES = replace(KNOWN, training=(0.0, 0.0), unit=0.0, residual=0.0)


def draw(
    rng: np.random.Generator, known: Variances, difference: float, seeds: int | tuple[int, int], units: int
) -> list[np.ndarray]:
    image = rng.normal(0.8, 0.1, units)
    several = (seeds, seeds) if isinstance(seeds, int) else seeds
    return [
        image
        + effect
        + rng.normal(0, (known.unit / 2) ** 0.5, units)
        + rng.normal(0, training**0.5, (count, 1))
        + rng.normal(0, known.residual**0.5, (count, units))
        for effect, training, count in zip((0.0, difference), known.training, several, strict=True)
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
    result = Variances.typical(sides)
    assert result is not None
    assert (result.networks, result.seeds, result.units) == ((2, 2), (200, 200), 2000)
    assert result.training[0] == pytest.approx(KNOWN.training[0], rel=0.2)
    assert result.unit == pytest.approx(KNOWN.unit, rel=0.1)
    assert result.residual == pytest.approx(KNOWN.residual, rel=0.05)


def test_what_changes_from_training_to_training_is_no_difference_of_networks() -> None:
    sides = [Side.of(values) for values in draw(np.random.default_rng(1), KNOWN, 0.0, 2, 5000)]
    result = Variances.typical(sides)
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
    few = replace(KNOWN, units=10, training=(1e-6, 1e-6), residual=1e-5)
    result = plan(few, 0.02)
    assert result.seeds_needed is None
    assert result.units_needed is not None
    assert 30 < result.units_needed < 60  # (2.8 x 0.04 / 0.02)^2 = 31, and the ranks of t and trainings a little more


def test_what_cannot_be_known_is_not_planned() -> None:
    sides = [Side.of(np.random.default_rng(0).normal(0, 1, (1, 9))) for _ in range(2)]
    assert Variances.typical(sides) is None
    one = [Side.of(np.ones((2, 1)))] * 2
    assert Variances.typical(one) is None


def test_no_power_without_seeds_or_with_too_few_units_for_the_ranks() -> None:
    assert KNOWN.power(0.5, seeds=1, units=100) == 0.0
    assert replace(KNOWN, pairs=28).power(0.5, seeds=3, units=10) == 0.0
    assert replace(KNOWN, pairs=28).power(0.5, seeds=3, units=11) > 0.9
    assert NOTHING_VARIES.power(0.01, seeds=2, units=10) == 1.0


def test_the_fewest_is_searched_by_halves() -> None:
    assert [fewest(lambda n, k=k: float(n >= k), 2, 100) for k in (1, 2, 57, 100, 101)] == [2, 2, 57, 100, None]


@pytest.mark.parametrize(
    "known", [KNOWN, replace(KNOWN, pairs=28), replace(KNOWN, training=(1e-6, 1e-6), seeds=(2, 2), freedom=(2, 2))]
)
def test_the_smallest_difference_has_the_power(known: Variances) -> None:
    smallest = smallest_difference(known)
    assert smallest is not None
    assert known.power(smallest) == pytest.approx(0.8, abs=1e-3)


def test_no_difference_is_shown_by_one_seed_or_too_few_units() -> None:
    assert smallest_difference(replace(KNOWN, seeds=(3, 1))) is None
    assert smallest_difference(replace(KNOWN, units=3)) is None
    assert smallest_difference(replace(NOTHING_VARIES, units=3)) is None
    assert smallest_difference(NOTHING_VARIES) == 0.0


# Of one pair among others.


def family(values: Sequence[np.ndarray]) -> tuple[list[PairInput], TrainingVariance]:
    sides = [Side.of(of) for of in values]
    pairs = [
        PairInput(i, j, (sides[i], sides[j]), sides[i].per_unit - sides[j].per_unit)
        for i, j in itertools.combinations(range(len(sides)), 2)
    ]
    return pairs, TrainingVariance.of([side.seed_means for side in sides])


def test_the_power_of_a_pair_is_that_of_simulated_experiments_with_other_networks_of_fewer_seeds() -> None:
    rng, called, expected = np.random.default_rng(3), 0, []
    for _ in range(400):
        others = draw(rng, KNOWN, 0.0, (2, 2), 120)[:1]
        pairs, trainings = family([*draw(rng, KNOWN, 0.015, (10, 6), 120), *others])
        called += judge(pairs, trainings)[0].state == "worse"
        known = Variances.of_pair(pairs[0], trainings, networks=3, pairs=3)
        assert known is not None
        assert known.seeds == (10, 6)
        expected.append(known.power(0.015))
    assert np.median(expected) == pytest.approx(called / 400, abs=0.08)


def test_a_network_that_deviates_more_has_the_power_of_its_own_trainings() -> None:
    rng = np.random.default_rng(4)
    quiet = replace(KNOWN, training=(1e-6, 1e-6))
    values = [*draw(rng, quiet, 0.0, 3, 120), *draw(rng, quiet, 0.0, 3, 120)]
    values[0] = values[0] + np.array([[-0.1], [0.0], [0.1]])  # its trainings deviate by 10 points
    pairs, trainings = family(values)
    assert set(trainings.separate) == {0}
    first, last = (Variances.of_pair(pairs[k], trainings, networks=4, pairs=6) for k in (0, -1))
    assert first is not None
    assert last is not None
    assert (first.networks, first.freedom) == ((1, 4), (2, 8))
    assert first.training[0] == pytest.approx(0.01, rel=0.2)
    assert first.power(0.05) < 0.2
    assert plan(first, 0.05).seeds_needed is None or plan(first, 0.05).seeds_needed > 20
    assert (last.networks, last.freedom) == ((4, 4), (8, 8))


def test_a_pair_that_cannot_be_judged_has_no_plan() -> None:
    pairs, trainings = family([np.ones((1, 9)), np.ones((2, 9))])
    assert Variances.of_pair(pairs[0], trainings, networks=1, pairs=0) is None
