"""Bring probabilities back to the size of their image, a strip of rows at a time."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

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
