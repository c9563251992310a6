"""Draw the classes of a mask onto its image."""

from __future__ import annotations

import cv2
import numpy as np

from medseg.data.labels import COLOURS


def outline(image: np.ndarray, class_map: np.ndarray) -> np.ndarray:
    """Draw the border of every foreground class onto a copy of an image.

    Args:
        image: H x W x C uint8, shown by `as_rgb`.
        class_map: H x W, 0 for the background.
    """
    drawn = np.array(as_rgb(image))
    for label in np.unique(class_map):
        if label != 0:
            contours, _ = cv2.findContours((class_map == label).astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
            cv2.drawContours(drawn, contours, -1, colour_of(int(label)), max(1, image.shape[1] // 192))
    return drawn


def as_rgb(image: np.ndarray) -> np.ndarray:
    """Return an image, H x W x C, as a picture, H x W x 3: the first three channels, or the first one as grey."""
    if image.shape[2] == 3:
        return image
    return np.ascontiguousarray(image[:, :, :3]) if image.shape[2] > 3 else np.repeat(image[:, :, :1], 3, axis=2)


def colour_of(label: int) -> tuple[int, int, int]:
    """Return the colour, RGB, of a foreground class, from 1."""
    return COLOURS[(label - 1) % len(COLOURS)]
