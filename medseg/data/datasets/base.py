"""The interface of a dataset: its archives, its samples, its masks, its splits.

Everything else (finding and verifying the files, decoding, resizing, caching, fingerprinting) is shared by all
datasets and lives in `medseg.data.prepared.prepare`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import cv2
import numpy as np

from medseg.data.labels import IGNORE_INDEX
from medseg.data.pixel_format import EIGHT_BITS, PixelFormat
from medseg.data.sources.problems import Problem
from medseg.data.sources.source import Archive, Source
from medseg.data.splits.random_splits import random_split
from medseg.data.splits.split_files import file_split, split_names

IntensityRange: TypeAlias = Sequence[float] | str | None

# What beside overlap and distances tells of objects of a kind, after Maier-Hein et al., Metrics reloaded, Nature
# Methods 21, 2024.
REGION = ("boundary_iou",)
"""One large region: the overlap hardly depends on its outline. The width of the boundary follows the size of the image:
that of the NSD is in pixels, which mean nothing where images of many sizes have no known spacing."""
THIN = ("nsd", "cldice")
"""Thin and branching: a pixel off is most of the overlap, and a gap hardly any of it."""
OBJECTS = ("ap", "pq", "aji")
"""Many objects to be counted and told apart: two that are joined overlap as well as two that are not."""


@dataclass(frozen=True)
class Sample:
    """One image with its mask files.

    Args:
        id: a unique name; it names files, so it has no '/'.
        image: name of the image file inside the source.
        masks: names of its mask files; several are the objects of one image.
        type: kind of image; drawn splits take each in proportion.
        split: `train`, `val` or `test` where the data assign it.
        group: the patient, video or other unit that images share; images of one group are not independent.

    The last three are empty where they are not known.
    """

    id: str
    image: str
    masks: tuple[str, ...] = ()
    type: str = ""
    split: str = ""
    group: str = ""


@dataclass(frozen=True)
class Listing:
    """The samples of a source, sorted by id, with the problems of the listing, and the names of the classes.

    `class_names[0]` is the background; `num_classes` is their number. `labels` describes how the values of masks become
    classes, in plain values: `{"background": [0], "disc": [128], "ignored": [255], "rule": "data.labels"}`, and
    `"united": 12` where so many images have several masks, `"note": "..."` on what looks wrong; empty where that is a
    fact of the dataset. `pixels` is how stored values become 0..255.
    """

    samples: list[Sample]
    class_names: tuple[str, ...]
    problems: list[Problem] = field(default_factory=list)
    labels: dict[str, object] = field(default_factory=dict)
    pixels: PixelFormat = EIGHT_BITS

    @property
    def num_classes(self) -> int:
        """Number of classes, the background included."""
        return len(self.class_names)


class Dataset(ABC):
    """A published dataset, or the user's images, as medseg sees it."""

    name: str
    """Short name: the cache folder and the split files are called after it."""
    title: str
    """The name people use, for messages."""
    archives: tuple[Archive, ...] = ()
    source_option: str = "data.source"
    """The option that names a folder or an archive with the data, for messages."""
    licence: str = ""
    citation: str = ""
    home: str = ""
    """The page that it is published on, where that is known."""
    images: str = ""
    """Number of images, for the table of datasets."""
    native_size: str = ""
    """Width x height of the images in pixels, for the same table."""
    classes: tuple[str, ...] = ()
    """Names of the classes, the background first; empty where they depend on the data."""
    default_split: str = "random"
    """The split that is taken where none is named."""
    version: int = 1
    """Raised when the meaning of `read` changes, so that older caches are not reused."""

    intensity_range: IntensityRange = None
    """`data.intensity_range`, for a dataset whose files can have any values: [low, high], `percentiles` or None."""

    has_instances: bool = False
    """Whether the dataset tells its objects apart itself, so that `instances` is more than connected regions."""

    scores: tuple[str, ...] = ()
    """The optional scores that fit its objects, measured where nothing else is chosen: `REGION`, `THIN`, `OBJECTS`."""

    @property
    def options(self) -> dict[str, object]:
        """Constructor arguments that change what `read` returns; part of the cache key."""
        return {}

    @abstractmethod
    def list_samples(self, source: Source) -> Listing:
        """List the samples of `source` in the published layout, with or without its top folder.

        A sample that cannot be made (an image without mask) is left out and listed in `problems`. Raises `DataError`
        where there is no sample at all.
        """

    @abstractmethod
    def read(self, source: Source, sample: Sample) -> tuple[np.ndarray, np.ndarray]:
        """Return the image, H x W x C uint8, and its class map, H x W uint8, both at native size and upright.

        C is 3, RGB with grey repeated, unless `Listing.pixels` has another number of channels than 1 and 3.

        Pixels of 255 in the class map count nowhere: in no loss, score, statistic or picture.

        Raises `SampleError`, a `DataError` with the file's name, for an unreadable file, a size mismatch or an
        unexpected label.
        """

    def instances(self, source: Source, sample: Sample) -> np.ndarray:
        """Return the instances of an image, H x W int32 at native size: 0 is background, else one number each.

        They are in its class map, and count where it is not `IGNORE_INDEX`.
        """
        return self.read_with_instances(source, sample)[2]

    def read_with_instances(self, source: Source, sample: Sample) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return what `read` and `instances` do, each file decoded once.

        Here the connected regions of each foreground class; a dataset that has a mask for every object does better.
        """
        image, class_map = self.read(source, sample)
        return image, class_map, connected_components(class_map)

    def assign_splits(self, samples: Sequence[Sample], split: str | None, fold: int | None) -> dict[str, str]:
        """Map each sample id to `train`, `val` or `test`.

        Args:
            samples: all samples of the prepared data, sorted by id; `group` is the one in use (`data.groups`), which
                nothing that is drawn cuts.
            split: the name of a split; None is the dataset's default.
            fold: k of a five-fold cross-validation (fold k is the test split); goes before `split`.

        Here by the dataset's split files where it has any, else 80/10/10 or five folds, drawn by id, each type in
        proportion and no group cut. An id that is missing in the result belongs to no part of that split and is not
        used (ISIC's official validation and test images in a split of its training images).

        Raises `ConfigError` for a split or fold that the dataset does not have.
        """
        ids = [sample.id for sample in samples]
        if split_names(self.name):
            return file_split(self.name, ids, split or self.default_split, fold)
        types = {sample.id: sample.type for sample in samples} if any(sample.type for sample in samples) else None
        return random_split(self.name, ids, split, fold, types=types, groups=groups_of(samples))

    def groups(self, samples: Sequence[Sample]) -> dict[str, str]:
        """Map each sample id to the patient, video or other group that its image is of; empty where none is known.

        Here `Sample.group`; an image without one among others that have one is a group by itself, named by its id.
        """
        return groups_of(samples)

    def columns(self, source: Source) -> dict[str, dict[str, str]]:
        """Return what a table of the user's tells of the images, for groups and subgroups: column -> id -> value.

        Here nothing: a published dataset has none.
        """
        return {}


def groups_of(samples: Sequence[Sample]) -> dict[str, str]:
    """Map each id to its group; empty where no sample has one, else a sample without one is a group by itself."""
    if not any(sample.group for sample in samples):
        return {}
    return {sample.id: sample.group or sample.id for sample in samples}


def connected_components(class_map: np.ndarray) -> np.ndarray:
    """Number the connected regions of every foreground class, H x W uint8 -> H x W int32, from 1; 0 is background.

    Ignored pixels (255) are of no instance. Pixels are connected along their edges, not across corners.
    """
    instances = np.zeros(class_map.shape, np.int32)
    total = 0
    for label in np.unique(class_map[(class_map > 0) & (class_map != IGNORE_INDEX)]):
        count, regions = cv2.connectedComponents((class_map == label).astype(np.uint8), connectivity=4)
        np.copyto(instances, regions + total, where=regions > 0)
        total += count - 1
    return instances
