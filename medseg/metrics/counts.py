"""True and false positives and negatives, per image and class."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, overload

import numpy as np

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
    xp: Any = np
    if not (isinstance(pred, np.ndarray) and isinstance(target, np.ndarray)):
        import torch as xp

        pred, target = xp.as_tensor(pred), xp.as_tensor(target)
    # Every pixel gets the number of its (image, true class, predicted class), and those numbers are counted.
    images, valid = len(target), target != ignore_index
    image = xp.broadcast_to(xp.arange(images, device=target.device)[:, None, None], target.shape)[valid]
    true, predicted = (xp.asarray(labels[valid], dtype=xp.int64) for labels in (target, pred))
    for labels, what in ((true, "the mask"), (predicted, "the prediction")):
        # An unnoticed label beyond the classes would be counted in the next class or image.
        if len(labels) and (labels.min() < 0 or labels.max() >= num_classes):
            label = int(labels.max() if labels.max() >= num_classes else labels.min())
            raise DataError(f"{what} holds label {label}, but there are {num_classes} classes (0 to {num_classes - 1})")
    numbers = (image * num_classes + true) * num_classes + predicted
    confusion = xp.bincount(numbers, minlength=images * num_classes**2).reshape(images, num_classes, num_classes)
    each = xp.arange(num_classes)
    tp = confusion[:, each, each]
    fp, fn = confusion.sum(1) - tp, confusion.sum(2) - tp
    return xp.stack([tp, fp, fn, confusion.sum((1, 2))[:, None] - tp - fp - fn], -1)
