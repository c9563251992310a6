"""The pixels of an image file as they are stored, of any format, and upright: the orientation tag is applied.

TIFFs are read by `tiff`, all others by OpenCV. Pillow reads the header before it, in 0.02 to 0.04 ms a file, so that an
oversized or unsuitable file is refused before its pixels are unpacked.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image

from medseg.data.sources.problems import SampleError, note
from medseg.data.sources.tiff import is_tiff, read_tiff

# Damaged files are reported by name below; OpenCV's lines about them would only repeat it without the name.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)

ORIENTATION = 274
"""Number of the tag, in EXIF and in TIFF."""

TURNS = {
    2: "mirrored",
    3: "turned by 180 degrees",
    4: "flipped",
    5: "mirrored and turned by 90 degrees",
    6: "turned by 90 degrees",
    7: "mirrored and turned by 90 degrees",
    8: "turned by 90 degrees",
}
"""What each orientation tag asks viewers to do."""


@dataclass(frozen=True)
class Stored:
    """The pixels of a file, upright.

    Attributes:
        values: H x W, or H x W x C with the channels in their order, red first; of any type of integer or float.
        alpha: H x W; None where there is none.
        step: grey of 2 and 4 bits is spread over 0..255 in steps of this; 1 for all others.
    """

    values: np.ndarray
    alpha: np.ndarray | None = None
    step: int = 1

    @property
    def channels(self) -> int:
        """Number of channels without alpha."""
        return 1 if self.values.ndim == 2 else int(self.values.shape[2])


def is_jpeg(data: bytes) -> bool:
    """Tell a JPEG by its first bytes."""
    return data[:3] == b"\xff\xd8\xff"


def is_png(data: bytes) -> bool:
    """Tell a PNG by its first bytes."""
    return data[:8] == b"\x89PNG\r\n\x1a\n"


def read_stored(data: bytes, file: str) -> Stored:
    """Read a file; that an orientation tag was applied is noted (`medseg.data.sources.problems.note`).

    `file` names the file in errors. Raises `SampleError` of kind "unreadable" for a file that is damaged, truncated,
    animated, larger than 178 million pixels or of a kind that would not be read right.
    """
    if not data:
        raise SampleError("unreadable", file, "the file is empty")
    step = 1
    if is_tiff(data):
        values, alpha, orientation, step = read_tiff(data, file)
    else:
        header = open_header(data, file)
        orientation = orientation_tag(header, data)
        if is_jpeg(data):  # the decoder itself writes RGB
            colours = cv2.IMREAD_GRAYSCALE if header is not None and header.mode == "L" else cv2.IMREAD_COLOR_RGB
            values, alpha = _decode(data, file, colours | cv2.IMREAD_IGNORE_ORIENTATION), None
        else:
            values, alpha = _split(_decode(data, file), header)
        if is_png(data) and data[25] == 0 and data[24] in (2, 4):  # grey, of so many bits
            step = 255 // (2 ** data[24] - 1)
    values = apply_orientation(values, orientation, file)
    return Stored(values, None if alpha is None else upright(alpha, orientation), step)


def stored_type(data: bytes, file: str) -> tuple[np.dtype, int]:
    """Return the type of the values of a file and its number of channels, alpha not counted.

    The usual formats are not unpacked for it. Raises `SampleError` as `read_stored` does.
    """
    if is_tiff(data):
        stored = Stored(read_tiff(data, file, pixels=False)[0])
        return stored.values.dtype, stored.channels
    header = open_header(data, file) if data else None
    if header is not None and is_png(data):
        return np.dtype(np.uint16 if data[24] == 16 else np.uint8), 1 if data[25] in (0, 4) else 3
    if header is not None and header.format in ("JPEG", "MPO", "GIF", "BMP", "WEBP"):
        return np.dtype(np.uint8), 1 if header.mode in ("1", "L") else 3
    stored = read_stored(data, file)
    return stored.values.dtype, stored.channels


def open_header(data: bytes, file: str) -> Image.Image | None:
    """Open a file without unpacking its pixels; None for a format that OpenCV may know and Pillow does not."""
    try:
        header = Image.open(io.BytesIO(data))
        frames = 1 if is_jpeg(data) else getattr(header, "n_frames", 1)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise SampleError("unreadable", file, "more than 178 million pixels; cut it into tiles") from error
    except Exception:  # Pillow's readers raise many kinds for a damaged header
        return None
    if frames > 1:
        raise SampleError("unreadable", file, f"animated, {frames} pictures in one file; save one image a file")
    return header


def orientation_tag(header: Image.Image | None, data: bytes) -> int:
    """Return the orientation tag of a file that is no TIFF; 1, upright, without one."""
    if header is None or (is_png(data) and b"eXIf" not in data):  # for which Pillow would unpack all pixels of a PNG
        return 1
    try:
        return int(header.getexif().get(ORIENTATION, 1))
    except Exception:  # damaged EXIF, which viewers pass over as well
        return 1


def apply_orientation(pixels: np.ndarray, orientation: int, file: str) -> np.ndarray:
    """Turn pixels of a file upright, and note it where there is anything to turn."""
    if orientation in TURNS:
        note("orientation tag applied", file, f"tag {orientation}: {TURNS[orientation]}")
    return upright(pixels, orientation)


def upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Turn pixels, H x W or H x W x C, as their orientation tag asks."""
    if orientation not in TURNS:
        return pixels
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def _decode(data: bytes, file: str, flags: int = cv2.IMREAD_UNCHANGED) -> np.ndarray:
    """Pixels as stored, H x W or H x W x (3 or 4) in OpenCV's order of channels, unless `flags` select otherwise."""
    try:
        # IMREAD_UNCHANGED keeps the bit depth and, unlike the colour flags, leaves the orientation tag alone.
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        if error.code == cv2.Error.STS_NO_MEM:
            raise MemoryError(error.err) from None
        pixels = None
    if pixels is None:
        raise SampleError("unreadable", file, "damaged, truncated or not an image")
    return pixels


def _split(pixels: np.ndarray, header: Image.Image | None) -> tuple[np.ndarray, np.ndarray | None]:
    """Split what OpenCV decoded into grey or RGB, and alpha."""
    if pixels.ndim == 2:
        if header is not None and header.mode == "L" and "transparency" in header.info:  # of one level, in a PNG
            return pixels, np.asarray(header.convert("LA").getchannel("A"))
        return pixels, None
    alpha = np.ascontiguousarray(pixels[:, :, 3]) if pixels.shape[2] == 4 else None
    if header is not None and header.mode == "LA":  # which OpenCV repeats
        return np.ascontiguousarray(pixels[:, :, 0]), alpha
    return cv2.cvtColor(pixels, cv2.COLOR_BGRA2RGB if alpha is not None else cv2.COLOR_BGR2RGB), alpha
