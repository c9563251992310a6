"""From per-image counts and scores to rows and to the summary of a split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from medseg.metrics.measures import MEASURES, has_score, mean_of_present, mean_over_classes, occurs
from medseg.metrics.scores import pool, recall


def scores_of(counts: ArrayLike, measured: Mapping[str, ArrayLike]) -> dict[str, NDArray[np.float64]]:
    """Return every score of N images, N x foreground classes; NaN where a class has none (`has_score`).

    Args:
        counts: N x num_classes x 4.
        measured: the scores that not every image has from its counts, name -> N x foreground classes.
    """
    foreground = np.asarray(counts)[:, 1:]
    scores = {name: score(foreground) for name, score in MEASURES.of_counts.items()}
    scores |= {name: np.asarray(values, dtype=np.float64) for name, values in measured.items()}
    return {name: np.where(has_score(foreground), values, np.nan) for name, values in scores.items()}


def per_image_rows(
    ids: Sequence[str], counts: ArrayLike, measured: Mapping[str, ArrayLike], class_names: Sequence[str]
) -> list[dict[str, Any]]:
    """Return one row per image and foreground class: id, class, the counts, the scores.

    `background_tp`, the same in all rows of an image, is how many pixels are background in truth and prediction: with
    it the counts of the background can be made from those of the other classes.

    Args:
        ids: of the N images.
        counts: N x num_classes x 4.
        measured: the scores that not every image has from its counts, name -> N x (num_classes - 1).
        class_names: of the classes, background first.

    A score that an image does not have (a distance of two empty masks, a class that the split does not have) is None.
    """
    counts = np.asarray(counts)
    scores = scores_of(counts, measured)
    rows = []
    for n, image in enumerate(ids):
        for c, class_name in enumerate(class_names[1:]):
            row: dict[str, Any] = {"id": image, "class": class_name}
            row |= dict(zip(("tp", "fp", "fn", "tn"), counts[n, c + 1].tolist(), strict=True))
            row["background_tp"] = int(counts[n, 0, 0])
            row |= {name: _number(values[n, c]) for name, values in scores.items()}
            rows.append(row)
    return rows


def summarise(counts: ArrayLike, measured: Mapping[str, ArrayLike], class_names: Sequence[str]) -> dict[str, Any]:
    """Summarise a split; arguments as for `per_image_rows`. All values can be written as JSON.

    Returns:
        images: N.
        headline: score -> {mean, sd} over images of the mean over foreground classes; over those classes and images
            that have one.
        classes: foreground class -> score -> {mean, sd} over images.
        conventions: what papers print instead, from the counts of the whole split: `MEASURES.of_splits`, and
            pooled_recall (mean over all classes).
        absent: the foreground classes that occur nowhere, neither in truth nor in prediction: no mean has them.
        distances: how many (image, class) pairs are left_out because both masks are empty, how many are
            set_to_diagonal because one is, and how many images the headline leaves out; None if not measured.

    `sd` is the sample standard deviation, 0 for a single value; a mean over nothing is None.
    """
    counts = np.asarray(counts)
    per_image, pooled = scores_of(counts, measured), pool(counts)
    absent = ~occurs(pooled[1:])
    return {
        "images": len(counts),
        "headline": {name: _spread(mean_over_classes(values)) for name, values in per_image.items()},
        "classes": {
            class_name: {name: _spread(values[:, c]) for name, values in per_image.items()}
            for c, class_name in enumerate(class_names[1:])
        },
        "conventions": {
            **{each.name: _number(float(each.function(pooled))) for each in MEASURES.of_splits if each.function},
            "pooled_recall": _number(float(mean_of_present(recall, pooled))),
        },
        "absent": [name for name, gone in zip(class_names[1:], absent, strict=True) if gone],
        "distances": _count_special(counts[:, 1:][:, ~absent]) if "hd95" in measured else None,
    }


def _count_special(counts: np.ndarray) -> dict[str, int]:
    """Count the pairs without a measured distance; counts: N x foreground classes x 4."""
    tp, fp, fn = counts[..., 0], counts[..., 1], counts[..., 2]
    no_prediction, no_truth = tp + fp == 0, tp + fn == 0
    both = no_prediction & no_truth
    return {
        "left_out": int(both.sum()),
        "set_to_diagonal": int((no_prediction ^ no_truth).sum()),
        "images_left_out": int(both.all(axis=1).sum()),
    }


def _spread(values: np.ndarray) -> dict[str, float | None]:
    """Mean and sample standard deviation of the values that are there."""
    values = values[~np.isnan(values)]
    if not len(values):
        return {"mean": None, "sd": None}
    return {"mean": float(values.mean()), "sd": float(values.std(ddof=1)) if len(values) > 1 else 0.0}


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
