"""The one rule by which a network is called better than another on a dataset.

All pairs of networks of a dataset are one family. Of experiments whose networks are all equal, at most 5 % hold a
verdict. For each pair:

1. p of the interval: Student's t of the difference, with the variance over units (groups of images, else images) and
   that over trainings (`statistics.Estimate`, `statistics.TrainingVariance`);
2. p of the ranks: Wilcoxon's signed ranks over the units, each averaged over seeds. Only of means over images: a pooled
   score has no value of an image, and the interval alone decides;
3. the larger of both, corrected for all pairs of the dataset (Holm, 1979).

Better is what has a corrected p below 5 % and a mean on the side of the ranks: no network is better that is a little
better on most images and fails on a few. The interval that goes with a verdict is the one it was made of: at the level
of the pair's step in Holm's procedure, so it leaves out 0 wherever there is a verdict. One seed is not judged: nothing
distinguishes it from a lucky training.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from medseg.reporting.signed_ranks import wilcoxon_each
from medseg.reporting.statistics import ALPHA, Array, Estimate, Side, TrainingVariance, holm, of_units

BETTER, WORSE, EQUIVALENT = "better", "worse", "equivalent"
UNDECIDED, NOT_JUDGED = "undecided", "not judged"


@dataclass(frozen=True)
class PairInput:
    """Two networks on the units that both were tested on.

    Args:
        first, second: their numbers among the networks of `TrainingVariance`.
        sides: what each brings, on the same U units.
        ranked: difference of their scores per unit, averaged over seeds, U; NaN where one has none. None for a score
            that no single unit has.
        unit: what a unit is called where there are several, for the reasons.
    """

    first: int
    second: int
    sides: tuple[Side, Side]
    ranked: Array | None = None
    unit: str = "images"

    @property
    def units(self) -> int:
        """U."""
        return len(self.sides[0].per_unit)

    @cached_property
    def ranked_units(self) -> int | None:
        """Units that both have a score of; None for a score that no single unit has."""
        return None if self.ranked is None else int((~np.isnan(self.ranked)).sum())

    @cached_property
    def mean(self) -> float:
        """Of the difference."""
        return self.sides[0].mean - self.sides[1].mean

    @property
    def seeds(self) -> tuple[int, int]:
        """Of both sides."""
        return self.sides[0].seeds, self.sides[1].seeds

    @cached_property
    def why_not(self) -> str:
        """Why the pair is not judged; empty where it is."""
        if self.units < 2:
            return f"fewer than two {self.unit}"
        if np.isnan(self.mean):
            return "no value"
        return "one seed" if min(self.seeds) < 2 else ""


def differences(pairs: Sequence[PairInput], trainings: TrainingVariance) -> Estimate:
    """Return the differences, first - second, of P pairs that can be judged, over units and trainings."""
    networks = np.array([(pair.first, pair.second) for pair in pairs]).T
    seeds = np.array([pair.seeds for pair in pairs]).T
    units = of_units([pair.sides[0].per_unit - pair.sides[1].per_unit for pair in pairs])
    return Estimate(np.array([pair.mean for pair in pairs]), (units, *trainings.of_differences(networks, seeds)))


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What the rule makes of a pair, seen from the first.

    Args:
        difference: first - second, in the unit of the score.
        direction: rank-biserial correlation, above 0 where the first is higher; the sign of the difference for a pooled
            score.
        low, high: the interval that the verdict was made of; None where the pair is not judged, as all below.
        confidence: its level: 0.95 for a single pair, more where there are several (Holm's step).
        p_interval: of the interval.
        p_ranks: of Wilcoxon's test; None for a pooled score.
        p, corrected: the larger of both, without and with Holm's correction for all pairs.
        p_equivalent: that they differ by the margin or more, corrected likewise (two one-sided tests; Schuirmann,
            1987). Below 5 %: equivalent within the margin, which "better" may well be too.
        state: "better", "worse", "equivalent", "undecided" or "not judged": the first, the direction of the score
            included.
        reason: why it is not judged, or cannot be or is not decided; else empty.
    """

    difference: float
    direction: float = 0.0
    low: float | None = None
    high: float | None = None
    confidence: float = 1 - ALPHA
    p_interval: float | None = None
    p_ranks: float | None = None
    p: float | None = None
    corrected: float | None = None
    p_equivalent: float | None = None
    state: str = NOT_JUDGED
    reason: str = ""


def judge(
    pairs: Sequence[PairInput], trainings: TrainingVariance, *, higher_is_better: bool = True, margin: float = 0.01
) -> list[Judgement]:
    """Judge all pairs of networks of a dataset, as one family.

    Args:
        pairs: all of them; those that cannot be judged do not count for the correction of the others.
        trainings: of the networks of the dataset.
        higher_is_better: direction of the score.
        margin: of equivalence, in the unit of the score.
    """
    tested = wilcoxon_each([np.empty(0) if pair.ranked is None else pair.ranked for pair in pairs])
    ranks = [None if pair.ranked is None or pair.why_not else p for pair, (p, _) in zip(pairs, tested, strict=True)]
    directions = [
        float(np.sign(pair.mean)) if pair.ranked is None else direction
        for pair, (_, direction) in zip(pairs, tested, strict=True)
    ]
    judged = [k for k, pair in enumerate(pairs) if not pair.why_not]
    verdicts: dict[int, dict[str, Any]] = {}
    if judged:
        family = [pairs[k] for k in judged]
        estimate = differences(family, trainings)
        p = np.maximum(estimate.p, [ranks[k] or 0.0 for k in judged])
        levels = step_levels(p)
        low, high = estimate.interval(1 - levels)
        columns = {
            "low": low,
            "high": high,
            "confidence": 1 - levels,
            "p_interval": estimate.p,
            "p": p,
            "corrected": holm(p),
            "p_equivalent": holm(estimate.below(margin - np.abs(estimate.mean))),
        }
        rows = zip(*(column.tolist() for column in columns.values()), strict=True)
        for k, row, cannot in zip(judged, rows, too_few(family), strict=True):
            verdict = dict(zip(columns, row, strict=True))
            mean, reason = pairs[k].mean, ""
            if verdict["corrected"] < ALPHA and directions[k] * mean > 0:
                state = BETTER if (mean > 0) == higher_is_better else WORSE
            elif verdict["p_equivalent"] < ALPHA:
                state = EQUIVALENT
            else:
                left_out = verdict["low"] > 0 or verdict["high"] < 0
                state, reason = UNDECIDED, cannot or ("the ranks of the units do not separate them" if left_out else "")
            verdicts[k] = {**verdict, "state": state, "reason": reason}
    return [
        Judgement(
            difference=pair.mean, direction=directions[k], p_ranks=ranks[k], **verdicts.get(k, {"reason": pair.why_not})
        )
        for k, pair in enumerate(pairs)
    ]


def step_levels(p: Array) -> Array:
    """Return the level of the test that each p was given in Holm's procedure.

    The smallest of m is tested at ALPHA / m, the next at ALPHA / (m - 1); from the first that is not rejected on, none
    is, and they share its level.
    """
    order = np.argsort(p, kind="stable")
    levels = ALPHA / np.arange(len(p), 0, -1)
    not_rejected = np.flatnonzero(p[order] >= levels)
    if len(not_rejected):
        levels[not_rejected[0] :] = levels[not_rejected[0]]
    of_each = np.empty(len(p))
    of_each[order] = levels
    return of_each


def too_few(pairs: Sequence[PairInput]) -> list[str]:
    """Say of each pair why no verdict could come out; empty where one could.

    Wilcoxon's smallest p of U units is 2 / 2^U. Where Holm's first step rejects none, no other does.
    """
    smallest = [0.0 if pair.ranked_units is None else 2.0 ** (1 - pair.ranked_units) for pair in pairs]
    first = min(smallest, default=0.0) * len(pairs) >= ALPHA
    judged = f"{len(pairs)} pairs" if first and len(pairs) > 1 else "a pair"
    return [
        f"{pair.ranked_units} {pair.unit} are too few to judge {judged}" if first or least >= ALPHA else ""
        for pair, least in zip(pairs, smallest, strict=True)
    ]


QUANTILES = 64
"""Nodes of the integral over what the deviation of trainings may be."""


def superiority(
    pairs: Sequence[PairInput], trainings: TrainingVariance, *, higher_is_better: bool = True
) -> list[tuple[float, float, float] | None]:
    """Return how probable it is that a new training of the first beats a new training of the second, with 95 %.

    Beats: has the better mean over the same test images or others of their kind, each network at its true mean. Assumes
    that the means of trainings are normal, with the variance of `TrainingVariance`.
    The interval knows that the difference is uncertain (units and trainings) and that the variance is: it is the
    generalized confidence interval (Weerahandi, JASA 1993) of Phi(difference / deviation), which is that of the
    noncentral t where units do not matter.

    Returns:
        Probability, low, high of each pair; None with one seed, fewer than two units, or trainings that do not deviate.
    """
    from scipy.special import gammaincinv, ndtr

    results: list[tuple[float, float, float] | None] = [None] * len(pairs)
    judged = [k for k, pair in enumerate(pairs) if not pair.why_not]
    if not judged:
        return results
    estimate = differences([pairs[k] for k in judged], trainings)
    networks = np.array([(pairs[k].first, pairs[k].second) for k in judged]).T
    single = trainings.of_differences(networks, np.ones_like(networks))
    both = single[0].variance + single[1].variance
    squares = single[0].variance ** 2 / single[0].freedom + single[1].variance ** 2 / single[1].freedom
    varies = both > 0
    units, *seen = estimate.parts
    freedom = np.where(np.isinf(single[1].freedom), single[0].freedom, both**2 / np.where(varies, squares, 1.0))
    shared = (seen[0].variance + seen[1].variance) / np.where(varies, both, 1.0)
    columns = (estimate.mean, both, freedom, shared, units.variance, units.freedom)
    mean, deviation, freedom, shared, unit_variance, unit_freedom = (column[varies, None] for column in columns)
    mean = mean if higher_is_better else -mean
    # The true variances, given what was seen: f s^2 / chi^2. Nodes are quantiles; those of the units in another order,
    # so that both together are a point set that fills the square (Korobov).
    node = (np.arange(QUANTILES) + 0.5) / QUANTILES
    other = (node * QUANTILES * 47 % QUANTILES) / QUANTILES

    def variances(freedom: Array, node: Array) -> Array:
        each, inverse = np.unique(freedom, return_inverse=True)  # mostly one, that of all pairs
        quantiles = each[:, None] / (2 * gammaincinv(each[:, None] / 2, node))
        return quantiles[inverse.ravel()]

    tau = np.sqrt(deviation * variances(freedom, node))
    error = np.sqrt(unit_variance * variances(unit_freedom, other) + shared * tau**2)
    slope, shift = tau / error, mean / error

    def end(share: float) -> Array:
        low, high = np.full_like(mean, -40.0), np.full_like(mean, 40.0)  # standard deviations of two trainings
        middle = np.clip(mean / np.sqrt(deviation), -8.0, 8.0)
        for _ in range(60):  # Newton's steps, mostly 6 of them; halves of the interval where one leads out of it
            normal = middle * slope - shift
            off = ndtr(normal).mean(axis=1, keepdims=True) - share
            if np.all((np.abs(off) < 1e-7) | (high - low < 1e-7)):
                break
            low, high = np.where(off < 0, middle, low), np.where(off < 0, high, middle)
            rise = (slope * np.exp(-(normal**2) / 2)).mean(axis=1, keepdims=True) / np.sqrt(2 * np.pi)
            step = middle - np.divide(off, rise, out=np.full_like(off, np.inf), where=rise > 0)
            middle = np.where((low < step) & (step < high), step, (low + high) / 2)
        return ndtr(middle)[:, 0]

    point, low, high = ndtr(mean / np.sqrt(deviation))[:, 0], end(ALPHA / 2), end(1 - ALPHA / 2)
    for k, one, least, most in zip(np.array(judged)[varies], point.tolist(), low.tolist(), high.tolist(), strict=True):
        results[k] = (one, min(least, one), max(most, one))
    return results
