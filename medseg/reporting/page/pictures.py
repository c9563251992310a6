"""Pictures of test images and class maps, small enough that hundreds of them fit into a page."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from medseg.data.labels import IGNORE_INDEX
from medseg.pages import picture

Pixels = NDArray[np.uint8]

LONGEST_SIDE = 256
"""Of a picture, in pixels; larger ones are made smaller."""

QUALITY = 75
"""Of the images, as WebP has it."""

LEVEL = 6
"""Of the compression of class maps: 9 makes them a tenth smaller and takes ten times as long."""


@dataclass(frozen=True)
class Frame:
    """The size of a picture: that of the image, or what `LONGEST_SIDE` leaves of it."""

    height: int
    width: int

    @classmethod
    def of(cls, image: Pixels) -> Frame:
        """Return the frame of an image, H x W or H x W x C."""
        height, width = image.shape[:2]
        scale = min(1.0, LONGEST_SIDE / max(height, width))
        return cls(max(1, round(height * scale)), max(1, round(width * scale)))


def shrink_image(image: Pixels, frame: Frame) -> Pixels:
    """Bring an image, H x W x C uint8, to the size of a frame; one of a single channel becomes H x W."""
    plain = np.ascontiguousarray(image[..., 0] if image.shape[2] == 1 else image)
    if plain.shape[:2] == (frame.height, frame.width):
        return plain
    return np.asarray(Image.fromarray(plain).resize((frame.width, frame.height), Image.Resampling.LANCZOS))


def shrink_map(class_map: Pixels, frame: Frame) -> Pixels:
    """Bring a class map, H x W, to the size of a frame, without mixing classes."""
    if class_map.shape == (frame.height, frame.width):
        return class_map
    lines, places = (
        ((np.arange(new) + 0.5) * old / new).astype(np.int64)
        for new, old in zip((frame.height, frame.width), class_map.shape, strict=True)
    )
    return class_map[lines[:, None], places]


def image_data(image: Pixels, frame: Frame) -> str:
    """Return an image as the address of a picture."""
    return picture(shrink_image(image, frame), "webp", QUALITY)


def maps_data(class_maps: Sequence[Pixels], frame: Frame, ignored: int, bits: int) -> str:
    """Return class maps of one image as base64 of their compressed bits.

    Args:
        class_maps: M maps, each H x W; a pixel that is not scored has the value `IGNORE_INDEX`.
        frame: that they are brought to.
        ignored: index that what is not scored gets, behind those of the classes.
        bits: of a pixel, see `bits_of`.

    The maps lie behind one another, each beginning at a byte, rows from the top, the highest bits first: what a script
    can take apart in a few lines.
    """
    maps = np.stack([shrink_map(np.asarray(one), frame) for one in class_maps]).reshape(len(class_maps), -1)
    maps[maps == IGNORE_INDEX] = ignored
    packed = pack(maps, bits)
    return base64.b64encode(zlib.compress(packed.tobytes(), LEVEL)).decode("ascii")


def bits_of(class_maps: Iterable[Pixels], num_classes: int) -> int:
    """Return how many bits a pixel needs for the classes and, where there is any, what is not scored: 1, 2, 4 or 8."""
    values = num_classes + any((one == IGNORE_INDEX).any() for one in class_maps)
    return next(bits for bits in (1, 2, 4, 8) if values <= 2**bits)


def pack(values: Pixels, bits: int) -> Pixels:
    """Put values below 2^bits into bytes, each row by itself. M x P -> M x ceil(P * bits / 8)."""
    if bits == 1:
        return np.packbits(values, axis=1)
    each = 8 // bits
    filled = np.pad(values, ((0, 0), (0, -values.shape[1] % each))).reshape(len(values), -1, each)
    shifts = np.arange(each - 1, -1, -1, dtype=np.uint8) * bits
    return np.bitwise_or.reduce(filled << shifts, axis=2).astype(np.uint8)
