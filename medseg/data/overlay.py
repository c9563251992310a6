"""Draw the classes of a mask onto its image."""

from __future__ import annotations

import cv2
import numpy as np

from medseg.data.labels import COLOURS, IGNORE_INDEX

HATCHING = (154, 163, 178)
"""RGB of the lines over what is to be ignored."""


def outline(image: np.ndarray, class_map: np.ndarray) -> np.ndarray:
    """Draw the border of every foreground class onto a copy of an image; what is to be ignored is hatched.

    Args:
        image: H x W x C uint8, shown by `as_rgb`.
        class_map: H x W, 0 for the background, 255 to be ignored.
    """
    drawn = hatched(as_rgb(image), class_map == IGNORE_INDEX)
    for label in np.unique(class_map):
        if label not in (0, IGNORE_INDEX):
            contours, _ = cv2.findContours((class_map == label).astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
            cv2.drawContours(drawn, contours, -1, colour_of(int(label)), max(1, image.shape[1] // 192))
    return drawn


def as_rgb(image: np.ndarray) -> np.ndarray:
    """Return an image, H x W x C, as a picture, H x W x 3: the first three channels, or the first one as grey."""
    if image.shape[2] == 3:
        return image
    return np.ascontiguousarray(image[:, :, :3]) if image.shape[2] > 3 else np.repeat(image[:, :, :1], 3, axis=2)


def hatched(image: np.ndarray, region: np.ndarray) -> np.ndarray:
    """Return a copy of an image, H x W x 3 uint8, with grey diagonal lines over a region, H x W bool."""
    drawn = image.copy()
    if not region.any():  # as in every prediction; the lines take many times the memory of the image
        return drawn
    period = max(4, image.shape[1] // 32)
    y, x = np.indices(region.shape)
    drawn[region & ((x + y) % period < period // 2)] = HATCHING
    return drawn


def colour_of(label: int) -> tuple[int, int, int]:
    """Return the colour, RGB, of a foreground class, from 1."""
    return COLOURS[(label - 1) % len(COLOURS)]
