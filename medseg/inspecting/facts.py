"""What is to be known of prepared data: every image looked at once, the rest from its fingerprint and its tables."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from medseg.data.module import SegmentationDataModule
from medseg.data.prepared.build import in_threads, thread_count
from medseg.data.prepared.dataset import SPLITS, PreparedDataset, Row
from medseg.data.prepared.problems import Problem
from medseg.data.splits.duplicates import exact_duplicates, near_duplicates, thumbnail

UNUSED = "not used"
"""Where an image is that the split leaves out."""

FOUND_AGAIN = ("duplicate image", "near-duplicate across splits")
"""Problems that depend on the split: they are looked for again in the split that is inspected."""


@dataclass(frozen=True)
class Twins:
    """Two images that show the same thing.

    Args:
        first, second: positions, first below second.
        same: whether the files are equal.
        correlation: of the details of their thumbnails; see `medseg.data.splits.duplicates`.
    """

    first: int
    second: int
    same: bool
    correlation: float


@dataclass(frozen=True)
class Facts:
    """What was found in N images with C channels of values and K classes, the background first.

    Args:
        prepared: the data.
        indices: positions of each split.
        parts: split of each image, N; `UNUSED` where it is in none.
        shares: part of each image that each class covers, N x K, 0..1.
        levels: how often each value occurs in each channel, C x 256.
        brightness: mean value of each image over its channels, N, 0..1.
        twins: images that show the same thing, if not both are left out by the split.
        problems: what preparing found, without duplicates.
    """

    prepared: PreparedDataset
    indices: Mapping[str, NDArray[np.int64]]
    parts: tuple[str, ...]
    shares: NDArray[np.float64]
    levels: NDArray[np.int64]
    brightness: NDArray[np.float64]
    twins: tuple[Twins, ...]
    problems: tuple[Problem, ...]

    @property
    def rows(self) -> list[Row]:
        """What `samples.csv` says of each image."""
        return self.prepared.samples

    @property
    def foreground(self) -> NDArray[np.float64]:
        """Part of each image that is not background, N, 0..1."""
        return 1 - self.shares[:, 0]

    @property
    def empty(self) -> NDArray[np.int64]:
        """Positions of the images without foreground."""
        return np.flatnonzero(self.shares[:, 0] == 1)

    @property
    def crossing(self) -> list[Twins]:
        """The twins that lie in different splits: what is learnt from one helps with the other."""
        return [twins for twins in self.twins if self.parts[twins.first] != self.parts[twins.second]]

    @property
    def types(self) -> dict[str, NDArray[np.int64]]:
        """Positions of each type of image that the dataset knows; nothing where it knows one only, or splits alone."""
        names = sorted({row.group for row in self.rows})
        if len(names) < 2 or set(names) <= {"", *SPLITS}:
            return {}
        return {name: np.array([row.index for row in self.rows if row.group == name]) for name in names}


def collect(datamodule: SegmentationDataModule) -> Facts:
    """Look at the data of a data module, which prepares them where that is not done yet."""
    prepared, indices = datamodule.prepared, datamodule.indices
    parts = [UNUSED] * len(prepared.ids)
    for part, positions in indices.items():
        for position in positions:
            parts[position] = part
    shares = np.zeros((len(prepared.ids), prepared.num_classes))
    levels = np.zeros((prepared.in_channels, 256), np.int64)
    thumbnails = []

    def look(position: int) -> tuple[NDArray[np.int64], NDArray[np.int64], np.ndarray]:
        image, mask = np.asarray(prepared.images[position]), np.asarray(prepared.masks[position])
        values = [np.bincount(channel.ravel(), minlength=256) for channel in cv2.split(image)]
        return np.bincount(mask.ravel(), minlength=prepared.num_classes), np.stack(values), thumbnail(image)

    with closing(in_threads(look, len(prepared.ids), thread_count(None), "looking at every image")) as seen:
        for position, (pixels, values, small) in enumerate(seen):
            shares[position] = pixels / pixels.sum()
            levels += values
            thumbnails.append(small)
    height, width = prepared.image_size
    return Facts(
        prepared=prepared,
        indices=indices,
        parts=tuple(parts),
        shares=shares,
        levels=levels,
        brightness=np.array([np.mean(row.sums) / (height * width * 255) for row in prepared.samples]),
        twins=tuple(find_twins(prepared.samples, np.stack(thumbnails), parts)),
        problems=tuple(p for p in read_problems(prepared.folder / "problems.csv") if p.kind not in FOUND_AGAIN),
    )


def find_twins(rows: list[Row], thumbnails: np.ndarray, parts: list[str]) -> list[Twins]:
    """Find equal files, and images of different splits that show the same thing."""
    found = []
    for group in exact_duplicates([row.sha256 for row in rows]):
        found += [Twins(group[0], other, True, 1.0) for other in group[1:]]
    for first, second, correlation in near_duplicates([row.dhash for row in rows], thumbnails, parts):
        if rows[first].sha256 != rows[second].sha256:
            found.append(Twins(first, second, False, correlation))
    return [twins for twins in found if UNUSED not in (parts[twins.first], parts[twins.second])]


def read_problems(path: Path) -> list[Problem]:
    """Read what `medseg.data.prepared.problems.write_problems` has written."""
    with path.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        return [Problem(row["kind"], row["file"], row["detail"], row["sample"]) for row in csv.DictReader(file)]
