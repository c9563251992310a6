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

import numpy as np

from medseg.reporting.statistics import (
    ALPHA,
    Array,
    Estimate,
    Part,
    Side,
    TrainingVariance,
    holm,
    of_units,
    wilcoxon_each,
)

BETTER, WORSE, EQUIVALENT = "better", "worse", "equivalent"
UNDECIDED, NOT_JUDGED = "undecided", "not judged"


@dataclass(frozen=True)
class PairInput:
    """Two networks on the units that both were tested on.

    Args:
        first, second: their numbers among the networks of `TrainingVariance`.
        sides: what each brings, on the same U units.
        ranked: difference of their scores per unit, averaged over seeds, U; NaN where a unit has none. None for a score
            that no single unit has.
        difference: of the means as they are printed; None: the mean of `sides`.
        unit: what a unit is called where there are several, for the reasons.
    """

    first: int
    second: int
    sides: tuple[Side, Side]
    ranked: Array | None = None
    difference: float | None = None
    unit: str = "images"

    @property
    def units(self) -> int:
        """U."""
        return len(self.sides[0].per_unit)

    @cached_property
    def mean(self) -> float:
        """Of the difference."""
        if self.difference is not None:
            return self.difference
        return float((self.sides[0].per_unit - self.sides[1].per_unit).mean()) if self.units else 0.0

    @cached_property
    def of_units(self) -> tuple[Part, ...]:
        """What units add to the variance of the difference; nothing where there is one alone."""
        return of_units(self.sides[0].per_unit - self.sides[1].per_unit)

    @property
    def seeds(self) -> int:
        """Of the side that has fewer."""
        return min(side.seeds for side in self.sides)


@dataclass(frozen=True)
class Judgement:
    """What the rule makes of a pair, seen from the first.

    Args:
        difference: first - second.
        low, high: the interval that the verdict was made of; None where the pair is not judged.
        confidence: its level: 0.95 for a single pair, more where there are several (Holm's step).
        p_interval: of the interval; None where the pair is not judged.
        p_ranks: of Wilcoxon's test; None for a pooled score, and where the pair is not judged.
        p, corrected: the larger of both, without and with Holm's correction for all pairs.
        p_equivalent: that they differ by the margin or more, corrected likewise (two one-sided tests; Schuirmann,
            1987). Below 5 %: equivalent within the margin, which "better" may well be too.
        direction: rank-biserial correlation, above 0 where the first is higher; the sign of the difference for a pooled
            score.
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
    shown = [pair.mean for pair in pairs]
    estimates = [estimate_difference(pair, trainings) for pair in pairs]
    directions = [
        float(np.sign(mean)) if pair.ranked is None else side
        for pair, mean, (_, side) in zip(pairs, shown, tested, strict=True)
    ]
    reasons = [why_not(pair, mean) for pair, mean in zip(pairs, shown, strict=True)]
    judged = [k for k, reason in enumerate(reasons) if not reason]
    results = [
        Judgement(mean, direction, reason=reason)
        for mean, direction, reason in zip(shown, directions, reasons, strict=True)
    ]
    p = np.array([max(estimates[k].p, 0.0 if pairs[k].ranked is None else tested[k][0]) for k in judged])
    corrected = holm(p)
    equivalent = holm([estimates[k].below(margin - abs(shown[k])) for k in judged])
    impossible = too_few([pairs[k] for k in judged])
    for k, one, together, alike, level, cannot in zip(
        judged, p.tolist(), corrected.tolist(), equivalent.tolist(), step_levels(p), impossible, strict=True
    ):
        low, high = estimates[k].interval(1 - level)
        higher = np.sign(shown[k]) if together < ALPHA and directions[k] * shown[k] > 0 else 0
        if higher:
            state, reason = (BETTER if (higher > 0) == higher_is_better else WORSE), ""
        elif alike < ALPHA:
            state, reason = EQUIVALENT, ""
        else:
            ranks = low > 0 or high < 0
            state, reason = UNDECIDED, cannot or ("the ranks of the units do not separate them" if ranks else "")
        results[k] = Judgement(
            difference=shown[k],
            direction=directions[k],
            low=low,
            high=high,
            confidence=1 - level,
            p_interval=estimates[k].p,
            p_ranks=None if pairs[k].ranked is None else tested[k][0],
            p=one,
            corrected=together,
            p_equivalent=alike,
            state=state,
            reason=reason,
        )
    return results


def estimate_difference(pair: PairInput, trainings: TrainingVariance) -> Estimate:
    """Return the difference of two networks, first - second, over units and trainings."""
    seeds = (pair.sides[0].seeds, pair.sides[1].seeds)
    return Estimate(pair.mean, (*pair.of_units, *trainings.of_difference((pair.first, pair.second), seeds)))


def why_not(pair: PairInput, difference: float) -> str:
    """Say why a pair is not judged; empty where it is."""
    if pair.units < 2:
        return f"fewer than two {pair.unit}"
    if np.isnan(difference):
        return "no value"
    return "one seed" if pair.seeds < 2 else ""


def step_levels(p: Array) -> list[float]:
    """Return the level of the test that each p was given in Holm's procedure.

    The smallest of m is tested at ALPHA / m, the next at ALPHA / (m - 1); from the first that is not rejected on, none
    is, and they share its level.
    """
    count = len(p)
    levels = np.empty(count)
    level, stopped = ALPHA / max(count, 1), False
    for step, k in enumerate(np.argsort(p, kind="stable")):
        if not stopped:
            level = ALPHA / (count - step)
            stopped = bool(p[k] >= level)
        levels[k] = level
    return levels.tolist()


def too_few(pairs: Sequence[PairInput]) -> list[str]:
    """Say of each pair why no verdict could come out; empty where one could.

    Wilcoxon's smallest p of U units is 2 / 2^U. Where Holm's first step rejects none, no other does.
    """
    smallest = [0.0 if pair.ranked is None else 2.0 ** (1 - pair.units) for pair in pairs]
    first = min(smallest, default=0.0) * len(pairs) >= ALPHA
    many = "a pair" if len(pairs) == 1 else f"{len(pairs)} pairs"
    return [
        f"{pair.units} {pair.unit} are too few to judge {many if first else 'a pair'}"
        if first or least >= ALPHA
        else ""
        for pair, least in zip(pairs, smallest, strict=True)
    ]


QUANTILES = 128
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
    rows, known = [], []
    for k, pair in enumerate(pairs):
        sides = pair.sides
        parts = [trainings.single(network) for network in (pair.first, pair.second)]
        if pair.units < 2 or pair.seeds < 2 or None in parts:
            continue
        both = [part for part in parts if part]
        deviation = sum(part.variance for part in both)
        if not deviation > 0:
            continue
        same = not trainings.separate.keys() & {pair.first, pair.second}
        freedom = both[0].freedom if same else deviation**2 / sum(part.variance**2 / part.freedom for part in both)
        if np.isnan(pair.mean):
            continue
        shared = sum(part.variance / side.seeds for part, side in zip(both, sides, strict=True)) / deviation
        rows.append(k)
        known.append((pair.mean, deviation, freedom, shared, pair.of_units[0].variance, pair.units - 1))
    if not rows:
        return results
    mean, deviation, freedom, shared, units, unit_freedom = (column[:, None] for column in np.array(known).T)
    mean = mean if higher_is_better else -mean
    # The true variances, given what was seen: f s^2 / chi^2. Nodes are quantiles; those of the units in another order,
    # so that both together are a point set that fills the square (Korobov).
    node = (np.arange(QUANTILES) + 0.5) / QUANTILES
    other = (node * QUANTILES * 47 % QUANTILES) / QUANTILES

    def variances(freedom: Array, node: Array) -> Array:
        each, place = np.unique(freedom, return_inverse=True)  # mostly one, that of all pairs
        quantiles = each[:, None] / (2 * gammaincinv(each[:, None] / 2, node))
        return quantiles[place.ravel()]

    tau = np.sqrt(deviation * variances(freedom, node))
    error = np.sqrt(units * variances(unit_freedom, other) + shared * tau**2)
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
    for row, one, least, most in zip(rows, point.tolist(), low.tolist(), high.tolist(), strict=True):
        results[row] = (one, min(least, one), max(most, one))
    return results
