"""From an image as it is stored to one of the prepared size: what training, prediction and export have in common."""

from __future__ import annotations

import cv2
import numpy as np

from medseg.errors import DataError

MOST_CHANNELS = 4
"""That OpenCV resizes at once."""


def as_grey(image: np.ndarray) -> np.ndarray:
    """Turn an RGB image into grey levels, H x W x 1."""
    return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None]


def with_channels(image: np.ndarray, channels: int) -> np.ndarray:
    """Return an image, H x W x C, with the channels that a network takes: RGB becomes grey where that is 1.

    Raises `DataError` for any other number than the image's.
    """
    if image.shape[2] == channels:
        return image
    if image.shape[2] == 3 and channels == 1:
        return as_grey(image)
    raise DataError(f"an image of {image.shape[2]} channels for a network of {channels}")


def resize_image(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize an image, H x W x C uint8, to (height, width): by area where it shrinks, linearly where it grows."""
    if image.shape[2] > MOST_CHANNELS:
        parts = np.split(image, range(MOST_CHANNELS, image.shape[2], MOST_CHANNELS), axis=2)
        return np.concatenate([resize_image(part, size) for part in parts], axis=2)
    height, width = size
    smaller = (min(width, image.shape[1]), min(height, image.shape[0]))
    channels = image.shape[2]
    if smaller != (image.shape[1], image.shape[0]):
        image = cv2.resize(image, smaller, interpolation=cv2.INTER_AREA)
    if smaller != (width, height):
        image = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.ascontiguousarray(image).reshape(height, width, channels)


def resize_mask(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize a class map or instance map, H x W, to (height, width) by the nearest pixel: no new label appears."""
    if mask.shape == size:
        return np.ascontiguousarray(mask)
    return cv2.resize(mask, (size[1], size[0]), interpolation=cv2.INTER_NEAREST_EXACT)
