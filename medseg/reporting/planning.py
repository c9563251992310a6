"""What it would take to separate networks on a dataset: more seeds, or more images."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from medseg.reporting.rule import PairInput
from medseg.reporting.statistics import ALPHA, Estimate, Part, Side, TrainingVariance

POWER = 0.8
MOST_SEEDS = 100
MOST_UNITS = 100_000


@dataclass(frozen=True)
class Variances:
    """What planning knows of two networks on a dataset. Variances of single values, in the unit of the score squared.

    Args:
        pairs: that are judged together, this one included.
        seeds: of each of the two.
        units: of the test set (groups of images, else images).
        training: between trainings of each of the two, over infinitely many units.
        freedom: degrees of freedom of both estimates.
        networks: whose trainings each was estimated from; 1 of a network that deviates more than the others, and more
            where it is the one estimate of all networks.
        unit: of the difference of the two between units, beyond what changes from training to training.
        residual: of a single value beyond its unit and its training.
        ranked: share of the units that have a rank; None for a pooled score, which has none to be tested.
    """

    pairs: int
    seeds: tuple[int, int]
    units: int
    training: tuple[float, float]
    freedom: tuple[float, float]
    networks: tuple[int, int]
    unit: float
    residual: float
    ranked: float | None = 1.0

    @classmethod
    def of_pair(cls, given: PairInput, trainings: TrainingVariance, networks: int, pairs: int) -> Variances | None:
        """Read them off a pair; None where it cannot be judged.

        Args:
            given: the pair.
            trainings: of the networks of the dataset.
            networks: those with several seeds.
            pairs: that are judged together.
        """
        single = [trainings.single(number) for number in (given.first, given.second)]
        one, other = single
        if given.why_not or one is None or other is None:
            return None
        residual = float(np.mean([side.residual for side in given.sides]))
        difference = float((given.sides[0].per_unit - given.sides[1].per_unit).var(ddof=1))
        return cls(
            pairs,
            given.seeds,
            given.units,
            (max(one.variance - residual / given.units, 0.0), max(other.variance - residual / given.units, 0.0)),
            (one.freedom, other.freedom),
            (
                1 if given.first in trainings.separate else networks,
                1 if given.second in trainings.separate else networks,
            ),
            max(difference - residual * sum(1 / seeds for seeds in given.seeds), 0.0),
            residual,
            None if given.ranked_units is None else given.ranked_units / given.units,
        )

    @classmethod
    def typical(cls, sides: Sequence[Side]) -> Variances | None:
        """Read them off the networks of a dataset, all on the same units; None where they cannot be known.

        They are those of a pair of networks that deviate as all do, with as many seeds as the network with the fewest,
        and with the median over all pairs of the variance between units. Networks with one seed are left out.
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
        training, fewest_seeds = max(trainings.variance - residual / units, 0.0), int(seeds.min())
        return cls(
            len(first),
            (fewest_seeds, fewest_seeds),
            units,
            (training, training),
            (trainings.freedom, trainings.freedom),
            (len(known), len(known)),
            max(single, 0.0),
            residual,
            ranked_share(known),
        )

    def power(self, difference: float, *, seeds: int | None = None, units: int | None = None) -> float:
        """Return how probable it is that the pair gets a verdict if it differs so much, 0 to 1.

        As of `rule.judge`: the expected variances at Holm's first step; later steps are easier, so it is somewhat more
        in truth. Assumes that the ranks of the units see what the mean sees, which takes more than a few units.

        Args:
            difference: in the unit of the score.
            seeds: of every network of the dataset; None for as many as there are.
            units: None for as many as there are.
        """
        from scipy.special import nctdtr, stdtrit

        units = self.units if units is None else units
        each = self.seeds if seeds is None else (seeds, seeds)
        if min(each) < 2 or units < 2:
            return 0.0
        if self.ranked is not None and 2.0 ** (1 - round(units * self.ranked)) * self.pairs >= ALPHA:
            return 0.0
        freedom = self.freedom if seeds is None else tuple(networks * (seeds - 1) for networks in self.networks)
        variances = [(own + self.residual / units) / count for own, count in zip(self.training, each, strict=True)]
        pooled = min(self.networks) > 1  # one estimate of both
        parts = [Part((self.unit + sum(self.residual / count for count in each)) / units, units - 1)]
        parts += [Part(sum(variances), freedom[0])] if pooled else list(map(Part, variances, freedom))
        expected = Estimate(difference, tuple(parts))
        if not expected.error:
            return 1.0
        critical = -stdtrit(expected.freedom, ALPHA / self.pairs / 2)
        missed = nctdtr(min(expected.freedom, 1e6), abs(difference) / expected.error, critical)
        return 1.0 if np.isnan(missed) else float(1 - missed)  # NaN: too small for a float


def ranked_share(sides: Sequence[Side]) -> float | None:
    """Return the share of the units that all sides have a score of; None for a pooled score."""
    scores = [side.ranked for side in sides if side.ranked is not None]
    return float((~np.isnan(scores).any(axis=0)).mean()) if scores else None


def smallest_difference(variances: Variances) -> float | None:
    """Return the smallest difference that these runs show with a power of 80 %; None where they show none at all."""
    from scipy.optimize import brentq

    def lacking(difference: float) -> float:
        return POWER - variances.power(difference)

    error = float(np.sqrt(max(variances.training) + variances.unit + variances.residual))
    if not error:
        return 0.0 if variances.power(0.0) else None
    high = next((error * 2.0**k for k in range(-8, 12) if lacking(error * 2.0**k) <= 0), None)
    return None if high is None else float(brentq(lacking, 0.0, high, xtol=error * 1e-4))


@dataclass(frozen=True)
class Plan:
    """What it would take to separate networks that differ by so much, with a power of 80 %.

    Args:
        difference: in the unit of the score.
        pairs: that are compared together.
        seeds: of the network with the fewest.
        units: there are now.
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
    return Plan(
        difference,
        variances.pairs,
        min(variances.seeds),
        variances.units,
        power(),
        fewest(lambda count: power(seeds=count), 2, MOST_SEEDS),
        fewest(lambda count: power(units=count), 2, MOST_UNITS),
    )


def fewest(power: Callable[[int], float], low: int, high: int) -> int | None:
    """Return the smallest count whose power suffices, which grows with the count; None where the highest does not."""
    counts = range(low, high + 1)
    index = bisect_left(counts, True, key=lambda count: power(count) >= POWER)
    return counts[index] if index < len(counts) else None
