"""Look at all images of a folder once, and decide how their stored values become 0..255: see `pixel_format`.

Files of 8 bits are not unpacked for it, unless percentiles are asked for or a range that leaves some of them out.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from medseg.data.datasets.base import IntensityRange
from medseg.data.pixel_format import MAX_CHANNELS, SAMPLED, PixelFormat, as_typed, like, nominal_high, number, outward
from medseg.data.sources.problems import DARK, FEW, Problem
from medseg.data.sources.source import Source
from medseg.data.sources.stored import read_stored, stored_type
from medseg.errors import DataError, count
from medseg.system.process import available_cores

PERCENTILES = (0.5, 99.5)

USUAL = 99.9
"""Percentile of all values that the nominal range is compared with."""

GOLDEN = (math.sqrt(5) - 1) / 2
"""A number whose multiples by squares have fractions without a pattern."""

UINT8 = np.dtype(np.uint8)


@dataclass(frozen=True)
class Look:
    """What the pixels of one file are."""

    file: str
    dtype: np.dtype
    channels: int
    low: float
    high: float
    sample: np.ndarray
    """Some of its values, in one dimension."""
    missed: bool = False
    """Whether the range that is asked for misses it."""


def find_pixels(
    source: Source, images: Mapping[str, str], given: IntensityRange, where: str, *, stated: bool = True
) -> tuple[PixelFormat, list[Problem]]:
    """Return the pixel format of images, and the images that have other channels than most.

    Args:
        source: of the files.
        images: id -> file.
        given: `data.intensity_range`.
        where: the data, for messages.
        stated: for these images; else `given` is the range of a network's training.

    Images that cannot be read are passed over; reading them fails with the reason. Raises `DataError` where the range
    must be stated, where most images have more than `MAX_CHANNELS`, and where the range that is given misses most. Of
    a network's training it must miss none: those that it misses are problems.
    """
    asked = None if given is None or isinstance(given, str) else PixelFormat(1, float(given[0]), float(given[1]))

    def look(file: str) -> Look | None:
        try:
            return look_at(source.read(file), file, asked, unpack=given == "percentiles")
        except (DataError, OSError):
            return None

    with ThreadPoolExecutor(available_cores()) as pool:
        looks = dict(zip(images, pool.map(look, images.values()), strict=True))
    seen = {id_: each for id_, each in looks.items() if each is not None}
    if not seen:
        return PixelFormat(), []
    kinds = Counter("RGB or grey" if each.channels in (1, 3) else each.channels for each in seen.values())
    usual = kinds.most_common(1)[0][0]
    others = {
        id_: each
        for id_, each in seen.items()
        if ("RGB or grey" if each.channels in (1, 3) else each.channels) != usual
    }
    problems = [
        Problem("unreadable", each.file, f"{each.channels} channels, where most images have {usual}", id_)
        for id_, each in others.items()
    ]
    same = [each for id_, each in seen.items() if id_ not in others]
    channels = max(each.channels for each in same)
    if channels > MAX_CHANNELS:
        raise DataError(
            f"{where}: {same[0].file} has {same[0].channels} channels; an image can have up to {MAX_CHANNELS}, as the "
            "last of its axes"
        )
    low, high = _range(same, given, where)
    if asked is not None:
        problems += _missed({id_: each for id_, each in seen.items() if id_ not in others}, asked, where, stated)
    elif given is None:
        problems += _few(same)
    return PixelFormat(channels, low, high, tuple(sorted({str(each.dtype) for each in same}))), problems


def look_at(data: bytes, file: str, asked: PixelFormat | None = None, *, unpack: bool) -> Look | None:
    """Look at one file; None where it has no finite value. Raises `SampleError`."""
    dtype, channels = stored_type(data, file)
    if dtype == UINT8 and not unpack and (asked is None or asked.covers(dtype)):
        return Look(file, dtype, channels, 0, 255, np.zeros(0))
    values = read_stored(data, file).values.ravel()
    if dtype.kind == "f" and not np.isfinite(values).all():
        return None
    sample = values[positions(values.size)]
    missed = asked is not None and dtype.kind in "iuf" and asked.misses(values)
    return Look(file, dtype, channels, values.min().item(), values.max().item(), sample, missed)


def positions(size: int) -> np.ndarray:
    """Return the positions of `SAMPLED` values among `size`, or of all: one in each of as many equal stretches.

    With equal steps from one to the next, images of many sizes would be looked at in a few columns only, or in one
    channel. So it varies where in its stretch a position is; the same for images of one size, and without a stream of
    random numbers, which NumPy may change between its versions.
    """
    stretches = np.arange(min(size, SAMPLED))
    return ((stretches + stretches**2 * GOLDEN % 1) * size / len(stretches)).astype(np.int64)


def _missed(looks: Mapping[str, Look], asked: PixelFormat, where: str, stated: bool) -> list[Problem]:
    """Return the images that a network's range misses, or a note where all of them use a small part of it.

    Raises `DataError` where a range misses most.
    """
    missed = {id_: each for id_, each in looks.items() if each.missed}
    greatest = max(looks.values(), key=lambda each: each.high)
    if not missed:
        dark = not stated and all(asked.is_dark(each.dtype, each.high) for each in looks.values())
        typed = like(greatest.dtype, min(each.low for each in looks.values()), greatest.high)
        return [Problem(DARK, greatest.file, typed)] if dark else []
    low, high = min(each.low for each in looks.values()), max(each.high for each in looks.values())
    first = next(iter(missed.values()))
    advice = f"state which values are black and white here, such as data.intensity_range={like(first.dtype, low, high)}"
    of = f"data.intensity_range={asked.range}" if stated else f"{asked.range}, the range of the network's training"
    if 2 * len(missed) > len(looks):
        raise DataError(
            f"{where}: {len(missed)} of {len(looks)} images, such as {first.file}, have most of their values outside "
            f"of {of}; the images have {low:g} to {high:g}; {advice}"
        )
    if stated:
        return []
    return [
        Problem("unreadable", each.file, f"{each.low:g} to {each.high:g}, most values outside of {of}; {advice}", id_)
        for id_, each in missed.items()
    ]


def _few(looks: Sequence[Look]) -> list[Problem]:
    """Return a note where the nominal range is that of few pixels or of one image, at least twice that of the others.

    One image of three or fewer may well be like those to come.
    """
    large = sorted((each for each in looks if each.dtype != UINT8), key=lambda each: each.high)
    if not large:
        return []
    values = np.concatenate([each.sample for each in large])
    usual = nominal_high(math.ceil(np.percentile(values, USUAL)))
    if len(large) > 3:
        usual = min(usual, nominal_high(int(large[-2].high)))
    brighter = [each for each in large if each.high > usual]
    if not brighter:
        return []
    share = math.floor(1000 * np.count_nonzero(values <= usual) / values.size) / 10
    first = large[-1].file
    few = f"only {first} has more" if len(brighter) == 1 else f"{len(brighter)} images have more, {first} the most"
    detail = f"{share:g} % of the values are below {usual + 1}; {few}: data.intensity_range=[0,{usual}]"
    return [Problem(FEW, first, detail)]


def _range(looks: Sequence[Look], given: IntensityRange, where: str) -> tuple[float, float]:
    if given is not None and not isinstance(given, str):
        return float(given[0]), float(given[1])
    if given == "percentiles":
        return _percentiles(looks, where)
    small = [each for each in looks if each.dtype == UINT8]
    large = [each for each in looks if each.dtype != UINT8]
    if not large:
        return 0, 255
    low, high = min(each.low for each in large), max(each.high for each in large)
    types = " and ".join(sorted({str(each.dtype) for each in large}))
    whole = like(large[0].dtype, low, high)
    if low < 0 or any(each.dtype.kind == "f" for each in large):
        if low == high:
            raise DataError(f"{where}: every pixel of the {types} images is {number(low)}; there is nothing to see")
        raise DataError(
            f"{where}: {types} images, such as {large[0].file}, with values from {low:g} to {high:g}; state which "
            f"values become black and white: data.intensity_range={whole} or "
            "data.intensity_range=percentiles"
        )
    if small and high > 255:
        raise DataError(
            f"{where}: {count(len(small), 'image')} of 8 bits, such as {small[0].file}, beside {len(large)} of {types} "
            f"with values up to {number(high)}, such as {large[0].file}; where one value is equally bright in both, "
            f"give data.intensity_range={as_typed(0, nominal_high(int(high)))}, else save all with the same bits"
        )
    return 0, nominal_high(int(high))


def _percentiles(looks: Sequence[Look], where: str) -> tuple[float, float]:
    values = np.concatenate([each.sample.astype(np.float64) for each in looks])
    low, high = (float(each) for each in np.percentile(values, PERCENTILES))
    if low == high:
        raise DataError(
            f"{where}: data.intensity_range=percentiles gives {low:g} twice; state the range, as [low,high]"
        )
    return outward(low, high)
