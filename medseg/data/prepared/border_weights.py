"""The weight map of the U-Net paper, which makes a network learn the narrow gaps between touching cells.

Ronneberger, Fischer, Brox 2015 (arXiv:1505.04597), equation 2:

    w(x) = w_c(x) + w0 exp(-(d1(x) + d2(x))^2 / (2 sigma^2)),

w_c balancing the classes, d1 and d2 being the distances to the nearest and the second nearest cell; w0 = 10, sigma
about 5 pixels. What the paper leaves open, and is decided here:

- Distances run from the centre of a pixel to the centre of the nearest pixel of a cell, in pixels of the map that is
  given. Halfway between two cells with a gap of three pixels, d1 = d2 = 2.
- Only the background is weighed by its distance to the cells. (The authors' later training script for other cells does
  the same.)
- Cells touch where they share an edge of a pixel, and two cells of one class that meet only at a corner are two. The
  border that the paper introduces between touching cells is the pixels of each that have the other as a neighbour:
  each cell dilated by one pixel, and what two of them share given to the background, as in that script. It is two
  pixels wide. Cells of different classes get none: their classes differ anyway.
- w_c is the inverse frequency of the class, scaled so that its mean over all pixels is 1.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from medseg.data.labels import IGNORE_INDEX

REACH = 6
"""Distances are computed up to this many sigma from a cell; beyond, the exponential is below 2e-8 and taken for 0."""


def border_weights(
    class_map: np.ndarray,
    instances: np.ndarray,
    class_weights: Sequence[float] | np.ndarray,
    *,
    w0: float = 10.0,
    sigma: float = 5.0,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the weights of all pixels, H x W float32, and the class map that they are for, with borders introduced.

    Args:
        class_map: H x W uint8, 0 is background; 255 has no weight.
        instances: H x W int32, 0 is background; every other number is one cell.
        class_weights: w_c of each class; see `balance`.
        w0: weight where two cells all but touch.
        sigma: how fast it falls with the distance, in pixels.
    """
    separated = separate(class_map, instances)
    counted = separated != IGNORE_INDEX
    weights = np.asarray(class_weights, np.float32)[separated * counted] * counted
    return weights + np.float32(w0) * closeness(instances * counted, separated, sigma), separated


def separate(class_map: np.ndarray, instances: np.ndarray) -> np.ndarray:
    """Return a copy of a class map, H x W uint8, in which touching cells of one class have background between them.

    Pixels of 255 stay, and are of no cell.
    """
    touching = np.zeros(class_map.shape, bool)
    for axis in (0, 1):
        lower, upper = [slice(None)] * 2, [slice(None)] * 2
        lower[axis], upper[axis] = slice(None, -1), slice(1, None)
        one, other = tuple(lower), tuple(upper)
        same = (class_map[one] == class_map[other]) & (class_map[one] > 0) & (class_map[one] != IGNORE_INDEX)
        meet = same & (instances[one] != instances[other])
        touching[one] |= meet
        touching[other] |= meet
    return np.where(touching, np.uint8(0), class_map)


def closeness(instances: np.ndarray, class_map: np.ndarray, sigma: float) -> np.ndarray:
    """Return exp(-(d1 + d2)^2 / (2 sigma^2)) where the class map is background and 0 elsewhere, H x W float32.

    With fewer than two cells it is 0 everywhere.
    """
    nearest = np.full(instances.shape, np.inf, np.float32)
    second = nearest.copy()
    for number, window in windows(instances, margin=int(np.ceil(REACH * sigma))):
        distance = cv2.distanceTransform(
            (instances[window] != number).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE
        )
        second[window] = np.minimum(second[window], np.maximum(nearest[window], distance))
        nearest[window] = np.minimum(nearest[window], distance)
    near = (class_map == 0) & np.isfinite(second)
    result = np.zeros(instances.shape, np.float32)
    result[near] = np.exp(-((nearest[near] + second[near]) ** 2) / (2 * sigma**2))
    return result


def windows(instances: np.ndarray, margin: int) -> list[tuple[int, tuple[slice, slice]]]:
    """Return the number of every instance with the part of the map within `margin` pixels of its box."""
    rows, columns = np.nonzero(instances)
    numbers, which = np.unique(instances[rows, columns], return_inverse=True)
    first = np.full((len(numbers), 2), np.iinfo(np.int64).max)
    last = np.zeros((len(numbers), 2), np.int64)
    for axis, positions in enumerate((rows, columns)):
        np.minimum.at(first[:, axis], which, positions)
        np.maximum.at(last[:, axis], which, positions)
    first, last = np.maximum(first - margin, 0), last + margin + 1
    return [
        (int(number), (slice(top, bottom), slice(left, right)))
        for number, (top, left), (bottom, right) in zip(numbers, first.tolist(), last.tolist(), strict=True)
    ]


def balance(class_pixels: np.ndarray) -> np.ndarray:
    """Return w_c of each class, float32, from the number of its pixels: inversely proportional, 1 on average.

    All classes then weigh alike in all; one that does not occur gets 0.
    """
    present = class_pixels > 0
    weights = np.zeros(len(class_pixels), np.float32)
    weights[present] = class_pixels.sum() / (present.sum() * class_pixels[present])
    return weights
