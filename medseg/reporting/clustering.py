"""Images in groups, such as those of a patient: how alike they are, and how many independent ones they are worth."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike


def effective_number(values: ArrayLike, groups: Sequence[str]) -> float:
    """Return how many independent images would estimate the mean as well as N images in groups do; NaN is left out.

    N / (1 + (sum of n^2 / N - 1) * ICC) for groups of n images (Kish, Survey Sampling, 1965); between the number of
    groups and N for groups of equal size. 1 with a single group, N where each image is a group by itself.
    """
    given = np.asarray(values, dtype=np.float64)
    there = ~np.isnan(given)
    names, sizes = np.unique(np.asarray(groups)[there], return_counts=True)
    images = int(sizes.sum())
    if len(names) < 2 or images == len(names):
        return float(len(names))
    alike = intraclass_correlation(given[there], np.asarray(groups)[there])
    return float(images / (1 + ((sizes**2).sum() / images - 1) * alike))


def intraclass_correlation(values: ArrayLike, groups: ArrayLike) -> float:
    """Return how alike images of a group are, from 0 (not at all) to 1 (the same); NaN where that cannot be known.

    By analysis of variance, for groups of any sizes (Donner, International Statistical Review 1986).

    Args:
        values: of N images.
        groups: the name of each image's group, N.
    """
    given = np.asarray(values, dtype=np.float64)
    number, sizes = np.unique(groups, return_inverse=True, return_counts=True)[1:]
    count, images = len(sizes), len(given)
    if count < 2 or images == count:
        return float("nan")
    means = np.bincount(number, weights=given) / sizes
    between = (sizes * (means - given.mean()) ** 2).sum() / (count - 1)
    within = ((given - means[number]) ** 2).sum() / (images - count)
    size = (images - (sizes**2).sum() / images) / (count - 1)
    total = between + (size - 1) * within
    return float(np.clip((between - within) / total, 0.0, 1.0)) if total > 0 else 0.0
