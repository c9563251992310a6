"""The statistics of a report: pure functions over numbers, scipy's where scipy has them.

What they can and cannot say:

- a bootstrap interval over images says where the mean over other images of the same kind would lie. With several seeds
  these are resampled as well, so the interval also holds what another training would change; but two or three seeds
  show little of that, and the interval comes out too short. It is that of a mean alone: no verdict is made of it;
- the paired test compares trained networks on the same images, averaged over seeds. It says nothing about another
  training, so a verdict (`pairs.Pair`) also asks that the interval of the difference (`differences`), which is as wide
  as few seeds demand, leaves 0 out. Simulated: two equal networks, 120 images, 4 points of noise per image, and
  trainings that differ by 0.5 points. The test alone finds a difference in 22 to 24 % of 1000 cases, however many
  seeds; the verdict in 21, 4, 2 and 3 % with 1, 2, 3 and 5 seeds. Where trainings differ by 2 points: the test in 71 to
  74 %, the verdict in 70, 4, 4 and 5 %. One seed cannot tell a network from a lucky training;
- a test between networks over datasets needs many datasets: with fewer than `FEWEST_DATASETS` there is none.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

RESAMPLES = 4999
"""So many that the ends of an interval vary by 0.04 standard errors from draw to draw."""
LEVEL = 0.95
ALPHA = 0.05
"""Level of the tests, after Holm's correction."""

FEWEST_DATASETS = 5
"""Of a Friedman test. Its chi-square is an approximation that needs more than 10 to be good (Demsar, JMLR 2006)."""

BATCH = 400_000
"""Resampled images at a time: 3 MB of weights. 108 runs of 300 images take 0.9 s; with 50 000 1.2 s, with more 0.9."""

Array = NDArray[np.float64]
Means = Callable[[Array], Array]
"""Weights of the images, B x N, each row with sum 1 -> M quantities of each of S seeds, M x S x B."""


def bootstrap(
    means: Sequence[Means], seeds: Sequence[int], images: int, *, resamples: int = RESAMPLES, random: int = 0
) -> tuple[Array, Array]:
    """Return the ends of the 95 % percentile intervals of the means over seeds of what is measured on images (scipy).

    The images are drawn once for all networks; the seeds of each network are drawn on their own, where it has more
    than one.

    Args:
        means: of K networks.
        seeds: how many each of them has.
        images: N, at least 2.
        resamples: B.
        random: seed of the draws.

    Returns:
        Two arrays K x M; NaN for a quantity that is not there.
    """
    from scipy import stats

    several = [k for k, count in enumerate(seeds) if count > 1]

    def statistic(*drawn: NDArray[np.int64], axis: int) -> Array:
        chosen = dict(zip(several, drawn[:-1], strict=True))
        weights = image_weights(drawn[-1])
        rows = np.arange(len(weights))[:, None]
        values = []
        for k, mean in enumerate(means):
            measured = mean(weights)  # M x S x b
            values.append(measured[:, chosen[k], rows].mean(axis=-1) if k in chosen else measured[:, 0])
        return np.stack(values)

    drawn_from = [np.arange(seeds[k]) for k in several] + [np.arange(images)]
    with warnings.catch_warnings(category=RuntimeWarning, action="ignore"):  # of NaN: a score that was not measured
        found = stats.bootstrap(
            drawn_from,
            statistic,
            n_resamples=resamples,
            batch=max(1, BATCH // images),
            vectorized=True,
            axis=-1,
            confidence_level=LEVEL,
            method="percentile",
            rng=np.random.default_rng(random),
        )
    ends = found.confidence_interval
    return np.asarray(ends.low), np.asarray(ends.high)


def image_weights(drawn: NDArray[np.int64]) -> Array:
    """Return how often each of N images is among the N that were drawn, over N. B x N -> B x N."""
    count, images = drawn.shape
    numbered = drawn + images * np.arange(count)[:, None]
    return np.bincount(numbered.ravel(), minlength=count * images).reshape(count, images) / images


def wilcoxon_each(differences: Sequence[ArrayLike]) -> list[tuple[float, float]]:
    """Test paired differences, each by itself, with Wilcoxon's signed ranks (scipy: exact for up to 50 without ties).

    Args:
        differences: of each pair, one value per image; NaN is left out, 0 as Wilcoxon does.

    Returns:
        For each p, two-sided, 1 where nothing differs; and the rank-biserial correlation, from -1 (all are below 0)
        to 1.

    Those of as many values go to scipy together: 1155 tests of 67 to 520 images take 0.15 s instead of 0.7, on a core
    of an Intel Xeon.
    """
    from scipy import stats

    found = [(1.0, 0.0)] * len(differences)
    by_length: dict[int, list[tuple[int, Array]]] = {}
    for place, difference in enumerate(differences):
        values = np.asarray(difference, dtype=np.float64)
        values = values[~np.isnan(values) & (values != 0)]
        if len(values):
            by_length.setdefault(len(values), []).append((place, values))
    for alike in by_length.values():
        stacked = np.stack([values for _, values in alike])
        ranks = stats.rankdata(np.abs(stacked), axis=1)
        # scipy chooses one method for all that it is given: one with ties would take the exact test from the others.
        tied = (np.diff(np.sort(ranks, axis=1), axis=1) == 0).any(axis=1)
        p = np.empty(len(alike))
        for some in (tied, ~tied):
            if some.any():
                p[some] = stats.wilcoxon(stacked[some], axis=1).pvalue
        direction = (ranks * np.sign(stacked)).sum(axis=1) / ranks.sum(axis=1)
        for (place, _), one, side in zip(alike, p.tolist(), direction.tolist(), strict=True):
            found[place] = (one, side)
    return found


def holm(p: ArrayLike) -> Array:
    """Correct p-values for that there are several (Holm, 1979): none is smaller than before, their order stays."""
    given = np.asarray(p, dtype=np.float64)
    order = np.argsort(given, kind="stable")
    stepped = np.maximum.accumulate(given[order] * np.arange(len(given), 0, -1))
    corrected = np.empty_like(given)
    corrected[order] = np.minimum(stepped, 1.0)
    return corrected


def average_ranks(scores: ArrayLike, *, higher_is_better: bool = True) -> Array:
    """Rank K networks on each of D datasets, 1 is best, ties share; return the mean over datasets. D x K -> K."""
    from scipy import stats

    values = np.asarray(scores, dtype=np.float64)
    return stats.rankdata(-values if higher_is_better else values, axis=1).mean(axis=0)


def friedman(scores: ArrayLike) -> float:
    """Return the p-value of Friedman's test that K networks rank alike on D datasets (scipy). D x K, both from 3."""
    from scipy import stats

    values = np.asarray(scores, dtype=np.float64)
    if (values == values[:, :1]).all():
        return 1.0
    return float(stats.friedmanchisquare(*values.T).pvalue)


def critical_difference(networks: int, datasets: int, alpha: float = ALPHA) -> float:
    """Return by how much average ranks must differ to be told apart (Nemenyi; Demsar, JMLR 2006)."""
    from scipy import stats

    q = stats.studentized_range.ppf(1 - alpha, networks, np.inf) / np.sqrt(2)
    return float(q * np.sqrt(networks * (networks + 1) / (6 * datasets)))
