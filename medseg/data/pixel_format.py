"""How the stored values of images become 0..255: one scale for all images of a dataset, and for what is predicted.

Images of a dataset keep their gain among each other: the range of stored values that becomes 0..255 is one for all of
them, and is in the fingerprint and in the checkpoint. It is

* 0..255 for files of 8 bits;
* the nominal range for other integers: 0 to the smallest 2^k - 1, k from 8, that is not below the greatest value of
  all images of the dataset (12-bit data in 16-bit files: 0..4095);
* what `data.intensity_range` states, as [low, high], or as `percentiles`: the 0.5 and 99.5 of the dataset's values.
  Floats and integers with negative values need it.

Values outside of the range become 0 or 255.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np

MAX_CHANNELS = 64
"""Of an image. More are rather an image with its axes in another order."""

SAMPLED = 4_000
"""Values of each image, evenly spread, from which percentiles are computed."""

ABOVE, INSIDE = 0.5, 0.05
"""A range misses an image with more values above it, or fewer inside it, than these shares."""

SMALL_PART = 1 / 8
"""Of the range: where the greatest value of all images is below it, they are probably on another scale."""

KINDS = {"b": "true or false", "u": "integers", "i": "integers", "f": "floats", "c": "complex numbers"}


@dataclass(frozen=True)
class PixelFormat:
    """The pixels of a dataset's files, and how they become 0..255.

    Args:
        channels: of the files, alpha not counted: 1 grey, 3 RGB, any other number as it is. Grey files among RGB ones
            count as 3.
        low, high: the stored values that become 0 and 255.
        stored: the types of the values in the files, as NumPy names them, sorted.
    """

    channels: int = 3
    low: float = 0
    high: float = 255
    stored: tuple[str, ...] = ("uint8",)

    def __post_init__(self) -> None:
        if not 1 <= self.channels <= MAX_CHANNELS:
            raise ValueError(f"channels is {self.channels}; it must be 1 to {MAX_CHANNELS}")
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise ValueError(f"low is {self.low}, high {self.high}; the first must be below the second")
        if not self.stored or not all(np.dtype(name).kind in "iuf" for name in self.stored):
            raise ValueError(f"stored is {self.stored}; it must name types of numbers")

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {**asdict(self), "stored": list(self.stored)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> PixelFormat:
        """Make it of what `to_dict` returned; raises `ValueError` for anything else."""
        try:
            channels, low, high, stored = (values[key] for key in ("channels", "low", "high", "stored"))
            if type(channels) is int and all(type(each) in (int, float) for each in (low, high)):
                return cls(channels, low, high, tuple(stored))
        except (KeyError, TypeError) as error:
            raise ValueError(f"not channels, low, high and stored ({error})") from None
        raise ValueError("channels must be a whole number, low and high numbers")

    @property
    def plain(self) -> bool:
        """Whether the files have 8 bits, taken as they are."""
        return self.stored == ("uint8",) and (self.low, self.high) == (0, 255)

    @property
    def range(self) -> str:
        """The range as it is typed: `[0,4095]`."""
        return as_typed(self.low, self.high)

    def takes(self, dtype: np.dtype) -> bool:
        """Whether values of a type are on this scale: those of the types in the files, integers of any width alike."""
        return kind_of(dtype) in {kind_of(np.dtype(name)) for name in self.stored}

    def scale(self, values: np.ndarray) -> np.ndarray:
        """Return stored values as uint8: `low` becomes 0, `high` 255, linearly, rounded, halves up."""
        if values.dtype == np.uint8 and (self.low, self.high) == (0, 255):
            return values
        if values.dtype == np.uint8:
            return cv2.LUT(np.ascontiguousarray(values), _table("uint8", self.low, self.high))
        if values.dtype == np.uint16:
            return _table("uint16", self.low, self.high)[values]
        return _scaled(values, self.low, self.high)

    def covers(self, dtype: np.dtype) -> bool:
        """Whether every value that a type can hold is in the range, as far as that is of use: of 8 bits."""
        return dtype == np.uint8 and self.low <= 0 and self.high >= 255

    def misses(self, values: np.ndarray) -> bool:
        """Whether an image is on another scale: white in more than half, or with hardly a value inside the range.

        Values below the range are no sign of it: more than half of a CT slice is air, which a window leaves out.
        """
        if self.covers(values.dtype):
            return False
        above = np.count_nonzero(values > self.high)
        inside = values.size - above - np.count_nonzero(values < self.low)
        return bool(above > ABOVE * values.size or inside < INSIDE * values.size)

    def is_dark(self, dtype: np.dtype, greatest: float) -> bool:
        """Whether images of this greatest value use a small part of the range; never of 8 bits, which are as they are.

        12-bit images on the scale of 16 bits are an example.
        """
        return dtype != np.uint8 and greatest < self.low + SMALL_PART * (self.high - self.low)

    def describe(self) -> str:
        """Describe it in a line."""
        channels = {1: "grey", 3: "RGB"}.get(self.channels, f"{self.channels} channels")
        return f"{channels}, {', '.join(self.stored)}, values {number(self.low)} to {number(self.high)} become 0 to 255"


EIGHT_BITS = PixelFormat()
"""RGB or grey files of 8 bits, taken as they are."""


def fits(channels: int, expected: int) -> bool:
    """Whether images of so many channels will do: grey and RGB can be turned into each other."""
    return channels == expected or {channels, expected} <= {1, 3}


def kind_of(dtype: np.dtype) -> str:
    """Name the kind of values: `8 bits`, `integers` of more bits or with a sign, `floats`."""
    return "8 bits" if dtype == np.uint8 else KINDS.get(dtype.kind, str(dtype))


def nominal_high(greatest: int) -> int:
    """Return the smallest 2^k - 1, k from 8, that is not below the greatest value."""
    return int(max(255, 2 ** int(greatest).bit_length() - 1))


def number(value: float) -> str:
    """Write a number in full, as short as it can be: `4095`, `0.25`."""
    return str(int(value)) if float(value).is_integer() else repr(float(value))


def outward(low: float, high: float) -> tuple[float, float]:
    """Round a range outwards to four digits of its width, so that it can be typed; of one value, up to the next one."""
    high = high if high > low else low + 1
    digits = 3 - math.floor(math.log10(high - low))
    unit = 10.0**digits
    return round(math.floor(low * unit) / unit, max(0, digits)), round(math.ceil(high * unit) / unit, max(0, digits))


def like(dtype: np.dtype, low: float, high: float) -> str:
    """Write a range for images of some values: the nominal one of integers from 0, [0,1] of floats within it.

    Of others, the values that there are.
    """
    if dtype.kind in "iu" and low >= 0:
        return as_typed(0, nominal_high(int(high)))
    if dtype.kind == "f" and low >= 0 and high <= 1:
        return as_typed(0, 1)
    return as_typed(*outward(low, high))


def as_typed(low: float, high: float) -> str:
    """Write a range as it is typed: `[0,4095]`."""
    return f"[{number(low)},{number(high)}]"


def _scaled(values: np.ndarray, low: float, high: float) -> np.ndarray:
    scaled = np.floor((values.astype(np.float64) - low) * 255 / (high - low) + 0.5)
    return np.clip(scaled, 0, 255).astype(np.uint8)


@lru_cache(maxsize=8)
def _table(dtype: str, low: float, high: float) -> np.ndarray:
    """Every value of a type, scaled."""
    return _scaled(np.arange(np.iinfo(dtype).max + 1), low, high)
