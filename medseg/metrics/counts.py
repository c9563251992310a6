"""True and false positives and negatives, per image and class."""

from __future__ import annotations

from typing import TYPE_CHECKING, overload

import numpy as np

from medseg.errors import DataError
from medseg.labels import IGNORE_INDEX

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
        confusion = _confusion_numpy(pred, target, num_classes, ignore_index)
        tp = np.diagonal(confusion, axis1=1, axis2=2)
        fp, fn = confusion.sum(1) - tp, confusion.sum(2) - tp
        return np.stack([tp, fp, fn, confusion.sum((1, 2))[:, None] - tp - fp - fn], axis=-1)
    import torch

    cells = _confusion_torch(torch.as_tensor(pred), torch.as_tensor(target), num_classes, ignore_index)
    hits = cells.diagonal(dim1=1, dim2=2)
    false, missed = cells.sum(1) - hits, cells.sum(2) - hits
    return torch.stack([hits, false, missed, cells.sum((1, 2))[:, None] - hits - false - missed], dim=-1)


# The two below are the same: every pixel gets the number of its (image, true class, predicted class), and those
# numbers are counted. Returned: N x num_classes (true) x num_classes (predicted), int64.
def _confusion_numpy(pred: np.ndarray, target: np.ndarray, num_classes: int, ignore_index: int) -> np.ndarray:
    images = len(target)
    valid = target != ignore_index
    first = np.broadcast_to(np.arange(images)[:, None, None], target.shape)[valid] * num_classes
    true, predicted = target[valid].astype(np.int64), pred[valid].astype(np.int64)
    _check_labels(true, predicted, num_classes)
    cells = np.bincount((first + true) * num_classes + predicted, minlength=images * num_classes**2)
    return cells.astype(np.int64).reshape(images, num_classes, num_classes)


def _confusion_torch(pred: Tensor, target: Tensor, num_classes: int, ignore_index: int) -> Tensor:
    import torch

    images = len(target)
    valid = target != ignore_index
    first = torch.arange(images, device=target.device)[:, None, None].expand_as(target)[valid] * num_classes
    true, predicted = target[valid].long(), pred[valid].long()
    _check_labels(true, predicted, num_classes)
    cells = torch.bincount((first + true) * num_classes + predicted, minlength=images * num_classes**2)
    return cells.reshape(images, num_classes, num_classes)


def _check_labels(true: Tensor | np.ndarray, predicted: Tensor | np.ndarray, num_classes: int) -> None:
    # An unnoticed label beyond the classes would be counted in the next class or image.
    for labels, what in ((true, "the mask"), (predicted, "the prediction")):
        if len(labels) and (labels.min() < 0 or labels.max() >= num_classes):
            label = int(labels.max() if labels.max() >= num_classes else labels.min())
            raise DataError(f"{what} holds label {label}, but there are {num_classes} classes (0 to {num_classes - 1})")
