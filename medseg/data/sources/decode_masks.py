"""From the bytes of a mask file to its values: whole numbers, or colours.

* Values are never scaled: 8 and 16 bits, 32-bit and float TIFF of whole numbers, and 2- and 4-bit grey come as they
  are; 1 bit is 0 and 255.
* A palette is looked up: its colours count, never its indices, which every program orders as it likes.
* A colour whose channels are equal is the grey value. Other colours are numbers from `COLOUR` on.
* Opaque alpha is dropped. Where alpha differs within a mask, each colour must have one alpha.
* Orientation tags are applied, as they are to images (see `decode`).
"""

from __future__ import annotations

import cv2
import numpy as np

from medseg.data.sources.decode import is_lossy
from medseg.data.sources.problems import SampleError
from medseg.data.sources.stored import read_stored

COLOUR = 1 << 40
"""Values from here on are colours, this number plus 0xRRGGBB; grey values and ids are below."""

_LOSSY_CHANNEL_SPREAD = 32
"""Channels of a grey picture stored as a colour JPEG may differ by this much (chroma rounding)."""


def decode_values(data: bytes, file: str) -> np.ndarray:
    """Decode a mask into its values, H x W integers; int64 where colours are among them.

    Raises `SampleError`: "unreadable" as `medseg.data.sources.decode.decode_image` does; "unexpected label" for pixels
    that are no whole numbers, for a mask that is drawn in its alpha channel, and for colours in a JPEG.
    """
    stored = read_stored(data, file)
    values = stored.values
    if values.ndim == 3:
        if stored.channels != 3:
            raise SampleError("unexpected label", file, f"{stored.channels} channels; save the mask as grey or RGB")
        return _grey_of_jpeg(values, file) if is_lossy(data) else _of_colours(values, stored.alpha, file)
    if values.dtype.kind == "f":
        return _whole_numbers(values, file)
    if values.dtype.kind not in "iu":
        raise SampleError("unreadable", file, f"{values.dtype} pixels; save the mask with 8 or 16 bits")
    if stored.step > 1:  # grey of 2 or 4 bits, spread over 0 to 255
        values = values // np.uint8(stored.step)
    if stored.alpha is not None and stored.alpha.min() != stored.alpha.max():
        _check_alpha(values, stored.alpha, file)
    return values


def decode_labels(data: bytes, file: str) -> np.ndarray:
    """Decode a mask into its grey values, H x W, uint8 or uint16.

    Raises `SampleError`, as `decode_values` does, and "unexpected label" for colours and for values that are not from 0
    to 65535.
    """
    values = decode_values(data, file)
    if values.dtype in (np.uint8, np.uint16):
        return values
    low, high = int(values.min()), int(values.max())
    if high >= COLOUR:
        raise SampleError("unexpected label", file, f"a mask in colours, such as {value_name(high)}; grey is expected")
    if low < 0 or high > 65535:
        raise SampleError("unexpected label", file, f"values from {low} to {high}")
    return values.astype(np.uint16)


def value_name(value: int) -> str:
    """Write a value as people do: `37`, or `#ff0000` for a colour."""
    return f"#{value - COLOUR:06x}" if value >= COLOUR else str(value)


def colour_value(text: str) -> int:
    """Return the value of a colour, `#rrggbb`; of a grey one the grey value."""
    number = int(text.removeprefix("#"), 16)
    red, green, blue = number >> 16, number >> 8 & 255, number & 255
    return red if red == green == blue else COLOUR + number


def brightness(value: int) -> float:
    """Return how bright a value is: a grey value itself, of a colour its luminance, 0..255."""
    if value < COLOUR:
        return float(value)
    number = value - COLOUR
    return 0.299 * (number >> 16) + 0.587 * (number >> 8 & 255) + 0.114 * (number & 255)


def _of_colours(pixels: np.ndarray, alpha: np.ndarray | None, file: str) -> np.ndarray:
    """Values of an RGB image, H x W x 3, with its alpha, H x W."""
    red, green, blue = cv2.split(np.ascontiguousarray(pixels))  # NumPy is slow over so short an axis
    if not (cv2.absdiff(red, green).any() or cv2.absdiff(blue, green).any()):
        values = green
    elif pixels.dtype != np.uint8:
        raise SampleError("unreadable", file, f"colours of {pixels.dtype}; save the mask with 8 bits for each channel")
    else:
        number = np.left_shift(red, 16, dtype=np.int64) + np.left_shift(green, 8, dtype=np.int64) + blue
        values = np.where((red == green) & (green == blue), green, number + COLOUR)
    if alpha is not None and alpha.min() != alpha.max():
        _check_alpha(values, alpha, file)
    return values


def _check_alpha(values: np.ndarray, alpha: np.ndarray, file: str) -> None:
    colours = np.unique(values)
    pairs = np.unique(values.astype(np.int64) * 65536 + alpha)
    if len(pairs) > len(colours):
        only = "drawn in the alpha channel alone" if len(colours) == 1 else "alpha differs within one colour"
        raise SampleError("unexpected label", file, f"{only}; save the mask as grey, without alpha")


def _grey_of_jpeg(pixels: np.ndarray, file: str) -> np.ndarray:
    red, green, blue = cv2.split(np.ascontiguousarray(pixels[:, :, :3]))
    if max(cv2.absdiff(blue, green).max(), cv2.absdiff(red, green).max()) > _LOSSY_CHANNEL_SPREAD:
        raise SampleError(
            "unexpected label", file, "colours in a JPEG, which changes them at every edge; save the masks as PNG"
        )
    return green


def _whole_numbers(pixels: np.ndarray, file: str) -> np.ndarray:
    if not np.isfinite(pixels).all() or np.abs(pixels).max() > 2**31:
        raise SampleError("unreadable", file, f"{pixels.dtype} pixels that are not finite")
    whole = np.rint(pixels)
    if (whole != pixels).any():
        odd = float(pixels[whole != pixels][0])
        raise SampleError("unexpected label", file, f"value {odd:.4g}; the values of a mask are whole numbers")
    return whole.astype(np.int64)
