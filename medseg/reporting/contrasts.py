"""The difference between the means of two subgroups of the same test images, and how far units make it vary.

The images of a unit (a patient, a video) may be in both subgroups, and what they have in common then cancels out in the
difference. So it is a linear contrast over units: the values are regressed on the subgroups, with the variance that
holds for units of any kind (CR2; Bell and McCaffrey, 2002) and its degrees of freedom (Pustejovsky and Tipton, 2018),
as if values deviated by as much as they do in each subgroup. Where each image is a unit, that is Welch's t interval.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medseg.reporting.statistics import ALPHA, Array, Estimate, Part, TrainingVariance


@dataclass(frozen=True)
class Contrast:
    """The difference between two subgroups: first - second.

    Args:
        seed_means: of each training, S.
        units: what units add to the variance of their mean.
    """

    seed_means: Array
    units: Part


def contrast(
    values: Array, units: NDArray[np.int64], first: NDArray[np.bool_], second: NDArray[np.bool_]
) -> Contrast | None:
    """Return the difference between the means of two subgroups; None where one has fewer than two units with a value.

    Args:
        values: of S seeds on N images; NaN where there is none.
        units: of the images, N, from 0.
        first, second: the images of each subgroup, N; none is in both.
    """
    number = int(units.max()) + 1
    influence = np.zeros((len(values), number))
    means, leverages, variances, sizes = [], [], [], []
    for sign, members in ((1.0, first), (-1.0, second)):
        present = ~np.isnan(values) & members
        counts = np.stack([np.bincount(units, row, number) for row in present.astype(np.float64)])
        if ((counts > 0).sum(axis=1) < 2).any():
            return None
        size = counts.sum(axis=1, keepdims=True)
        mean = np.where(present, values, 0.0).sum(axis=1, keepdims=True) / size
        off = np.where(present, values - mean, 0.0)
        leverage = counts / size
        sums = np.stack([np.bincount(units, row, number) for row in off])
        influence += sign * sums / size / np.sqrt(1 - leverage)
        means.append(sign * mean[:, 0])
        leverages.append(leverage.mean(axis=0))
        sizes.append(float(size.mean()))
        variances.append(float((off.mean(axis=0) ** 2).sum() / (sizes[-1] - 1)))
    variance = float((influence.mean(axis=0) ** 2).sum())
    return Contrast(means[0] + means[1], Part(variance, freedom_of(leverages, variances, sizes)))


def freedom_of(leverages: Sequence[Array], variances: Sequence[float], sizes: Sequence[float]) -> float:
    """Return the degrees of freedom of the variance of a contrast; infinite where nothing varies.

    Args:
        leverages: of each subgroup: the part of its images that each of U units has, U.
        variances: of a single value of each subgroup.
        sizes: images of each subgroup.

    The variance is a sum of squares over units, y' P y. Of independent normal values, it is distributed as a multiple
    of chi squared with (trace of P)^2 / (sum of the squares of P) degrees of freedom. P is of U x U, and is not made.
    A subgroup of few degrees of freedom f counts (1 + 2 / f)^2 times, as a part of an `Estimate` does and for the same
    reason: its variance may come out small by chance.
    """
    part, weight = np.stack(leverages), np.array(variances) / np.array(sizes)
    if len(part) > 1:
        alone = [freedom_of([leverage], [1.0], [size]) for leverage, size in zip(leverages, sizes, strict=True)]
        weight *= (1 + 2 / np.array(alone)) ** 2
    scaled = part / np.sqrt(1 - part)
    diagonal = weight @ part
    products = weight @ scaled**2
    across = weight @ (scaled @ scaled.T) ** 2 @ weight
    squares = (diagonal**2).sum() + across - (products**2).sum()
    return float(diagonal.sum() ** 2 / squares) if squares > 0 else float("inf")


def estimate_contrasts(contrasts: Sequence[Contrast]) -> Estimate:
    """Return the difference between two subgroups for each of K networks, over units and trainings.

    The variance between trainings is that of the difference, pooled over the networks as that of means is.
    """
    trainings = TrainingVariance.of([one.seed_means for one in contrasts])
    seeds = np.array([len(one.seed_means) for one in contrasts])
    units = Part(*np.array([(one.units.variance, one.units.freedom) for one in contrasts]).T)
    mean = np.array([one.seed_means.mean() for one in contrasts])
    return Estimate(mean, (units, trainings.of_means(seeds)))


def level_of(subgroups: int) -> float:
    """Return the level of the interval of one of all pairs of some subgroups, so that all of them hold together.

    Which two are the best and the worst is seen in the data. The interval of that pair holds in 95 % as long as those
    of all pairs do together (Bonferroni).
    """
    return 1 - ALPHA / (subgroups * (subgroups - 1) // 2)
