"""Scores of countable objects: AP, PQ, AJI. `medseg.metrics` gives the scores of empty masks.

The predicted objects of a class are the connected regions of its mask, along the edges of pixels and not across their
corners. The true ones are those that the dataset labels, which may touch, or the regions of the true mask where it has
none. An object of one pixel is an object. Where the IoU of two objects is above 0.5, neither has such a one with any
other.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medseg.metrics.mask_pair import MaskPair

THRESHOLDS = np.arange(50, 100, 5) / 100
"""Of the IoU, as in the Data Science Bowl 2018."""


@dataclass(frozen=True)
class Overlaps:
    """How P predicted and T true objects overlap, in pixels.

    Attributes:
        shared: P x T.
        predicted, true: sizes, P and T.
    """

    shared: NDArray[np.int64]
    predicted: NDArray[np.int64]
    true: NDArray[np.int64]

    @property
    def union(self) -> NDArray[np.int64]:
        """Pixels of either, P x T."""
        return self.predicted[:, None] + self.true - self.shared

    @property
    def iou(self) -> NDArray[np.float64]:
        """P x T."""
        return np.asarray(self.shared / self.union, dtype=np.float64)


def average_precision(pair: MaskPair) -> float:
    """Return TP / (TP + FP + FN) of the objects, mean over IoU thresholds from 0.5 to 0.95.

    1 where both masks are empty, 0 where one is. A pair of objects is TP where its IoU is above the threshold. (Data
    Science Bowl 2018: Caicedo et al., Nature Methods 16, 2019.)
    """
    if any(pair.empty):
        return float(all(pair.empty))
    overlaps = overlaps_of(pair)
    objects = len(overlaps.predicted) + len(overlaps.true)
    matched = (overlaps.iou[..., None] > THRESHOLDS).sum(axis=(0, 1))
    return float((matched / (objects - matched)).mean())


def panoptic_quality(pair: MaskPair) -> float:
    """Return the sum of the IoUs above 0.5, each of a TP, over TP + FP / 2 + FN / 2.

    1 where both masks are empty, 0 where one is. (Kirillov et al., CVPR 2019; of one class of one image.)
    """
    if any(pair.empty):
        return float(all(pair.empty))
    overlaps = overlaps_of(pair)
    objects = len(overlaps.predicted) + len(overlaps.true)
    return float(2 * overlaps.iou[overlaps.iou > 0.5].sum() / objects)


def aggregated_jaccard(pair: MaskPair) -> float:
    """Return the aggregated Jaccard index.

    1 where both masks are empty, 0 where one is. Each true object takes the predicted one with the highest IoU, which
    others may take as well: their shared pixels over the pixels of either, and those of the predicted objects that none
    has taken. (Kumar et al., IEEE TMI 36, 2017, algorithm 1.)
    """
    if any(pair.empty):
        return float(all(pair.empty))
    overlaps = overlaps_of(pair)
    best, each = overlaps.iou.argmax(axis=0), np.arange(len(overlaps.true))
    meet = overlaps.shared[best, each] > 0  # others have met none
    shared = overlaps.shared[best, each].sum()
    either = np.where(meet, overlaps.union[best, each], overlaps.true).sum()
    unused = np.delete(overlaps.predicted, best[meet]).sum()
    return float(shared / (either + unused))


def overlaps_of(pair: MaskPair) -> Overlaps:
    """Return how the objects of two masks overlap."""
    predicted, true = pair.objects
    down, across = (int(each.max(initial=0)) + 1 for each in (predicted, true))
    pairs = (predicted.astype(np.int64) * across + true).ravel()
    table = np.bincount(pairs, minlength=down * across).reshape(down, across)
    sizes = table.sum(axis=1), table.sum(axis=0)
    # The background, and numbers that no object has.
    rows, columns = (np.flatnonzero(size[1:]) + 1 for size in sizes)
    return Overlaps(table[np.ix_(rows, columns)], sizes[0][rows], sizes[1][columns])
