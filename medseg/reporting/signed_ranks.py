"""Wilcoxon's test of signed ranks, for many paired differences at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from medseg.reporting.statistics import Array, by_length


def average_ties(values: Array) -> tuple[Array, Array]:
    """Rank each row of N values, 1 the lowest, those that tie sharing their ranks. R x N -> R x N, and N: of so many.

    As `scipy.stats.rankdata`, without the half second that importing `scipy.stats` takes.
    """
    order = np.argsort(values, axis=1, kind="stable")
    ordered = np.take_along_axis(values, order, axis=1)
    begins = np.ones(values.shape, dtype=bool)
    begins[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    group = begins.ravel().cumsum() - 1  # counted through all rows
    size = np.bincount(group)
    first = np.flatnonzero(begins) % values.shape[1]
    ranks, ties = np.empty(values.shape), np.empty(values.shape)
    np.put_along_axis(ranks, order, (first + (size + 1) / 2)[group].reshape(values.shape), axis=1)
    np.put_along_axis(ties, order, size[group].reshape(values.shape).astype(np.float64), axis=1)
    return ranks, ties


FEW = 50
"""Values up to which Wilcoxon's test is exact, as scipy has it; beyond, ranks are normal."""


def wilcoxon_each(differences: Sequence[ArrayLike]) -> list[tuple[float, float]]:
    """Test paired differences, each by itself, with Wilcoxon's signed ranks (scipy: exact for up to 50 without ties).

    Args:
        differences: of each pair, one value per unit; NaN is left out, 0 as Wilcoxon does.

    Returns:
        For each p, two-sided, 1 where nothing differs; and the rank-biserial correlation, from -1 (all are below 0)
        to 1.
    """
    from scipy.special import ndtr

    tested = [(1.0, 0.0)] * len(differences)
    every = [np.asarray(difference, dtype=np.float64) for difference in differences]
    for numbers, stacked in by_length([values[~np.isnan(values) & (values != 0)] for values in every]):
        units = stacked.shape[1]
        if not units:
            continue
        ranks, ties = average_ties(np.abs(stacked))
        signed = (ranks * np.sign(stacked)).sum(axis=1)
        if units > FEW:
            # A tie of t values takes t^3 - t from the variance: t^2 - 1 for each of them.
            variance = (units * (units + 1) * (2 * units + 1) - (ties**2 - 1).sum(axis=1) / 2) / 24
            p = 2 * ndtr(-np.abs(signed / 2) / np.sqrt(variance))
        else:
            from scipy import stats

            # scipy chooses one method for all that it is given: one with ties would take the exact test from others.
            tied = (ties > 1).any(axis=1)
            p = np.empty(len(numbers))
            for some in (tied, ~tied):
                if some.any():
                    p[some] = stats.wilcoxon(stacked[some], axis=1).pvalue
        for number, one, direction in zip(numbers, p.tolist(), (signed / ranks.sum(axis=1)).tolist(), strict=True):
            tested[number] = (one, direction)
    return tested
