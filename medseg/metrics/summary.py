"""From per-image counts and distances to rows and to the summary of a split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from medseg.metrics.measures import MEASURES, mean_over_classes
from medseg.metrics.scores import pool, recall

DISTANCES = ("hd95", "assd")
"""What `surface_distances` measures, in its order."""


def per_image_rows(
    ids: Sequence[str],
    counts: ArrayLike,
    distances: ArrayLike | None,
    class_names: Sequence[str],
    own: Mapping[str, np.ndarray] | None = None,
) -> list[dict[str, Any]]:
    """Return one row per image and foreground class: id, class, the counts, the scores, the distances.

    `background_tp`, the same in all rows of an image, is how many pixels are background in truth and prediction: with
    it the counts of the background can be made from those of the other classes.

    Args:
        ids: of the N images.
        counts: N x num_classes x 4.
        distances: N x (num_classes - 1) x 2, HD95 and ASSD in pixels; None where they were not measured.
        class_names: of the classes, background first.
        own: scores of the user's own, name -> N x (num_classes - 1).

    A distance that is left out (both masks empty) is None in its row.
    """
    counts = np.asarray(counts)
    scores = {name: score(counts) for name, score in MEASURES.of_counts.items()}
    rows = []
    for n, image in enumerate(ids):
        for c, class_name in enumerate(class_names[1:], start=1):
            row: dict[str, Any] = {"id": image, "class": class_name}
            row |= dict(zip(("tp", "fp", "fn", "tn"), counts[n, c].tolist(), strict=True))
            row["background_tp"] = int(counts[n, 0, 0])
            row |= {name: float(values[n, c]) for name, values in scores.items()}
            if distances is not None:
                measured = np.asarray(distances)[n, c - 1]
                row |= {name: _number(value) for name, value in zip(DISTANCES, measured, strict=True)}
            row |= {name: _number(values[n, c - 1]) for name, values in (own or {}).items()}
            rows.append(row)
    return rows


def summarise(
    counts: ArrayLike,
    distances: ArrayLike | None,
    class_names: Sequence[str],
    own: Mapping[str, np.ndarray] | None = None,
) -> dict[str, Any]:
    """Summarise a split; arguments as for `per_image_rows`. All values can be written as JSON.

    Returns:
        images: N.
        headline: score -> {mean, sd} over images of the mean over foreground classes; hd95 and assd over those
            classes and images that have one.
        classes: foreground class -> score -> {mean, sd} over images.
        conventions: what papers print instead, from the counts of the whole split: `MEASURES.of_splits`, and
            pooled_recall (mean over all classes).
        distances: how many (image, class) pairs are left_out because both masks are empty, how many are
            set_to_diagonal because one is, and how many images the headline leaves out; None if not measured.

    `sd` is the sample standard deviation, 0 for a single value; a mean over nothing is None.
    """
    counts = np.asarray(counts)
    per_image = {name: score(counts)[:, 1:] for name, score in MEASURES.of_counts.items()}
    if distances is not None:
        per_image |= {name: np.asarray(distances, dtype=np.float64)[..., k] for k, name in enumerate(DISTANCES)}
    per_image |= own or {}
    pooled = pool(counts)
    return {
        "images": len(counts),
        "headline": {name: _spread(mean_over_classes(values)) for name, values in per_image.items()},
        "classes": {
            class_name: {name: _spread(values[:, c]) for name, values in per_image.items()}
            for c, class_name in enumerate(class_names[1:])
        },
        "conventions": {
            **{measure.name: float(measure.function(pooled)) for measure in MEASURES.of_splits if measure.function},
            "pooled_recall": float(recall(pooled).mean()),
        },
        "distances": None if distances is None else _count_special(counts[:, 1:]),
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
