"""Confidence in the prediction of an image, and whether it tells which predictions are wrong. Pure functions of arrays.

- Soft Dice confidence (Borges et al., "Soft Dice Confidence", 2024): the Dice between the predicted mask m and the
  probabilities p of its class, 2 sum(p m) / (sum p + sum m). It needs no truth.
- Error detection: the mean Dice of the images that remain when the least certain ones are left out, for every share
  that remains. A confidence that knows nothing leaves it level; the best one leaves out those of the lowest Dice.
- Rejection ratio: the area between the curve and the level line, as a part of the area between the best curve and the
  level line (prediction rejection ratio: Malinin et al., ICLR 2020). 1 is the best order, 0 a random one.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray


def soft_dice_confidence(probabilities: NDArray[np.floating], class_map: NDArray[Any]) -> NDArray[np.float64]:
    """Return the confidence in each foreground class of an image, K - 1 values from 0 to 1.

    Of a class that is not predicted, it is 1 - the highest probability of the class. The Dice of an empty mask is the
    probability that there is no pixel of the class, which is at most that.

    Args:
        probabilities: of all classes, the background first, K x h x w.
        class_map: the predicted class of each pixel, h x w.
    """
    values = []
    for label, plane in enumerate(probabilities[1:], start=1):
        mask = class_map == label
        area = np.count_nonzero(mask)
        if area:
            values.append(2 * plane.sum(where=mask, dtype=np.float64) / (plane.sum(dtype=np.float64) + area))
        else:
            values.append(1 - float(plane.max(initial=0.0)))
    return np.array(values, dtype=np.float64)


def rejection_curve(confidence: ArrayLike, scores: ArrayLike) -> NDArray[np.float64]:
    """Return the mean score of the k most certain of N images, for k from 1 to N.

    Images of the same confidence are in no order: each counts as their mean.

    Args:
        confidence: of the images, N.
        scores: of the same images, the higher the better.
    """
    values, groups = np.asarray(scores, dtype=np.float64), np.unique(np.asarray(confidence), return_inverse=True)[1]
    alike = (np.bincount(groups, values) / np.bincount(groups))[groups]
    ordered = alike[np.argsort(-groups, kind="stable")]
    return np.cumsum(ordered) / np.arange(1, len(ordered) + 1)


def rejection_ratio(confidence: ArrayLike, scores: ArrayLike) -> float:
    """Return how much of what the best order gains the order by confidence gains: 1 the best, 0 as a random one.

    Below 0 where the most certain images are the worse ones; NaN where all scores are the same. Arguments as of
    `rejection_curve`.
    """
    values = np.asarray(scores, dtype=np.float64)
    level = values.mean()
    best = rejection_curve(values, values).mean() - level
    if best <= 1e-12:
        return float("nan")
    return float((rejection_curve(confidence, values).mean() - level) / best)
