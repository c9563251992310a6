"""Networks by their rank: the average over datasets with its tests, and how sure the order of a table is.

A test between networks over datasets needs many datasets: with fewer than `FEWEST_DATASETS` there is none.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from medseg.reporting.signed_ranks import average_ties
from medseg.reporting.statistics import ALPHA, Array

FEWEST_DATASETS = 5
"""Of a Friedman test. Its chi-square is an approximation that needs more than 10 to be good (Demsar, JMLR 2006)."""

RESAMPLES = 2000
"""Of the rank stability: a share of a half is then known to 1.1 points (standard error)."""

MOST_VALUES = 2_000_000
"""That are compared in one piece."""

Row = TypeVar("Row", bound=Hashable)
Column = TypeVar("Column", bound=Hashable)


@dataclass(frozen=True)
class Ranking(Generic[Row]):
    """The rows by their average rank over datasets.

    Args:
        rows: best first.
        ranks: average rank of each, 1 is the best there can be.
        datasets: how many there were.
        p: of Friedman's test; None where there are too few datasets or rows for one.
        critical: ranks that differ by less are not distinguished (Nemenyi); None likewise.
        left_out: rows that lack a dataset.
    """

    rows: tuple[Row, ...]
    ranks: tuple[float, ...]
    datasets: int
    p: float | None
    critical: float | None
    left_out: tuple[Row, ...]

    def groups(self) -> list[tuple[int, int]]:
        """Return the first and last position of each longest group of rows that are not distinguished."""
        if self.critical is None:
            return []
        groups: list[tuple[int, int]] = []
        for first, rank in enumerate(self.ranks):
            last = max(k for k, other in enumerate(self.ranks) if other - rank <= self.critical)
            if last > first and (not groups or last > groups[-1][1]):
                groups.append((first, last))
        return groups


def rank(
    rows: Sequence[Row],
    columns: Sequence[Column],
    values: Mapping[tuple[Row, Column], float],
    *,
    higher_is_better: bool,
) -> Ranking[Row] | None:
    """Rank the rows that have a value on every dataset; None with fewer than two of these, or with one dataset."""
    complete = [row for row in rows if all((row, column) in values for column in columns)]
    if len(complete) < 2 or len(columns) < 2:
        return None
    scores = np.array([[values[row, column] for row in complete] for column in columns])
    ranks = average_ranks(scores, higher_is_better=higher_is_better)
    order = np.argsort(ranks, kind="stable")
    tested = len(columns) >= FEWEST_DATASETS and len(complete) >= 3
    return Ranking(
        rows=tuple(complete[k] for k in order),
        ranks=tuple(float(ranks[k]) for k in order),
        datasets=len(columns),
        p=friedman(scores) if tested else None,
        critical=critical_difference(len(complete), len(columns)) if tested else None,
        left_out=tuple(row for row in rows if row not in complete),
    )


def average_ranks(scores: ArrayLike, *, higher_is_better: bool = True) -> Array:
    """Rank K networks on each of D datasets, 1 is best, ties share; return the mean over datasets. D x K -> K."""
    values = np.asarray(scores, dtype=np.float64)
    return average_ties(-values if higher_is_better else values)[0].mean(axis=0)


def friedman(scores: ArrayLike) -> float:
    """Return the p-value of Friedman's test that K networks rank alike on D datasets (scipy). D x K, both from 3."""
    from scipy import stats

    values = np.asarray(scores, dtype=np.float64)
    if (values == values[:, :1]).all():
        return 1.0
    return float(stats.friedmanchisquare(*values.T).pvalue)


def critical_difference(networks: int, datasets: int, alpha: float = ALPHA) -> float:
    """Return by how much average ranks must differ to be distinguished (Nemenyi; Demsar, JMLR 2006)."""
    from scipy import stats

    q = stats.studentized_range.ppf(1 - alpha, networks, np.inf) / np.sqrt(2)
    return float(q * np.sqrt(networks * (networks + 1) / (6 * datasets)))


@dataclass(frozen=True)
class Shares(Generic[Row]):
    """How often each row is at each rank.

    Args:
        rows: in the order they were given.
        shares: rows x ranks, 1 the first; each row and each rank sums to 1. Rows that tie share the ranks.
    """

    rows: tuple[Row, ...]
    shares: Array


@dataclass(frozen=True)
class Stability(Generic[Row, Column]):
    """How sure the order of a table is: what it would be with other images, other trainings, other datasets.

    Args:
        columns: each dataset by itself.
        overall: by the average rank over datasets that are drawn anew as well; None with one dataset, or where fewer
            than two rows have them all.
    """

    columns: Mapping[Column, Shares[Row]]
    overall: Shares[Row] | None


def rank_stability(
    rows: Sequence[Row],
    columns: Sequence[Column],
    values: Mapping[tuple[Row, Column], Array],
    *,
    higher_is_better: bool = True,
    resamples: int = RESAMPLES,
    random: int = 0,
) -> Stability[Row, Column]:
    """Count in bootstrap samples how often each row is at each rank.

    The units of a dataset (groups of images, else images) are drawn once for all rows, the seeds separately for each
    row. As few as two seeds drawn with replacement deviate less than trainings do; their deviations are widened by
    sqrt(S / (S - 1)), so that the variance is right (Rao and Wu, JASA 1988). A single seed shows no deviation: its row
    looks more certain than it is.

    Args:
        rows, columns: in the order of the result; a row that lacks a column is left out there, and overall.
        values: of S seeds on U units, S x U, as of `statistics.Side`; U is the same within a column.
        higher_is_better: direction of the score.
        resamples: B.
        random: seed of the draws: the same arrays give the same shares.
    """
    generator = np.random.default_rng(random)
    means, there = {}, {}
    for column in columns:
        there[column] = tuple(row for row in rows if (row, column) in values)
        if len(there[column]) > 1:
            means[column] = resampled_means([values[row, column] for row in there[column]], resamples, generator)
    shares = {
        column: Shares(there[column], count_ranks(drawn if higher_is_better else -drawn))
        for column, drawn in means.items()
    }
    complete = tuple(row for row in rows if all(row in there[column] for column in columns))
    if len(columns) < 2 or len(complete) < 2:
        return Stability(shares, None)
    chosen = draw_weights(generator.integers(0, len(columns), (resamples, len(columns))))
    ranks = np.zeros((resamples, len(complete)))
    for number, column in enumerate(columns):
        here = [there[column].index(row) for row in complete]
        drawn = means[column][:, here] * (1 if higher_is_better else -1)
        better, equal = compare_all(drawn)
        ranks += chosen[:, [number]] * (better + (equal + 1) / 2)
    return Stability(shares, Shares(complete, count_ranks(-ranks)))


def resampled_means(values: Sequence[Array], resamples: int, generator: np.random.Generator) -> Array:
    """Return the means of K rows in bootstrap samples of units and seeds. K times S_k x U -> B x K."""
    units = values[0].shape[1]
    weights = draw_weights(generator.integers(0, units, (resamples, units)))
    by_seed = weights @ np.concatenate(values).T  # one product: the weights are many and are read once
    means = []
    for drawn in np.split(by_seed, np.cumsum([len(one) for one in values])[:-1], axis=1):
        seeds = drawn.shape[1]
        mean = drawn.mean(axis=1)
        if seeds > 1:
            again = draw_weights(generator.integers(0, seeds, (resamples, seeds)))
            mean += (((drawn - mean[:, None]) * again).sum(axis=1)) * np.sqrt(seeds / (seeds - 1))
        means.append(mean)
    return np.stack(means, axis=1)


def draw_weights(drawn: np.ndarray) -> Array:
    """Return how often each of N is among the N that were drawn, over N. B x N -> B x N."""
    count, size = drawn.shape
    numbered = drawn + size * np.arange(count)[:, None]
    return np.bincount(numbered.ravel(), minlength=count * size).reshape(count, size) / size


def compare_all(values: Array) -> tuple[Array, Array]:
    """Return for each of K values how many of its B x K row are higher, and how many equal it, itself included."""
    rounded = np.round(values, 12)  # two rows of the same runs tie, whatever the order of a sum
    higher = (rounded[:, None, :] > rounded[:, :, None]).sum(axis=2)
    return higher, (rounded[:, None, :] == rounded[:, :, None]).sum(axis=2)


def count_ranks(values: Array) -> Array:
    """Return the share of B samples in which each of K values is at each rank, the highest first. B x K -> K x K."""
    samples, networks = values.shape
    position = np.arange(networks)
    counts = np.zeros((networks, networks))
    # Some samples at a time: B x K x K numbers of hundreds of networks are gigabytes.
    for part in np.array_split(values, -(-samples * networks**2 // MOST_VALUES)):
        better, equal = compare_all(part)
        at = (position >= better[..., None]) & (position < (better + equal)[..., None])
        counts += (at / equal[..., None]).sum(axis=0)
    return counts / samples
