"""What it would take to separate networks on a dataset: more seeds, or more images."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from medseg.reporting.statistics import ALPHA, Estimate, Part, Side, TrainingVariance

POWER = 0.8
MOST_SEEDS = 100
MOST_UNITS = 100_000


@dataclass(frozen=True)
class Variances:
    """What planning knows of a dataset. Variances of single values, in the unit of the score squared.

    Args:
        networks: with several seeds, K.
        pairs: of all networks, which are judged together.
        seeds: that the networks have, the fewest.
        units: of the test set (groups of images, else images).
        training: between trainings, over infinitely many units.
        unit: of the differences of two networks between units, beyond what changes from training to training.
        residual: of a single value beyond its unit and its training.
    """

    networks: int
    pairs: int
    seeds: int
    units: int
    training: float
    unit: float
    residual: float

    @classmethod
    def of(cls, sides: Sequence[Side]) -> Variances | None:
        """Read them off the networks of a dataset, all on the same units; None where they cannot be known.

        Of the differences of two networks it takes the median over all pairs; networks with one seed are left out.
        """
        known = [side for side in sides if side.seeds > 1]
        trainings = TrainingVariance.of([side.seed_means for side in known]).pooled
        units = len(known[0].per_unit) if known else 0
        if len(known) < 2 or units < 2 or trainings is None:
            return None
        residual = float(np.mean([side.residual for side in known]))
        first, second = np.triu_indices(len(known), 1)
        per_unit = np.stack([side.per_unit for side in known])
        seeds = np.array([side.seeds for side in known])
        differences = (per_unit[first] - per_unit[second]).var(axis=1, ddof=1)
        single = float(np.median(differences - residual * (1 / seeds[first] + 1 / seeds[second])))
        training = trainings.variance - residual / units
        pairs = len(sides) * (len(sides) - 1) // 2
        return cls(len(known), pairs, int(seeds.min()), units, max(training, 0.0), max(single, 0.0), residual)

    def power(self, difference: float, *, seeds: int, units: int) -> float:
        """Return how probable it is that a pair that differs so much gets a verdict, 0 to 1.

        As of `rule.judge`: the expected variances at Holm's first step; later steps are easier, so it is somewhat more
        in truth. Assumes that the ranks of the units see what the mean sees.
        """
        from scipy.special import nctdtr, stdtrit

        if seeds < 2 or 2.0 ** (1 - units) * self.pairs >= ALPHA:
            return 0.0
        parts = (
            Part((self.unit + 2 * self.residual / seeds) / units, units - 1),
            Part(2 * (self.training + self.residual / units) / seeds, self.networks * (seeds - 1)),
        )
        expected = Estimate(difference, parts)
        if not expected.error:
            return 1.0
        critical = -stdtrit(expected.freedom, ALPHA / self.pairs / 2)
        missed = nctdtr(min(expected.freedom, 1e6), abs(difference) / expected.error, critical)
        return 1.0 if np.isnan(missed) else float(1 - missed)  # NaN: too small for a float


def smallest_difference(variances: Variances) -> float | None:
    """Return the smallest difference that these runs show with a power of 80 %; None where they show none at all."""
    from scipy.optimize import brentq

    def lacking(difference: float) -> float:
        return POWER - variances.power(difference, seeds=variances.seeds, units=variances.units)

    error = float(np.sqrt(variances.training + variances.unit + variances.residual))
    if not error:
        return 0.0
    high = next((error * 2.0**k for k in range(-8, 12) if lacking(error * 2.0**k) <= 0), None)
    return None if high is None else float(brentq(lacking, 0.0, high, xtol=error * 1e-4))


@dataclass(frozen=True)
class Plan:
    """What it would take to separate networks that differ by so much, with a power of 80 %.

    Args:
        difference: in the unit of the score.
        pairs: that are compared together.
        seeds, units: there are now.
        power: with these, 0 to 1.
        seeds_needed: with these images; None where more seeds alone do not do it (100 are not enough).
        units_needed: with these seeds; None where more images alone do not do it (100,000 are not enough).
    """

    difference: float
    pairs: int
    seeds: int
    units: int
    power: float
    seeds_needed: int | None
    units_needed: int | None


def plan(variances: Variances, difference: float) -> Plan:
    """Plan from the variances seen, all pairs being judged together.

    Assumes that what is added is as what is there, that no network deviates more than the others, and that the
    variances are as estimated: those of two or three seeds are rough, and so is the plan.
    """
    power = partial(variances.power, difference)
    seeds, units = variances.seeds, variances.units
    return Plan(
        difference,
        variances.pairs,
        seeds,
        units,
        power(seeds=seeds, units=units),
        fewest(lambda count: power(seeds=count, units=units), 2, MOST_SEEDS),
        fewest(lambda count: power(seeds=seeds, units=count), 2, MOST_UNITS),
    )


def fewest(power: Callable[[int], float], low: int, high: int) -> int | None:
    """Return the smallest count whose power suffices, which grows with the count; None where the highest does not."""
    counts = range(low, high + 1)
    index = bisect_left(counts, True, key=lambda count: power(count) >= POWER)
    return counts[index] if index < len(counts) else None
