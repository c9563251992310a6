"""From the bytes of an image file to pixels, uint8 on one scale; `decode_masks` is for masks.

Choices that hold for every dataset:

* Orientation tags are applied, to images and masks alike, so that both are as viewers show them.
* Alpha is left out, not blended; where it is not the same everywhere, that is noted.
* Values become 0..255 as the dataset's `PixelFormat` defines, never by the maximum of the image.
* Files with several pictures (pages of one size, animations) are refused.
"""

from __future__ import annotations

import cv2
import numpy as np

from medseg.data.pixel_format import EIGHT_BITS, PixelFormat, fits
from medseg.data.sources.problems import OPAQUE, SampleError, note
from medseg.data.sources.stored import Stored, is_jpeg, read_stored


def decode_image(data: bytes, file: str, pixels: PixelFormat = EIGHT_BITS) -> np.ndarray:
    """Decode an image into H x W x 3 uint8 RGB, grey repeated; H x W x C where `pixels` has another number of channels.

    Args:
        data: the content of the file.
        file: its name, for errors.
        pixels: of the dataset: which values become 0 and 255.

    Raises `SampleError` of kind "unreadable" for a file that is damaged, truncated, too large, or has values or
    channels that the others of the dataset do not have.
    """
    stored = read_stored(data, file)
    if not pixels.takes(stored.values.dtype):
        raise SampleError("unreadable", file, other_values(stored.values.dtype, pixels))
    return to_image(stored, file, pixels)


def to_image(stored: Stored, file: str, pixels: PixelFormat) -> np.ndarray:
    """Return pixels as `decode_image` does, whatever the type of their values. Raises `SampleError`."""
    values = stored.values
    if not fits(stored.channels, pixels.channels):
        raise SampleError("unreadable", file, f"{stored.channels} channels where {pixels.channels} are expected")
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise SampleError("unreadable", file, "values that are not finite (NaN or infinite)")
    if stored.alpha is not None:
        _note_alpha(stored.alpha, file)
    values = pixels.scale(values)
    if values.ndim == 2:
        return cv2.cvtColor(values, cv2.COLOR_GRAY2RGB) if pixels.channels in (1, 3) else values[:, :, None]
    return values


def other_values(dtype: np.dtype, pixels: PixelFormat) -> str:
    """Say that a file has values of another type than a dataset."""
    return (
        f"{dtype} pixels where {' or '.join(pixels.stored)} is expected; save it with 8 bits, or give it as data=folder"
    )


def decode_pages(data: bytes, file: str) -> list[np.ndarray]:
    """Decode all pages of a multi-page TIFF, each H x W as stored. Raises `SampleError` of kind "unreadable"."""
    try:
        complete, pages = cv2.imdecodemulti(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        complete, pages = False, ()
    if not complete or not pages:
        raise SampleError("unreadable", file, "not a readable multi-page image, or a truncated one")
    return list(pages)


def is_lossy(data: bytes) -> bool:
    """Tell whether a file is a JPEG or a lossy WebP, whose pixels are not exactly those that were saved."""
    return is_jpeg(data) or (data[:4] == b"RIFF" and data[8:12] == b"WEBP" and b"VP8 " in data[:1024])


def _note_alpha(alpha: np.ndarray, file: str) -> None:
    low, high = alpha.min(), alpha.max()
    if low != high:
        note("alpha left out", file, f"it is from {low} to {high}; what it hides is seen by the network")
    else:
        note(OPAQUE, file)
