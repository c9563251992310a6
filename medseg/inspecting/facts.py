"""The statistics of prepared data: every image is read once, the rest comes from the fingerprint and the tables."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from medseg.data.module import SegmentationDataModule
from medseg.data.prepared.build import count_classes
from medseg.data.prepared.dataset import PreparedDataset
from medseg.data.prepared.duplicates import Duplicates, find_duplicates, thumbnail
from medseg.data.prepared.samples import Row
from medseg.data.prepared.threads import in_threads, thread_count
from medseg.data.sources.problems import Problem, read_problems

UNUSED = "not used"
"""Where an image is that the split leaves out."""

DEPEND_ON_SPLIT = ("duplicate image", "near-duplicate across splits")
"""Kinds of problems that are searched again in the split that is inspected."""


@dataclass(frozen=True)
class Facts:
    """Statistics of N images with C channels and K classes, the background first.

    Args:
        prepared: the images.
        indices: positions of each split.
        parts: split of each image, N; `UNUSED` where it is in none.
        shares: part of the pixels of each image that count that each class covers, N x K, 0..1.
        levels: how often each value occurs in each channel, C x 256.
        ignored: part of all pixels that count nowhere, 0..1.
        brightness: mean value of each image over its channels, N, 0..1.
        duplicates: pairs of images that show the same thing, both of them used by the split.
        problems: detected by the preparation; without duplicates, which depend on the split.
        groups: id -> patient, video or other group; empty where none is known.
    """

    prepared: PreparedDataset
    indices: Mapping[str, NDArray[np.int64]]
    parts: tuple[str, ...]
    shares: NDArray[np.float64]
    levels: NDArray[np.int64]
    ignored: float
    brightness: NDArray[np.float64]
    duplicates: tuple[Duplicates, ...]
    problems: tuple[Problem, ...]
    groups: Mapping[str, str]

    @property
    def rows(self) -> list[Row]:
        """The line of `samples.csv` of each image."""
        return self.prepared.samples

    @property
    def foreground(self) -> NDArray[np.float64]:
        """Part of each image that is not background, N, 0..1."""
        return 1 - self.shares[:, 0]

    @property
    def title(self) -> str:
        """Name of the dataset; of a user's images, that of their folder."""
        content = self.prepared.fingerprint
        name = Path(content["source"]).name if content["dataset"] == "folder" else ""
        return name or self.prepared.title

    @property
    def empty(self) -> NDArray[np.int64]:
        """Positions of the images without foreground."""
        return np.flatnonzero(self.shares[:, 0] == 1)

    @property
    def crossing(self) -> list[Duplicates]:
        """The duplicates that lie in different splits: the network is tested on what it was trained on."""
        return [pair for pair in self.duplicates if self.parts[pair.first] != self.parts[pair.second]]

    @property
    def types(self) -> dict[str, NDArray[np.int64]]:
        """Positions of each type of image that the dataset knows; nothing where it knows one only."""
        names = sorted({row.type for row in self.rows})
        if len(names) < 2:
            return {}
        return {name: np.array([row.index for row in self.rows if row.type == name]) for name in names}


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
    counted = 0

    def look(position: int) -> tuple[NDArray[np.int64], NDArray[np.int64], np.ndarray]:
        image, mask = np.asarray(prepared.images[position]), np.asarray(prepared.masks[position])
        values = [np.bincount(channel.ravel(), minlength=256) for channel in cv2.split(image)]
        return count_classes(mask, prepared.num_classes), np.stack(values), thumbnail(image)

    with closing(in_threads(look, len(prepared.ids), thread_count(None), "looking at every image")) as seen:
        for position, (pixels, values, small) in enumerate(seen):
            shares[position] = pixels / pixels.sum()
            counted += int(pixels.sum())
            levels += values
            thumbnails.append(small)
    sizes = np.array([row.pixels(prepared.image_size) for row in prepared.samples])
    pairs = find_duplicates(prepared.samples, thumbnails, parts)
    return Facts(
        prepared=prepared,
        indices=indices,
        parts=tuple(parts),
        shares=shares,
        levels=levels,
        ignored=1 - counted / sizes.sum(),
        brightness=np.array([np.mean(row.sums) for row in prepared.samples]) / (255 * sizes),
        duplicates=tuple(pair for pair in pairs if UNUSED not in (parts[pair.first], parts[pair.second])),
        problems=tuple(p for p in read_problems(prepared.folder / "problems.csv") if p.kind not in DEPEND_ON_SPLIT),
        groups=datamodule.groups,
    )
