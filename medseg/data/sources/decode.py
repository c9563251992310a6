"""From the bytes of an image file to pixels: images as uint8 on one scale, masks with their label values untouched.

Choices that hold for every dataset:

* Orientation tags are applied, to images and masks alike, so that both are as viewers show them.
* Alpha is left out, not blended; where it is not the same everywhere, that is noted.
* Values become 0..255 as the dataset's `PixelFormat` says, never by the image's own maximum. Masks are never scaled.
* A palette mask counts by its palette indices (the habit of PASCAL VOC), unless the whole palette is grey: then the
  grey values count, since programs that shrink a grey PNG order its palette as they like.
* Files with several pictures (pages of one size, animations) are refused.
"""

from __future__ import annotations

import io

import cv2
import numpy as np
from PIL import Image

from medseg.data.pixel_format import EIGHT_BITS, PixelFormat, fits
from medseg.data.sources.problems import OPAQUE, SampleError, note
from medseg.data.sources.stored import Stored, apply_orientation, is_jpeg, open_header, orientation_tag, read_stored
from medseg.data.sources.tiff import is_tiff, read_tiff

_LOSSY_CHANNEL_SPREAD = 32
"""Channels of a grey picture stored as a colour JPEG may differ by this much (chroma rounding)."""


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


def decode_labels(data: bytes, file: str) -> np.ndarray:
    """Decode a mask into its label values as they are stored, H x W, uint8 or uint16.

    Accepts grey of 1 to 16 bits (1 bit reads as 0 and 255), palette files, integer TIFF, and RGB(A) whose channels are
    equal. Raises `SampleError`: "unreadable" as `decode_image` does, "unexpected label" for a mask in colours, with
    negative values, or drawn in the alpha channel alone.
    """
    palette = _open_palette(data, file)
    if palette is not None:
        return apply_orientation(_palette_labels(palette, file), orientation_tag(palette, data), file)
    stored = read_stored(data, file)
    labels = stored.values
    if labels.ndim == 3:
        labels = _grey_of_equal_channels(stored, _LOSSY_CHANNEL_SPREAD if is_lossy(data) else 0, file)
    if labels.dtype.kind not in "iu":
        raise SampleError("unreadable", file, f"{labels.dtype} pixels; save the mask with 8 or 16 bits")
    if labels.dtype not in (np.uint8, np.uint16):
        low, high = int(labels.min()), int(labels.max())
        if low < 0 or high > 65535:
            raise SampleError("unexpected label", file, f"values from {low} to {high}")
        labels = labels.astype(np.uint16)
    return labels if stored.step == 1 else labels // np.uint8(stored.step)


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


def _open_palette(data: bytes, file: str) -> Image.Image | None:
    """Open a file that has a palette; None for any other."""
    if is_tiff(data):
        read_tiff(data, file, pixels=False)
        header: Image.Image | None
        try:
            header = Image.open(io.BytesIO(data))
        except Exception:  # one that Pillow does not know has no palette
            return None
    else:
        header = open_header(data, file)
    return header if header is not None and header.mode == "P" else None


def _grey_of_equal_channels(stored: Stored, tolerance: int, file: str) -> np.ndarray:
    pixels, alpha = stored.values, stored.alpha
    if alpha is not None and alpha.min() != alpha.max() and (pixels == pixels[0, 0]).all():
        raise SampleError("unexpected label", file, "drawn in the alpha channel alone; save it as grey")
    if pixels.shape[2] != 3:
        raise SampleError("unexpected label", file, f"{pixels.shape[2]} channels; save class indices as grey")
    blue, green, red = cv2.split(pixels)  # NumPy's minimum over so short an axis takes 30 ms for a Kvasir-SEG mask
    if max(cv2.absdiff(blue, green).max(), cv2.absdiff(red, green).max()) > tolerance:
        raise SampleError("unexpected label", file, "a mask in colours; save class indices as grey or palette")
    return green


def _palette_labels(header: Image.Image, file: str) -> np.ndarray:
    try:
        indices = np.asarray(header)
    except Exception as error:  # Pillow's readers raise many kinds
        raise SampleError("unreadable", file, "damaged or truncated") from error
    palette = np.array(header.getpalette("RGB"), np.uint8).reshape(-1, 3)
    if (palette == palette[:, :1]).all():
        grey = np.zeros(256, np.uint8)
        grey[: len(palette)] = palette[:, 0]
        return grey[indices]
    return indices
