"""What a cell of a table measured: the scores of its finished runs, seed by seed, image by image, folds together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from medseg.errors import UserError
from medseg.metrics.scores import dice, iou
from medseg.reporting.measures import Measure
from medseg.reporting.records import Run

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Sample:
    """Scores of S seeds on the same N images.

    Args:
        seeds: of the rows below.
        ids: of the images, sorted.
        scores: score -> S x N: mean over the foreground classes, NaN where an image has none.
        counts: S x N x C x 4: tp, fp, fn, tn of the C foreground classes.
        background: S x N x 4: the same of the background; NaN where a run has not kept them.
    """

    seeds: tuple[int, ...]
    ids: tuple[str, ...]
    scores: Mapping[str, Array]
    counts: NDArray[np.int64]
    background: Array
    groups: tuple[str, ...] | None = None
    effective: float | None = None

    def values(self, measure: Measure) -> Array:
        """Return the measure of each seed, S; NaN where it was not measured."""
        if measure.name not in self._values:
            self._values[measure.name] = self.means([measure])(np.full((1, len(self.ids)), 1 / len(self.ids)))[0, :, 0]
        return self._values[measure.name]

    @cached_property
    def _values(self) -> dict[str, Array]:
        """The measures that have been asked for: each is asked for by the tables, the tests and the page."""
        return {}

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
        counts = np.moveaxis(self.all_counts(), 1, -1).reshape(-1, images)
        everything = np.concatenate([np.where(present, values, 0.0), counts])

        def of(weights: Array) -> Array:
            means = everything @ weights.T
            share = shown @ weights.T
            means[gaps] = np.divide(means[gaps], share, out=np.full_like(share, np.nan), where=share > 0)
            per_image = iter(means[: len(values)].reshape(len(single), seeds, len(weights)))
            pooled = np.moveaxis(means[len(values) :].reshape(seeds, -1, 4, len(weights)), -1, 1)
            return np.stack([next(per_image) if m in single else from_pooled(m, pooled) for m in measures])

        return of

    def pseudo_values(self, measure: Measure) -> Array:
        """Return the jackknife's pseudo-values of a measure, S x N; NaN where it was not measured.

        Their mean and their spread over images are those of the measure, whatever it is made of; those of a mean over
        images are the scores themselves. One image alone tells no spread: NaN. (Tukey, 1958; Efron and Tibshirani, An
        Introduction to the Bootstrap, 11.5.)
        """
        whole, images = self.values(measure)[:, None], len(self.ids)
        if images < 2:
            return np.full((len(self.seeds), images), np.nan)
        if measure.convention != "per_image":
            counts = self.all_counts()
            return images * whole - (images - 1) * from_pooled(measure, counts.sum(axis=1, keepdims=True) - counts)
        values = self.scores.get(measure.score, np.full((len(self.seeds), images), np.nan))
        present = ~np.isnan(values)
        share = (images - 1) / np.maximum(present.sum(axis=1, keepdims=True) - 1, 1)
        return whole + np.where(present, share * (values - whole), 0.0)

    def all_counts(self) -> Array:
        """Return the counts of all classes, the background first, S x N x (1 + C) x 4."""
        return np.concatenate([self.background[:, :, None], self.counts], axis=2)

    def per_image(self, score: str) -> Array:
        """Return a score of each image, averaged over the seeds, N; NaN where a seed has none."""
        return self.scores[score].mean(axis=0) if score in self.scores else np.full(len(self.ids), np.nan)

    def restricted(self, ids: Sequence[str]) -> Sample:
        """Return the same for some of the images."""
        position = {image: n for n, image in enumerate(self.ids)}
        chosen = [position[image] for image in ids]
        scores = {name: values[:, chosen] for name, values in self.scores.items()}
        return Sample(self.seeds, tuple(ids), scores, self.counts[:, chosen], self.background[:, chosen])


def from_pooled(measure: Measure, pooled: Array) -> Array:
    """Make a measure from pooled counts of all classes, the background first. S x B x (1 + C) x 4 -> S x B."""
    if measure.convention == "pooled":
        return {"dice": dice, "iou": iou}[measure.score](pooled[..., 1:, :]).mean(axis=-1)
    if measure.convention == "accuracy":
        return pooled[..., 0].sum(axis=-1) / pooled[..., 0, :].sum(axis=-1)
    return np.where(np.isnan(pooled).any(axis=(-2, -1)), np.nan, iou(pooled).mean(axis=-1))


def gather(runs: Sequence[Run]) -> Sample | None:
    """Put the finished runs of a cell together; None where none is finished.

    The folds of a seed are one run on all their images. A seed that lacks a fold is left out while another has them
    all; where none has, those with the most are used. Seeds that were tested on different images (an earlier fold is
    missing) are compared on those they share.

    Raises `UserError` where they share none.
    """
    by_seed: dict[int, list[Run]] = {}
    for run in runs:
        if run.finished:
            by_seed.setdefault(run.seed, []).append(run)
    if not by_seed:
        return None
    most = max(map(len, by_seed.values()))
    used = {seed: found for seed, found in sorted(by_seed.items()) if len(found) == most}
    alone = [join(sorted(found, key=lambda run: run.fold or 0), seed) for seed, found in used.items()]
    shared = set.intersection(*(set(one.ids) for one in alone))
    if not shared:
        raise UserError(f"{runs[0].folder.parent}: the seeds of {runs[0].setting} were tested on different images")
    ids = sorted(shared)
    aligned = [one.restricted(ids) for one in alone]
    names = [name for name in aligned[0].scores if all(name in one.scores for one in aligned)]
    return Sample(
        tuple(used),
        tuple(ids),
        {name: np.concatenate([one.scores[name] for one in aligned]) for name in names},
        np.concatenate([one.counts for one in aligned]),
        np.concatenate([one.background for one in aligned]),
    )


def join(folds: Sequence[Run], seed: int) -> Sample:
    """Put the folds of one seed together, as one run."""
    parts = [run.per_image for run in folds]
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
