"""Find images that a dataset holds twice: identical files, and near-duplicates that leak from one split to another."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from medseg.data.prepared.samples import Row
from medseg.data.sources.problems import Problem

THUMBNAIL = 32
"""Side of the thumbnails that candidates are compared on, in pixels."""

MAX_DISTANCE = 10
MIN_CORRELATION = 0.85
MIN_BEYOND_AVERAGE = 0.75
"""A pair is a near-duplicate when at most 10 of the 64 hash bits differ, the details of its thumbnails correlate at
0.85 or more, and what these have beyond the average image does at 0.75 or more (a frame or a scale that is on every
image counts for nothing). Chosen by looking at every pair above 0.78 in Kvasir-SEG, ISIC 2018 and DSB 2018: the 5, 29
and 1 detected pairs show the same polyp, lesion or cell again, recoloured or shifted by a few pixels; nearly all others
show different ones."""

MIN_FOR_AVERAGE = 10
"""Images that an average takes, at least."""


@dataclass(frozen=True)
class Duplicates:
    """Two images that show the same thing.

    Args:
        first, second: positions, first below second.
        same: whether the files are equal.
        correlation: of the details of their thumbnails.
    """

    first: int
    second: int
    same: bool
    correlation: float

    def as_problem(self, rows: Sequence[Row], parts: Sequence[str]) -> Problem:
        """Report the pair as a problem of its second image; `parts` are the splits of all images."""
        first, second = rows[self.first], rows[self.second]
        how = "the same as" if self.same else f"like (correlation {self.correlation:.2f})"
        kind = "duplicate image" if self.same else "near-duplicate across splits"
        detail = f"in {parts[self.second]}, {how} {first.image} in {parts[self.first]}"
        return Problem(kind, second.image, detail, second.id)


def find_duplicates(rows: Sequence[Row], thumbnails: Sequence[np.ndarray], parts: Sequence[str]) -> list[Duplicates]:
    """Find identical images, and images of different splits that show the same thing.

    Args:
        rows: one for each image.
        thumbnails: the thumbnail of each image.
        parts: the split of each image.
    """
    pairs = []
    for group in exact_duplicates([row.sha256 for row in rows]):
        pairs += [Duplicates(group[0], other, True, 1.0) for other in group[1:]]
    for first, second, correlation in near_duplicates([row.dhash for row in rows], np.stack(thumbnails), parts):
        if rows[first].sha256 != rows[second].sha256:
            pairs.append(Duplicates(first, second, False, correlation))
    return pairs


def exact_duplicates(hashes: Sequence[str]) -> list[list[int]]:
    """Group the positions that share a hash; groups of two and more, in order of their first position."""
    groups: defaultdict[str, list[int]] = defaultdict(list)
    for position, value in enumerate(hashes):
        groups[value].append(position)
    return [group for group in groups.values() if len(group) > 1]


def difference_hash(image: np.ndarray) -> int:
    """Return the 64-bit difference hash (dHash) of an image, H x W x 1 or H x W x 3 uint8.

    Each bit tells whether a cell of an 8 x 9 grid is darker than its right neighbour.
    """
    cells = cv2.resize(grey(image), (9, 8), interpolation=cv2.INTER_AREA)
    return int.from_bytes(np.packbits(cells[:, 1:] > cells[:, :-1]).tobytes(), "big")


def thumbnail(image: np.ndarray) -> np.ndarray:
    """Shrink an image, H x W x 1 or H x W x 3 uint8, to a grey square, `THUMBNAIL` x `THUMBNAIL` uint8."""
    return cv2.resize(grey(image), (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA)


def grey(image: np.ndarray) -> np.ndarray:
    """Return the grey levels, H x W uint8, of an image with one or three channels."""
    return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) if image.shape[2] == 3 else image[:, :, 0]


def near_duplicates(
    hashes: Sequence[int], thumbnails: np.ndarray, splits: Sequence[str]
) -> list[tuple[int, int, float]]:
    """Find pairs of images of different splits that show the same thing.

    Args:
        hashes: difference hash of each image.
        thumbnails: N x `THUMBNAIL` x `THUMBNAIL` uint8.
        splits: the split of each image.

    Returns (position, later position, correlation), sorted by position. Images mirrored or rotated are not detected.
    """
    codes = np.asarray(hashes, dtype=np.uint64)
    numbers = np.unique(np.asarray(splits), return_inverse=True)[1]
    details = high_frequencies(thumbnails)
    average = details.mean(axis=0) if len(details) >= MIN_FOR_AVERAGE else 0
    whole, beyond = normalised(details), normalised(details - average)
    pairs: list[tuple[int, int, float]] = []
    for first in range(len(codes)):
        close = np.bitwise_count(codes[first + 1 :] ^ codes[first]) <= MAX_DISTANCE
        others = first + 1 + np.flatnonzero(close & (numbers[first + 1 :] != numbers[first]))
        correlations = whole[others] @ whole[first]
        alike = (correlations >= MIN_CORRELATION) & (beyond[others] @ beyond[first] >= MIN_BEYOND_AVERAGE)
        pairs += [
            (first, int(other), float(correlation))
            for other, correlation in zip(others[alike], correlations[alike], strict=True)
        ]
    return pairs


def high_frequencies(thumbnails: np.ndarray) -> np.ndarray:
    """Return what is left of thumbnails without their coarse shading, N x pixels float32.

    Coarse shading is what images of one device have in common: a dark rim, a bright centre.
    """
    details = np.empty((len(thumbnails), THUMBNAIL * THUMBNAIL), np.float32)
    for row, image in zip(details, thumbnails.astype(np.float32), strict=True):
        row[:] = (image - cv2.GaussianBlur(image, (0, 0), 3)).ravel()
    return details


def normalised(details: np.ndarray) -> np.ndarray:
    """Return rows with mean 0 and norm 1, so that a product of two is their correlation; flat rows become 0."""
    centred = details - details.mean(axis=1, keepdims=True)
    return centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-3)
