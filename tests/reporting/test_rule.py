"""The rule: which p decides, which interval goes with it, what is not judged."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from scipy import special, stats

from medseg.reporting.rule import PairInput, differences, judge, step_levels, superiority
from medseg.reporting.statistics import Side, TrainingVariance, holm

Array = np.ndarray


def experiment(
    effects: list[float],
    seeds: int = 3,
    units: int = 60,
    deviation: float = 0.005,
    random: int = 0,
    ranked: bool = True,
) -> tuple[list[PairInput], TrainingVariance]:
    rng = np.random.default_rng(random)
    image = rng.normal(0.8, 0.1, units)
    networks = [
        image + effect + rng.normal(0, 0.03, (seeds, units)) + rng.normal(0, deviation, (seeds, 1))
        for effect in effects
    ]
    return of_scores(networks, ranked=ranked)


def of_scores(networks: list[Array], *, ranked: bool = True) -> tuple[list[PairInput], TrainingVariance]:
    sides = [Side.of(values) for values in networks]
    pairs = [
        PairInput(a, b, (sides[a], sides[b]), sides[a].per_unit - sides[b].per_unit if ranked else None)
        for a, b in combinations(range(len(sides)), 2)
    ]
    return pairs, TrainingVariance.of([side.seed_means for side in sides])


def test_the_larger_p_is_corrected_over_all_pairs() -> None:
    pairs, trainings = experiment([0.0, 0.01, 0.02, 0.05])
    result = judge(pairs, trainings)
    wilcoxon = [stats.wilcoxon(pair.ranked).pvalue for pair in pairs]
    assert [one.p_ranks for one in result] == pytest.approx(wilcoxon)
    pooled = np.mean([side.seed_means.var(ddof=1) for side in (pairs[0].sides[0], *(p.sides[1] for p in pairs[:3]))])
    assert trainings.pooled.variance == pytest.approx(pooled)
    assert [one.p for one in result] == [max(one.p_ranks, one.p_interval) for one in result]
    assert [one.corrected for one in result] == pytest.approx(list(holm([one.p for one in result])))
    assert {one.state for one in result} >= {"worse", "undecided"}


@pytest.mark.parametrize("random", range(40))
@pytest.mark.parametrize("ranked", [True, False])
def test_an_interval_never_contradicts_its_verdict(random: int, ranked: bool) -> None:
    rng = np.random.default_rng(random)
    effects = list(rng.normal(0, 0.02, rng.integers(2, 7)))
    pairs, trainings = experiment(effects, int(rng.integers(2, 5)), random=random, ranked=ranked)
    for one in judge(pairs, trainings):
        left_out = one.low > 0 or one.high < 0
        if one.state in ("better", "worse"):
            assert left_out
            assert one.corrected < 0.05
            assert (one.low > 0) == (one.state == "better")
        elif not ranked:
            assert not left_out
        elif left_out and one.state == "undecided":
            assert one.reason == "the ranks of the units do not separate them"


def test_a_single_pair_has_the_interval_of_95_percent() -> None:
    pairs, trainings = experiment([0.0, 0.03])
    (one,) = judge(pairs, trainings)
    assert one.confidence == pytest.approx(0.95)
    assert one.state == "worse"
    assert one.low < one.difference < one.high < 0
    (down,) = judge(pairs, trainings, higher_is_better=False)
    assert down.state == "better"


def test_the_levels_are_those_of_holms_steps() -> None:
    # 0.001 is tested at 0.05 / 4, 0.02 at 0.05 / 3 and stops there: the others are never tested at more.
    assert step_levels(np.array([0.03, 0.001, 0.02, 0.04])) == pytest.approx([0.05 / 3, 0.05 / 4, 0.05 / 3, 0.05 / 3])
    assert step_levels(np.array([0.04, 0.001])) == pytest.approx([0.05, 0.025])
    assert step_levels(np.array([])).tolist() == []
    p = np.random.default_rng(0).uniform(0, 0.03, 12)
    assert [a < b for a, b in zip(p, step_levels(p), strict=True)] == [one < 0.05 for one in holm(p)]


def test_one_seed_is_not_judged_and_does_not_count() -> None:
    rng = np.random.default_rng(1)
    image = rng.normal(0.8, 0.1, 50)
    networks = [image + gain + rng.normal(0, 0.01, (seeds, 50)) for gain, seeds in ((0, 3), (0.05, 3), (0.2, 1))]
    pairs, trainings = of_scores(networks)
    judged, *others = judge(pairs, trainings)
    assert judged.state == "worse"
    assert judged.confidence == pytest.approx(0.95)
    for one in others:
        assert (one.state, one.reason) == ("not judged", "one seed")
        assert (one.low, one.high, one.p, one.corrected, one.p_ranks, one.p_interval) == (None,) * 6
        assert one.difference < -0.1


def test_fewer_than_two_units_are_not_judged() -> None:
    pairs, trainings = of_scores([np.full((3, 1), 0.8), np.full((3, 1), 0.5)])
    (one,) = judge(pairs, trainings)
    assert (one.state, one.reason) == ("not judged", "fewer than two images")
    assert superiority(pairs, trainings) == [None]
    nothing = PairInput(0, 1, (Side(np.empty(0), np.empty(2), 0.0),) * 2, np.empty(0))
    assert judge([nothing], trainings)[0].state == "not judged"
    missing, known = of_scores([np.full((3, 9), np.nan), np.full((3, 9), 0.5)])
    assert judge(missing, known)[0].reason == "no value"


@pytest.mark.parametrize(
    ("networks", "units", "reason"),
    [
        (2, 5, "5 images are too few to judge a pair"),
        (2, 6, ""),
        (8, 10, "10 images are too few to judge 28 pairs"),
        (8, 11, ""),
    ],
)
def test_so_few_units_that_no_verdict_can_come_out_are_named(networks: int, units: int, reason: str) -> None:
    effects = [0.0, *[0.5 + 0.1 * k for k in range(networks - 1)]]
    for one in judge(*experiment(effects, units=units)):
        assert (one.state == "undecided") == bool(reason)
        assert one.reason == reason


def test_no_network_is_better_that_the_ranks_do_not_call_so() -> None:
    # A little better on most images, far worse on a tenth: the mean is on the other side of the ranks.
    rng = np.random.default_rng(2)
    image = rng.normal(0.8, 0.02, (1, 200))
    gain = np.where(np.arange(200) % 10 == 0, -0.3, 0.01)
    noise = rng.normal(0, 0.002, (2, 3, 200))
    pairs, trainings = of_scores([image + gain + noise[0], image + noise[1]])
    (one,) = judge(pairs, trainings)
    assert one.corrected < 0.05
    assert one.direction > 0 > one.difference
    assert one.state == "undecided"


def test_equivalence_is_two_one_sided_tests_corrected_over_the_pairs() -> None:
    rng = np.random.default_rng(3)
    image = rng.normal(0.8, 0.1, (1, 400))
    networks = [image + rng.normal(0, 0.02, (5, 400)) for _ in range(3)]
    pairs, trainings = of_scores(networks)
    result = judge(pairs, trainings)
    assert [one.state for one in result] == ["equivalent"] * 3
    half = [(one.high - one.low) / 2 for one in result]
    assert max(half) < 0.01
    each = differences(pairs, trainings).below(0.003 - np.abs([one.difference for one in result]))
    nearer = [one.p_equivalent for one in judge(pairs, trainings, margin=0.003)]
    assert nearer == pytest.approx(list(holm(each)))
    assert nearer != pytest.approx(each)
    (alone,) = judge(pairs[:1], trainings)
    # 5 % of both one-sided tests: the 90 % interval of a single pair is within the margin.
    edge = max(float(abs(end[0])) for end in differences(pairs[:1], trainings).interval(0.9))
    assert judge(pairs[:1], trainings, margin=edge * 1.001)[0].p_equivalent < 0.05
    assert judge(pairs[:1], trainings, margin=edge * 0.999)[0].p_equivalent > 0.05
    assert judge(pairs[:1], trainings, margin=abs(alone.difference) / 2)[0].p_equivalent > 0.5


def test_better_by_less_than_the_margin_is_better() -> None:
    rng = np.random.default_rng(4)
    image = rng.normal(0.8, 0.1, (1, 400))
    networks = [image + gain + rng.normal(0, 0.005, (5, 400)) for gain in (0.0, 0.003)]
    (one,) = judge(*of_scores(networks))
    assert one.state == "worse"
    assert one.p_equivalent < 0.05


def test_the_difference_is_that_of_the_means_that_are_printed() -> None:
    pairs, trainings = experiment([0.0, 0.03])
    first, second = pairs[0].sides
    means = first.seed_means.mean() + 0.04 + second.seed_means - second.seed_means.mean()
    moved = [replace(pairs[0], sides=(first, replace(second, seed_means=means)))]
    (one,), (other,) = judge(pairs, trainings), judge(moved, trainings)
    assert other.difference == pytest.approx(-0.04)
    assert other.high - other.low == pytest.approx(one.high - one.low)
    assert (other.low + other.high) / 2 == pytest.approx(-0.04)


def test_no_pairs_no_judgement() -> None:
    assert judge([], TrainingVariance.of([])) == []


# Superiority.


def test_superiority_is_the_noncentral_t_interval_where_units_do_not_matter() -> None:
    rng = np.random.default_rng(5)
    seeds = 4
    means = rng.normal(0.8, 0.02, (2, seeds))
    pairs, trainings = of_scores([np.repeat(one[:, None], 50, axis=1) for one in means])
    ((point, low, high),) = superiority(pairs, trainings)
    deviation = (2 * means.var(axis=1, ddof=1).mean()) ** 0.5
    difference = means[0].mean() - means[1].mean()
    assert point == pytest.approx(stats.norm.cdf(difference / deviation))
    # difference / deviation x sqrt(S) is noncentral t of 2 (S - 1) degrees of freedom.
    seen = difference / deviation * seeds**0.5
    for share, end in ((0.975, low), (0.025, high)):
        noncentral = special.nctdtrinc(2 * (seeds - 1), share, seen)
        assert end == pytest.approx(stats.norm.cdf(noncentral / seeds**0.5), abs=0.004)


def test_superiority_has_a_direction_and_its_interval_holds_it() -> None:
    pairs, trainings = experiment([0.0, 0.02, 0.01])
    up, down = superiority(pairs, trainings), superiority(pairs, trainings, higher_is_better=False)
    for one, other in zip(up, down, strict=True):
        assert 0 <= one[1] <= one[0] <= one[2] <= 1
        assert other[0] == pytest.approx(1 - one[0])
        assert other[1] == pytest.approx(1 - one[2], abs=0.02)
    assert up[0][0] < 0.1


def test_more_images_tell_more_of_superiority() -> None:
    widths = []
    for units in (20, 2000):
        ((_, low, high),) = superiority(*experiment([0.0, 0.002], seeds=20, units=units, deviation=0.01, random=6))
        widths.append(high - low)
    assert widths[1] < widths[0]


def test_superiority_of_one_seed_is_not_known() -> None:
    rng = np.random.default_rng(7)
    pairs, trainings = of_scores([rng.normal(0, 1, (seeds, 9)) for seeds in (1, 3, 3)])
    result = superiority(pairs, trainings)
    assert result[0] is None
    assert result[1] is None
    assert result[2] is not None
    assert superiority(*of_scores([np.ones((2, 9)), np.zeros((2, 9))])) == [None]
