"""Overlap scores from pixel counts. `medseg.metrics` gives the scores of empty masks.

`counts` is everywhere ... x 4: tp, fp, fn, tn (`count_pixels`), as an array or a CPU tensor; the scores are float64.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Scores = NDArray[np.float64]


def dice(counts: ArrayLike) -> Scores:
    """Return 2 tp / (2 tp + fp + fn); 1 where truth and prediction are empty."""
    tp, fp, fn, _ = _split(counts)
    return _ratio(2 * tp, 2 * tp + fp + fn)


def iou(counts: ArrayLike) -> Scores:
    """Return tp / (tp + fp + fn); 1 where truth and prediction are empty."""
    tp, fp, fn, _ = _split(counts)
    return _ratio(tp, tp + fp + fn)


def precision(counts: ArrayLike) -> Scores:
    """Return tp / (tp + fp); where nothing is predicted, 1 if the truth is empty too, else 0."""
    tp, fp, fn, _ = _split(counts)
    return np.where(tp + fp > 0, _ratio(tp, tp + fp), np.where(fn > 0, 0.0, 1.0))


def recall(counts: ArrayLike) -> Scores:
    """Return tp / (tp + fn); where the truth is empty, 1 if nothing is predicted, else 0."""
    tp, fp, fn, _ = _split(counts)
    return np.where(tp + fn > 0, _ratio(tp, tp + fn), np.where(fp > 0, 0.0, 1.0))


def specificity(counts: ArrayLike) -> Scores:
    """Return tn / (tn + fp); 1 where no pixel lies outside the class."""
    _, fp, _, tn = _split(counts)
    return _ratio(tn, tn + fp)


def mcc(counts: ArrayLike) -> Scores:
    """Return Matthews' correlation coefficient, -1 to 1: (tp tn - fp fn) / sqrt((tp+fp) (tp+fn) (tn+fp) (tn+fn)).

    Where the root is 0, since truth or prediction is all of the image or nothing of it, 1 if they are equal, else 0.
    """
    tp, fp, fn, tn = (np.asarray(each, dtype=np.float64) for each in _split(counts))
    root = np.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))
    equal = np.where(fp + fn > 0, 0.0, 1.0)
    return np.clip(np.divide(tp * tn - fp * fn, root, out=equal, where=root > 0), -1.0, 1.0)


def volumetric_similarity(counts: ArrayLike) -> Scores:
    """Return 1 - |fn - fp| / (2 tp + fp + fn), how alike the areas are wherever they lie; 1 where both are empty.

    (Taha and Hanbury, BMC Medical Imaging 15, 2015.)
    """
    tp, fp, fn, _ = _split(counts)
    return _ratio(2 * tp + 2 * np.minimum(fp, fn), 2 * tp + fp + fn)


def pool(counts: ArrayLike) -> NDArray[np.int64]:
    """Sum the counts of all images, N x num_classes x 4 -> num_classes x 4, for dataset-level scores."""
    return np.asarray(counts).sum(axis=0)


def accuracy(counts: ArrayLike) -> Scores:
    """Return the share of pixels of the right class, from the counts of all classes: ... x classes x 4 -> ... .

    1 where there is no pixel.
    """
    array = np.asarray(counts)
    # Every pixel is in exactly one cell of every class, so any class has the number of pixels.
    return _ratio(array[..., 0].sum(axis=-1), array[..., 0, :].sum(axis=-1))


def _split(counts: ArrayLike) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    array = np.asarray(counts)
    return array[..., 0], array[..., 1], array[..., 2], array[..., 3]


def _ratio(part: ArrayLike, whole: ArrayLike) -> Scores:
    """Return part / whole, and 1 where the whole is 0."""
    part, whole = np.asarray(part, dtype=np.float64), np.asarray(whole, dtype=np.float64)
    return np.divide(part, whole, out=np.ones_like(whole), where=whole > 0)
