"""What a cell of a table measured: the scores of its finished runs, seed by seed, image by image, folds together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from medseg.metrics.measures import Measure
from medseg.reporting.statistics import Array, Side
from medseg.runs.run import Run


@dataclass(frozen=True, eq=False)
class Sample:
    """Scores of S seeds on the same N images.

    Args:
        seeds: of the rows below.
        ids: of the images, sorted.
        scores: score -> S x N: mean over the foreground classes, NaN where an image has none.
        counts: S x N x C x 4: tp, fp, fn, tn of the C foreground classes.
        background: S x N x 4: the same of the background; NaN where a run does not have them.
        groups: of the images, such as patients; None where they are independent.
    """

    seeds: tuple[int, ...]
    ids: tuple[str, ...]
    scores: Mapping[str, Array]
    counts: NDArray[np.int64]
    background: Array
    groups: tuple[str, ...] | None = None

    @cached_property
    def units(self) -> NDArray[np.int64]:
        """The unit of each image, 0 to U - 1: what was drawn independently. A group, else the image itself."""
        if self.groups is None:
            return np.arange(len(self.ids))
        return np.unique(self.groups, return_inverse=True)[1].astype(np.int64)

    @property
    def unit_count(self) -> int:
        """The number of units, U."""
        return int(self.units.max()) + 1

    def per_unit(self, values: Array) -> Array:
        """Sum values over the images of each unit. ... x N -> ... x U."""
        if self.groups is None:
            return values
        flat: Array = values.reshape(-1, values.shape[-1])
        summed: Array = np.stack([np.bincount(self.units, row, self.unit_count).astype(np.float64) for row in flat])
        return summed.reshape(*values.shape[:-1], self.unit_count)

    def values(self, measure: Measure) -> Array:
        """Return the measure of each seed, S; NaN where it was not measured."""
        if measure.name not in self._values:  # each is asked for by the tables, the tests and the page
            self._values[measure.name] = self.means([measure])(np.full((1, len(self.ids)), 1 / len(self.ids)))[0, :, 0]
        return self._values[measure.name]

    @cached_property
    def _values(self) -> dict[str, Array]:
        """The measures that have been asked for."""
        return {}

    def side(self, measure: Measure) -> Side:
        """Return what the runs bring into a comparison under a measure; `seed_means` are NaN where it has none."""
        if measure.name not in self._sides:  # the scores and the tests both ask for it
            ranked = self.ranked(measure.score) if measure.convention == "per_image" else None
            made = Side.of(self.pseudo_values(measure))
            self._sides[measure.name] = replace(made, seed_means=self.values(measure), ranked=ranked)
        return self._sides[measure.name]

    @cached_property
    def _sides(self) -> dict[str, Side]:
        """Those that have been asked for."""
        return {}

    def without(self, measure: Measure) -> frozenset[str]:
        """Return the images that have a measure in no seed, by id; a pooled one is of all images."""
        if measure.name not in self._without:  # each pair of rows asks for it
            values = self.scores.get(measure.score) if measure.convention == "per_image" else None
            lacking = [] if values is None else np.flatnonzero(np.isnan(values).all(axis=0)).tolist()
            self._without[measure.name] = frozenset(self.ids[n] for n in lacking)
        return self._without[measure.name]

    @cached_property
    def _without(self) -> dict[str, frozenset[str]]:
        """Those that have been asked for."""
        return {}

    def with_score(self, measure: Measure) -> Sample:
        """Return the same for the images that have a measure in any seed; for all of them where none has it.

        An image without it adds nothing to the mean, nor to what is known of its variance.
        """
        without = self.without(measure)
        if not without or len(without) == len(self.ids):
            return self
        if measure.name not in self._with_score:
            kept = [image for image in self.ids if image not in without]
            self._with_score[measure.name] = self.restricted(kept)
        return self._with_score[measure.name]

    @cached_property
    def _with_score(self) -> dict[str, Sample]:
        """Those that have been asked for."""
        return {}

    def of_measure(self, measure: Measure) -> Sample:
        """Return the same without what a measure is not made of, so that parts of it are quickly taken."""
        if measure.convention != "per_image":
            return self
        scores = {name: values for name, values in self.scores.items() if name == measure.score}
        return replace(self, scores=scores, counts=self.counts[:, :, :0])

    def means(self, measures: Sequence[Measure]) -> Callable[[Array], Array]:
        """Return the function that takes weights of the images, B x N, to M measures of S seeds, M x S x B."""
        seeds, images = len(self.seeds), len(self.ids)
        missing = np.full((seeds, images), np.nan)
        single = [m for m in measures if m.convention == "per_image"]
        values = np.concatenate([self.scores.get(m.score, missing) for m in single] or [missing[:0]])
        present = ~np.isnan(values)
        gaps = np.flatnonzero(~present.all(axis=1))
        shown = present[gaps].astype(np.float64)
        # One product for the scores and the counts of all seeds: the weights are many and are read once.
        counts = np.moveaxis(self.all_counts, 1, -1).reshape(-1, images)
        everything = np.concatenate([np.where(present, values, 0.0), counts])

        def of(weights: Array) -> Array:
            means = everything @ weights.T
            share = shown @ weights.T
            means[gaps] = np.divide(means[gaps], share, out=np.full_like(share, np.nan), where=share > 0)
            per_image = iter(means[: len(values)].reshape(len(single), seeds, len(weights)))
            pooled = np.moveaxis(means[len(values) :].reshape(seeds, -1, 4, len(weights)), -1, 1)
            return np.stack([next(per_image) if m in single else function_of(m)(pooled) for m in measures])

        return of

    def pseudo_values(self, measure: Measure) -> Array:
        """Return the jackknife's pseudo-values of a measure, S x U; NaN where it was not measured.

        Their mean and their spread over units are those of the measure, whatever it is made of; without groups, those
        of a mean over images are the scores themselves. A single unit has no spread: NaN. (Tukey, 1958; Efron and
        Tibshirani, An Introduction to the Bootstrap, 11.5.)
        """
        whole, units = self.values(measure)[:, None], self.unit_count
        if units < 2:
            return np.full((len(self.seeds), units), np.nan)
        if measure.convention != "per_image":
            counts = np.moveaxis(self.per_unit(np.moveaxis(self.all_counts, 1, -1)), -1, 1)
            without = function_of(measure)(counts.sum(axis=1, keepdims=True) - counts)
            # Without the only unit that has a class there may be none left to score.
            without = np.where(np.isnan(without), whole, without)
        else:
            values = self.scores.get(measure.score, np.full((len(self.seeds), len(self.ids)), np.nan))
            total, number = self._sums(values)
            rest = number.sum(axis=1, keepdims=True) - number
            left = total.sum(axis=1, keepdims=True) - total
            without = np.divide(left, rest, out=np.broadcast_to(whole, total.shape).copy(), where=rest > 0)
        return units * whole - (units - 1) * without

    def _sums(self, values: Array) -> tuple[Array, Array]:
        """Return the sum of the values of each unit, and of how many, ... x U; NaN are left out."""
        present = ~np.isnan(values)
        return self.per_unit(np.where(present, values, 0.0)), self.per_unit(present.astype(np.float64))

    def ranked(self, score: str) -> Array:
        """Return a score of each unit, averaged over its images and the seeds, U; NaN where none of them has it."""
        total, number = self._sums(self.per_image(score))
        return np.divide(total, number, out=np.full_like(total, np.nan), where=number > 0)

    @cached_property
    def all_counts(self) -> Array:
        """The counts of all classes, the background first, S x N x (1 + C) x 4."""
        return np.concatenate([self.background[:, :, None], self.counts], axis=2)

    def per_image(self, score: str) -> Array:
        """Return a score of each image, averaged over the seeds that have it, N; NaN where none has."""
        if score not in self.scores:
            return np.full(len(self.ids), np.nan)
        values = self.scores[score]
        means: Array = values.mean(axis=0)
        number = (~np.isnan(values)).sum(axis=0)
        gaps = (number > 0) & (number < len(values))
        means[gaps] = np.nansum(values[:, gaps], axis=0) / number[gaps]
        return means

    def restricted(self, ids: Sequence[str]) -> Sample:
        """Return the same for some of the images."""
        position = {image: n for n, image in enumerate(self.ids)}
        chosen = [position[image] for image in ids]
        scores = {name: values[:, chosen] for name, values in self.scores.items()}
        groups = None if self.groups is None else tuple(self.groups[n] for n in chosen)
        return Sample(self.seeds, tuple(ids), scores, self.counts[:, chosen], self.background[:, chosen], groups)


def function_of(measure: Measure) -> Callable[[Array], Array]:
    """Return the function that makes a measure from the pooled counts of all classes."""
    assert measure.function is not None
    return measure.function


def groups_of(runs: Iterable[Run]) -> dict[str, str]:
    """Return the groups of the test images of some runs; empty where the dataset has none."""
    groups: dict[str, str] = {}
    for run in runs:
        if run.finished:
            groups |= run.groups
    return groups


def gather(runs: Sequence[Run], groups: Mapping[str, str] | None = None, *, only: str | None = None) -> Sample | None:
    """Put the finished runs of a cell together; None where none is finished.

    The folds of a seed are one run on all their images. A seed that lacks a fold is left out while another has them
    all; where none has, those with the most are used. Seeds that were tested on different images (an earlier fold is
    missing) are compared on those they share with the first seed; a seed that shares none is left out.

    Args:
        runs: of the cell.
        groups: image -> group; an image without one is a separate group. None or empty: images are independent.
        only: the foreground class to score, instead of the mean over all.
    """
    by_seed: dict[int, list[Run]] = {}
    for run in runs:
        if run.finished:
            by_seed.setdefault(run.seed, []).append(run)
    if not by_seed:
        return None
    most = max(map(len, by_seed.values()))
    used = {seed: several for seed, several in sorted(by_seed.items()) if len(several) == most}
    joined = [join(sorted(several, key=lambda run: run.fold or 0), seed, only) for seed, several in used.items()]
    shared, overlapping = set(joined[0].ids), []
    for of_seed in joined:
        if shared & set(of_seed.ids):
            shared &= set(of_seed.ids)
            overlapping.append(of_seed)
    ids = sorted(shared)
    aligned = [of_seed if list(of_seed.ids) == ids else of_seed.restricted(ids) for of_seed in overlapping]
    names = [name for name in aligned[0].scores if all(name in one.scores for one in aligned)]
    return Sample(
        tuple(seed for one in aligned for seed in one.seeds),
        tuple(ids),
        {name: np.concatenate([one.scores[name] for one in aligned]) for name in names},
        np.concatenate([one.counts for one in aligned]),
        np.concatenate([one.background for one in aligned]),
        tuple(groups.get(image) or f"image {image}" for image in ids) if groups else None,
    )


def join(folds: Sequence[Run], seed: int, only: str | None = None) -> Sample:
    """Put the folds of one seed together, as one run; where all were tested on the same images, their mean."""
    if share_images(folds):
        return average([join([fold], seed, only) for fold in folds])
    parts = [run.per_image if only is None else run.per_image.of_class(only) for run in folds]
    names = [name for name in parts[0].scores if all(name in part.scores for part in parts)]
    ids = [image for part in parts for image in part.ids]
    order = np.argsort(ids, kind="stable")
    return Sample(
        (seed,),
        tuple(ids[n] for n in order),
        {name: np.concatenate([part.scores[name] for part in parts])[None, order] for name in names},
        np.concatenate([part.counts for part in parts])[None, order],
        np.concatenate([part.background for part in parts])[None, order],
    )


def share_images(folds: Sequence[Run]) -> bool:
    """Whether the folds of a seed were tested on the same images, as on an external test."""
    return len(folds) > 1 and bool({*folds[0].per_image.ids} & {*folds[1].per_image.ids})


def average(samples: Sequence[Sample]) -> Sample:
    """Return the mean of the scores of some samples of one seed, on the images that all of them have."""
    ids = sorted(set.intersection(*({*sample.ids} for sample in samples)))
    shared = [sample.restricted(ids) for sample in samples]
    names = [name for name in shared[0].scores if all(name in one.scores for one in shared)]
    return replace(
        shared[0],
        scores={name: np.mean([one.scores[name] for one in shared], axis=0) for name in names},
        counts=np.sum([one.counts for one in shared], axis=0),  # shares of pooled counts are those of the mean
        background=np.sum([one.background for one in shared], axis=0),
    )


def curves_of(runs: Sequence[Run], key: str) -> Array:
    """Return a column of `metrics.csv` of each finished run, runs x epochs, up to the last epoch that all have."""
    every = [run.epochs for run in runs if run.finished]
    shared = min(map(len, every), default=0)
    return np.array([[row.get(key, np.nan) for row in rows[:shared]] for rows in every]).reshape(len(every), shared)
