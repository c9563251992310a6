"""The statistics of a report: pure functions over arrays, scipy's where scipy has them.

A mean over test images is uncertain for two reasons: other images of the same kind would give another mean, and so
would other trainings. Both are estimated, as parts of a variance with separate degrees of freedom:

    units       of the values of each unit (averaged over seeds), / U                          U - 1
    trainings   of the means of each training, / S, pooled over the networks of a dataset      sum of (S - 1)

A unit is what the test set was drawn by: a group of images (a patient, a video) where there are groups, else an image.
Each unit has a value: its score, or the jackknife's pseudo-value of leaving it out. What a unit and a training have in
common is in both parts; that errs on the safe side, and by no more than that.

What all of it assumes: units are independent of each other, and so are trainings; trainings of networks deviate about
equally, unless they visibly do not (`TrainingVariance`). What the verdicts made of it can do: `docs/statistics.md`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

ALPHA = 0.05
"""Of a family of tests together; an interval that stands alone leaves out as much."""

APART = 0.2
"""Level at which the trainings of a network deviate visibly more than those of the others, over all networks together.

Simulated: one network of 8 deviates by 0.04, the others by 0.005, 3 seeds. Without this test 17 % of the experiments
hold a false verdict, with it 5 %; where all deviate alike it costs 2 of 49 points of power. Bartlett's test at 5 %,
which decides for all networks together, leaves 10 %, moderated variances (Smyth, 2004) 9 %.
"""

Array = NDArray[np.float64]

Numbers = Any
"""A number, or an array of as many as there are means."""


@dataclass(frozen=True)
class Part:
    """One source of the variance of a mean, with the degrees of freedom it was estimated with; arrays of many means."""

    variance: Numbers
    freedom: Numbers


@dataclass(frozen=True)
class Estimate:
    """A mean, or a difference of means, and what its uncertainty is made of; or many of them, as arrays.

    Args:
        mean: in the unit of the score.
        parts: independent of each other; their variances add up.
    """

    mean: Numbers
    parts: tuple[Part, ...]

    @cached_property
    def error(self) -> Numbers:
        """Standard error."""
        return np.sqrt(sum(part.variance for part in self.parts))

    @cached_property
    def freedom(self) -> Numbers:
        """Degrees of freedom of the sum (Satterthwaite, 1946), cautious; infinite where nothing varies.

        Where a part of few degrees of freedom comes out small by chance, Satterthwaite's are too many: with one for
        the trainings (a single network, two seeds) a 95 % interval misses in up to 12.5 %, with two in up to 7.8 %. So
        a part of f degrees of freedom counts (1 + 2 / f)^2 times: then it misses in at most 6.0 % and 5.0 % (numerical
        integration over the share of the trainings in the variance, 120 units; 6.9 and 5.6 % with 6 units). Of the
        forms tried this one costs least power. A part alone, or parts of many degrees of freedom, stay as they are.
        """
        weighted = [(part.variance * (1 + 2 / part.freedom) ** 2, part.freedom) for part in self.parts]
        squares = np.asarray(sum(variance**2 / freedom for variance, freedom in weighted))
        whole = np.asarray(sum(variance for variance, _ in weighted)) ** 2
        return np.divide(whole, squares, out=np.full(squares.shape, np.inf), where=squares > 0)[()]

    def interval(self, confidence: Numbers = 1 - ALPHA) -> tuple[Numbers, Numbers]:
        """Return the two-sided interval (Student's t)."""
        from scipy.special import stdtrit  # not scipy.stats, which takes half a second to import

        half = np.where(self.error > 0, -stdtrit(self.freedom, (1 - confidence) / 2) * self.error, 0.0)
        return self.mean - half, self.mean + half

    @cached_property
    def p(self) -> Numbers:
        """How rarely the mean would be as far from 0 if the truth were 0, two-sided."""
        return np.minimum(1.0, 2 * self.below(np.abs(self.mean)))

    def below(self, distance: Numbers) -> Numbers:
        """Return how rarely the mean would be that far from the truth to one side."""
        from scipy.special import stdtr

        varies = self.error > 0
        p = stdtr(self.freedom, -distance / np.where(varies, self.error, 1.0))
        return np.where(varies, p, np.asarray(distance) <= 0)[()]


@dataclass(frozen=True)
class Side:
    """What a network brings into means and differences on a dataset.

    Args:
        per_unit: means over its S seeds, U.
        seed_means: means over its U units, S.
        residual: variance of a single value beyond its unit and its training; 0 where that is not known.
        ranked: scores of the units for a test of ranks, U, NaN where one has none; None for a pooled score.
    """

    per_unit: Array
    seed_means: Array
    residual: float
    ranked: Array | None = None

    @classmethod
    def of(cls, values: Array) -> Side:
        """Make a side of the values of S seeds on U units, S x U."""
        per_unit, seed_means = values.mean(axis=0), values.mean(axis=1)
        freedom = (values.shape[0] - 1) * (values.shape[1] - 1)
        rest = values - per_unit - seed_means[:, None] + seed_means.mean()
        return cls(per_unit, seed_means, float((rest**2).sum() / freedom) if freedom else 0.0)

    @property
    def seeds(self) -> int:
        """S."""
        return len(self.seed_means)

    @cached_property
    def mean(self) -> float:
        """Over units and seeds."""
        return float(self.seed_means.mean())


@dataclass(frozen=True)
class TrainingVariance:
    """How far trainings of the networks of a dataset deviate.

    Pooled over the networks, as if they deviated about equally: 2 seeds of one alone estimate a standard deviation to a
    factor between 0.45 and 32. A network that deviates visibly more than the others (one-sided F test, level `APART`
    over all networks) gets the variance of its seeds and their few degrees of freedom. It stays in the pool, which
    makes that of the others too large rather than too small: a report without it judges them better.
    Two seeds do not always show it: see the unequal deviations in the simulated table of `docs/statistics.md`.

    Args:
        pooled: variance of a single training, with its degrees of freedom; None where no network has two seeds.
        separate: the same of the networks that visibly deviate more, by their number.
    """

    pooled: Part | None
    separate: dict[int, Part]

    @classmethod
    def of(cls, seed_means: Sequence[ArrayLike]) -> TrainingVariance:
        """Estimate from the means of the seeds of each network, over all its units: K arrays of S_k values."""
        from scipy.special import fdtrc

        alone = {k: known for k, means in enumerate(seed_means) if (known := spread(means)) is not None}
        if not alone:
            return cls(None, {})
        squares = sum(part.variance * part.freedom for part in alone.values())
        freedom = sum(part.freedom for part in alone.values())
        separate = {}
        for k, part in alone.items():
            others = freedom - part.freedom
            if others:
                rest = (squares - part.variance * part.freedom) / others
                ratio = part.variance / max(rest, 1e-30)  # rounding leaves about 1e-33 of variances that are 0
                if fdtrc(part.freedom, others, ratio) < APART / len(alone):
                    separate[k] = part
        return cls(Part(squares / freedom, freedom), separate)

    def single(self, network: int) -> Part | None:
        """Return the variance of a single training of a network; None where it is not known."""
        return self.separate.get(network, self.pooled)

    def of_means(self, seeds: Array) -> Part:
        """Return what trainings add to the variances of the means of all K networks over their seeds; 0 with one."""
        single = [self.single(k) or Part(0.0, np.inf) for k in range(len(seeds))]
        variance, freedom = np.array([(part.variance, part.freedom) for part in single]).T
        return Part(np.where(seeds > 1, variance / seeds, 0.0), np.where(seeds > 1, freedom, np.inf))

    def of_differences(self, networks: Array, seeds: Array) -> tuple[Part, Part]:
        """Return what trainings add to the variances of P differences of two networks, in two parts.

        The second is 0 where both networks have the pooled variance: it is one estimate, so one part.

        Args:
            networks: their numbers, 2 x P.
            seeds: how many they have, 2 x P.

        Raises `ValueError` where no network has two seeds.
        """
        if self.pooled is None:
            raise ValueError("the variance of trainings is not known")
        apart = np.isin(networks, list(self.separate)).any(axis=0)
        single = [self.separate.get(k, self.pooled) for k in range(int(networks.max()) + 1)]
        variance, freedom = np.array([(part.variance, part.freedom) for part in single]).T[:, networks]
        variance = variance / seeds
        first = Part(np.where(apart, variance[0], self.pooled.variance * (1 / seeds).sum(axis=0)), freedom[0])
        return first, Part(np.where(apart, variance[1], 0.0), np.where(apart, freedom[1], np.inf))


def spread(values: ArrayLike) -> Part | None:
    """Return the variance of single values; None of fewer than two."""
    given = np.asarray(values, dtype=np.float64)
    if len(given) < 2:
        return None
    off = given - given.mean()
    return Part(float(off @ off) / (len(given) - 1), float(len(given) - 1))  # a third of the time of np.var


def of_units(per_unit: Sequence[Array]) -> Part:
    """Return what units add to the variance of means over them, P arrays; 0 where there is one alone."""
    variance, units = np.empty(len(per_unit)), np.array([len(values) for values in per_unit], dtype=np.float64)
    for numbers, values in by_length(per_unit):
        off = values - values.mean(axis=1, keepdims=True)
        variance[numbers] = np.einsum("pu,pu->p", off, off)
    return Part(variance / np.maximum(units - 1, 1) / units, np.where(units > 1, units - 1, np.inf))


def by_length(arrays: Sequence[Array]) -> Iterator[tuple[list[int], Array]]:
    """Stack arrays of the same length; yield their numbers and the stack, n x length."""
    numbers: dict[int, list[int]] = {}
    for number, values in enumerate(arrays):
        numbers.setdefault(len(values), []).append(number)
    for alike in numbers.values():
        yield alike, np.stack([arrays[number] for number in alike])


def estimate_means(sides: Sequence[Side], trainings: TrainingVariance) -> Estimate:
    """Return the means of the K networks of a dataset over units and trainings; with one seed over units alone.

    Their `interval` is the bracket of the table.
    """
    units = of_units([side.per_unit for side in sides])
    seeds = np.array([side.seeds for side in sides])
    return Estimate(np.array([side.mean for side in sides]), (units, trainings.of_means(seeds)))


def holm(p: ArrayLike) -> Array:
    """Correct p-values for that there are several (Holm, 1979): none is smaller than before, their order stays."""
    given = np.asarray(p, dtype=np.float64)
    order = np.argsort(given, kind="stable")
    stepped = np.maximum.accumulate(given[order] * np.arange(len(given), 0, -1))
    corrected = np.empty_like(given)
    corrected[order] = np.minimum(stepped, 1.0)
    return corrected
