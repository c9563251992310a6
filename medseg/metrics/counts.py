"""True and false positives and negatives, per image and class."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import NDArray

from medseg.data.labels import IGNORE_INDEX
from medseg.errors import DataError

if TYPE_CHECKING:
    from torch import Tensor


@overload
def count_pixels(pred: Tensor, target: Tensor, num_classes: int, ignore_index: int = IGNORE_INDEX) -> Tensor: ...
@overload
def count_pixels(
    pred: np.ndarray, target: np.ndarray, num_classes: int, ignore_index: int = IGNORE_INDEX
) -> np.ndarray: ...
def count_pixels(
    pred: Tensor | np.ndarray, target: Tensor | np.ndarray, num_classes: int, ignore_index: int = IGNORE_INDEX
) -> Tensor | np.ndarray:
    """Count the pixels of each image and class that are right and wrong.

    Args:
        pred: predicted class maps, N x H x W, integers in [0, num_classes).
        target: true class maps, N x H x W, integers in [0, num_classes) or `ignore_index`.
        num_classes: number of classes, background (0) included.
        ignore_index: pixels with this label in `target` are counted nowhere.

    Returns:
        int64, N x num_classes x 4: tp, fp, fn, tn. An array for arrays, a tensor on the same device for tensors.
        Any size and any batch: an image's counts depend on that image alone.

    Raises `DataError` for a label that is no class.
    """
    if pred.shape != target.shape or pred.ndim != 3:
        raise ValueError(f"two N x H x W class maps are needed, got {tuple(pred.shape)} and {tuple(target.shape)}")
    if isinstance(pred, np.ndarray) and isinstance(target, np.ndarray):
        counts = [_count_image(*maps, num_classes, ignore_index) for maps in zip(pred, target, strict=True)]
        return np.array(counts, np.int64).reshape(-1, num_classes, 4)
    import torch

    pred, target = torch.as_tensor(pred), torch.as_tensor(target)
    # Every pixel gets the number of its (image, true class, predicted class), and those numbers are counted.
    images, valid = len(target), target != ignore_index
    image = torch.arange(images, device=target.device)[:, None, None].expand(target.shape)[valid]
    true, predicted = (labels[valid].long() for labels in (target, pred))
    _check_labels(true, predicted, num_classes)
    numbers = (image * num_classes + true) * num_classes + predicted
    confusion = torch.bincount(numbers, minlength=images * num_classes**2).reshape(images, num_classes, num_classes)
    each = torch.arange(num_classes)
    tp = confusion[:, each, each]
    fp, fn = confusion.sum(1) - tp, confusion.sum(2) - tp
    return torch.stack([tp, fp, fn, confusion.sum((1, 2))[:, None] - tp - fp - fn], -1)


def _count_image(pred: np.ndarray, target: np.ndarray, num_classes: int, ignore_index: int) -> NDArray[np.int64]:
    """Count an image, class by class: comparing small integers is much faster than indexing by them."""
    valid = target != ignore_index
    pixels = int(np.count_nonzero(valid))
    whole = pixels == valid.size
    _check_labels(target if whole else target[valid], pred if whole else pred[valid], num_classes)
    counts = np.empty((num_classes, 4), np.int64)
    for label in range(num_classes):
        predicted, true = (pred == label) & valid, target == label
        tp = np.count_nonzero(predicted & true)
        fp, fn = np.count_nonzero(predicted) - tp, np.count_nonzero(true) - tp
        counts[label] = tp, fp, fn, pixels - tp - fp - fn
    return counts


def _check_labels(true: Any, predicted: Any, num_classes: int) -> None:
    """Raise `DataError` for a label that is no class; unnoticed, it would be counted nowhere or in another class."""
    for labels, what in ((true, "the mask"), (predicted, "the prediction")):
        if math.prod(labels.shape) and (labels.min() < 0 or labels.max() >= num_classes):
            label = int(labels.max() if labels.max() >= num_classes else labels.min())
            raise DataError(f"{what} holds label {label}, but there are {num_classes} classes (0 to {num_classes - 1})")
