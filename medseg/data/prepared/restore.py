"""The way back: from probabilities at the prepared size to those at an image's native size, and to classes."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

from medseg.data.labels import IGNORE_INDEX

STRIP = 2**20
"""Values of one strip at the most: 4 MB in float32."""


def resized_strips(maps: np.ndarray, size: tuple[int, int]) -> Iterator[np.ndarray]:
    """Yield K x h x w float32 resized to K x H x W as consecutive strips K x rows x W, which together have H rows.

    By area where it shrinks, linearly where it grows, as `medseg.data.prepared.resize` does with images; pixel
    centres of both sizes are laid over each other. Strips are what the whole would be.
    """
    height, width = size
    smaller = (min(height, maps.shape[1]), min(width, maps.shape[2]))
    if smaller != maps.shape[1:]:
        maps = np.stack([cv2.resize(plane, smaller[::-1], interpolation=cv2.INTER_AREA) for plane in maps])
    rows = max(1, STRIP // (len(maps) * width))
    for top in range(0, height, rows):
        strip = take_rows(maps, np.arange(top, min(top + rows, height)), height)
        if strip.shape[2] != width:
            resized = [cv2.resize(plane, (width, len(plane)), interpolation=cv2.INTER_LINEAR) for plane in strip]
            strip = np.stack(resized)
        yield strip


def take_rows(maps: np.ndarray, rows: np.ndarray, height: int) -> np.ndarray:
    """Return some rows of maps K x h x w as if these had been resized linearly to `height` >= h rows."""
    known = maps.shape[1]
    if known == height:
        return maps[:, rows]
    position = np.clip((rows + 0.5) * known / height - 0.5, 0, known - 1)
    above = np.minimum(position.astype(int), known - 1)
    below = np.minimum(above + 1, known - 1)
    share = (position - above).astype(np.float32)[:, None]
    return maps[:, above] * (1 - share) + maps[:, below] * share


def most_probable(probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the most probable class of each pixel, H x W uint8, and its probability, from classes x H x W.

    The first among equals, as NumPy's argmax, which takes eight times as long over so short an axis.
    """
    best = probabilities[0].copy()
    mask = np.zeros(best.shape, np.uint8)
    for label in range(1, len(probabilities)):
        better = probabilities[label] > best
        mask[better] = label
        np.copyto(best, probabilities[label], where=better)
    return mask, best


def restore_classes(probabilities: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return the most probable classes, H x W uint8, of probabilities K x h x w float32 resized to (H, W)."""
    return np.concatenate([most_probable(strip)[0] for strip in resized_strips(probabilities, size)])


def reachable_dice(mask: np.ndarray, small_mask: np.ndarray, num_classes: int = 2) -> float:
    """Return the Dice at native size that a perfect prediction at the prepared size reaches, mean over the classes.

    Perfect: a probability of 1 for each pixel's class in the prepared mask. A class that the image lacks counts 1, as
    in its scores.

    Args:
        mask, small_mask: class maps at native and at prepared size; 255 is ignored.
        num_classes: the background included.
    """
    labels = [int(label) for label in np.unique(mask) if label not in (0, IGNORE_INDEX)]
    if mask.shape == small_mask.shape or not labels:
        return 1.0
    planes = np.stack([small_mask == label for label in labels]).astype(np.float32)
    planes = np.concatenate([1 - planes.sum(axis=0, keepdims=True), planes])
    restored, valid = restore_classes(planes, (mask.shape[0], mask.shape[1])), mask != IGNORE_INDEX
    values = []
    for number, label in enumerate(labels, start=1):
        predicted, true = (restored == number) & valid, mask == label
        both, either = np.count_nonzero(predicted & true), np.count_nonzero(predicted) + np.count_nonzero(true)
        values.append(2 * both / either)
    return float(sum(values) + num_classes - 1 - len(labels)) / (num_classes - 1)
