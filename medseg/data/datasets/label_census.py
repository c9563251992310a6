"""What the masks of a folder hold, over all files: the values, how many pixels have each, and in how many masks."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import cv2
import numpy as np

from medseg.data.datasets.layout import threshold
from medseg.data.sources.decode import is_lossy
from medseg.data.sources.decode_masks import decode_values
from medseg.data.sources.problems import SampleError
from medseg.data.sources.source import Source

MOST_GREY = 0.001
"""Part of the pixels of a JPEG mask that can be within a grey area, and not at its border."""

MOST_READ_AGAIN = 20
"""Masks that are read again to see whether each value is one object."""


@dataclass(frozen=True)
class MaskContent:
    """What one mask file holds.

    Args:
        counts: value -> number of its pixels; of a lossily stored one, 0 and 255.
        lossy: whether it is a JPEG or a lossy WebP.
        even: part of the pixels that are neither 0 nor 255 that equal their right neighbour: high for areas of one
            value, low for shades of grey.
    """

    counts: Mapping[int, int]
    lossy: bool = False
    even: float = 1.0


def read_values(source: Source, file: str) -> tuple[np.ndarray, bool]:
    """Return the values of a mask, H x W integers, and whether it is stored lossily: it is then thresholded, 0 and 255.

    Raises `SampleError`.
    """
    data = source.read(file)
    values = decode_values(data, file)
    if not is_lossy(data):
        return values, False
    highest = int(values.max())
    if 0 < highest < 64:
        detail = f"values 0 to {highest} in a JPEG, which changes class indices; save the masks as PNG"
        raise SampleError("unexpected label", file, detail)
    # Edges are a pixel or two wide; what is wider was a separate class.
    grey = cv2.erode(cv2.inRange(values, 64, 191), np.ones((3, 3), np.uint8))
    if cv2.countNonZero(grey) > MOST_GREY * values.size:
        raise SampleError("unexpected label", file, "grey areas in a JPEG, which changes values; save the masks as PNG")
    return threshold(values, file) * np.uint8(255), True


def take_census(source: Source, files: Sequence[str]) -> dict[str, MaskContent | SampleError]:
    """Read all mask files: file -> what it holds, or why it cannot be used."""

    def look_at(file: str) -> MaskContent | SampleError:
        try:
            values, lossy = read_values(source, file)
        except SampleError as error:
            return error
        if values.dtype in (np.uint8, np.uint16):
            pixels = np.bincount(values.ravel())
            counts = {int(value): int(pixels[value]) for value in np.flatnonzero(pixels)}
        else:
            each, numbers = np.unique(values, return_counts=True)
            counts = dict(zip(each.tolist(), numbers.tolist(), strict=True))
        return MaskContent(counts, lossy, 1.0 if len(counts) < 3 else evenness(values))

    with ThreadPoolExecutor(os.cpu_count()) as pool:  # decoding leaves Python's lock
        return dict(zip(files, pool.map(look_at, files), strict=True))


def evenness(values: np.ndarray) -> float:
    """Return the part of the pixels that are neither 0 nor 255 that have the value of their right neighbour."""
    left, right = values[:, :-1], values[:, 1:]
    between = (left != 0) & (left != 255)
    return float(np.mean(left[between] == right[between])) if between.any() else 1.0


@dataclass(frozen=True)
class Census:
    """All masks together.

    Args:
        pixels: value -> part of all pixels, 0..1.
        masks: value -> number of masks that hold it.
        count: number of masks.
    """

    pixels: Mapping[int, float]
    masks: Mapping[int, int]
    count: int

    @classmethod
    def of(cls, contents: Sequence[MaskContent]) -> Census:
        """Add up what the masks hold."""
        pixels: Counter[int] = Counter()
        masks: Counter[int] = Counter()
        for content in contents:
            pixels.update(content.counts)
            masks.update(content.counts.keys())
        total = sum(pixels.values())
        return cls({value: number / total for value, number in sorted(pixels.items())}, masks, len(contents))


def each_value_is_one_object(source: Source, contents: Mapping[str, MaskContent]) -> bool:
    """Tell whether values 0, 1, 2, ... without a gap look like the numbers of objects rather than classes.

    They do where every mask holds 1 to n, with n from 3 up and different from mask to mask, and where each value of a
    mask is one connected region.
    """
    for content in contents.values():
        present = content.counts.keys() - {0}
        if present != set(range(1, len(present) + 1)):
            return False
    return one_region_each(source, contents)


def one_region_each(source: Source, contents: Mapping[str, MaskContent]) -> bool:
    """Tell whether masks hold different numbers of values beside 0, up to 3 or more, each one connected region."""
    numbers = {file: len(content.counts.keys() - {0}) for file, content in contents.items()}
    if max(numbers.values()) < 3 or len(set(numbers.values()) - {0}) < 3:
        return False
    regions = 0
    files = sorted(numbers, key=lambda file: -numbers[file])[:MOST_READ_AGAIN]
    for file in files:
        values, _ = read_values(source, file)
        for value in contents[file].counts.keys() - {0}:
            regions += cv2.connectedComponents(np.equal(values, value).astype(np.uint8), connectivity=8)[0] - 1
    return regions <= 1.05 * sum(numbers[file] for file in files)
