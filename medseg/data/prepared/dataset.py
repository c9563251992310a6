"""Prepared data: decoded, resized images and class maps in memory-mapped files that all processes share."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from medseg.data.datasets.base import Dataset
from medseg.data.pixel_format import PixelFormat
from medseg.data.prepared.mask_archive import MaskArchive
from medseg.data.prepared.ragged import RaggedArray
from medseg.data.prepared.samples import as_samples, incomplete, mean_std, read_samples
from medseg.data.splits import SPLITS
from medseg.errors import DataError, as_bytes
from medseg.system.files import sync

NATIVE_MASKS, NATIVE_INSTANCES = "native_masks.zip", "native_instances.zip"
"""Files of the maps at native size; instances only where the dataset labels them."""

IMAGES, MASKS = "images.bin", "masks.bin"
"""Files of images and class maps that were prepared at their native size."""


class PreparedDataset:
    """A folder of prepared data, opened read-only.

    Args:
        folder: made by `medseg.data.prepared.prepare.prepare`.

    Attributes:
        samples: one row for each image, sorted by id.
        fingerprint: the content of `fingerprint.json`.

    Pickles as the folder's path alone: each process maps the arrays for itself and shares their pages.

    Raises `DataError` for a folder that is not complete.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.fingerprint = read_fingerprint(self.folder)
        self.samples = read_samples(self.folder / "samples.csv")
        if len(self.samples) != self.fingerprint["count"]:
            raise incomplete(self.folder, "samples.csv is cut short")

    @cached_property
    def images(self) -> np.ndarray | RaggedArray:
        """All images, N x H x W x C uint8, RGB, grey or other channels; read-only. H and W differ at native size."""
        if self.image_size is None:
            shapes = [(row.height, row.width, self.in_channels) for row in self.samples]
            return RaggedArray(self.folder / IMAGES, shapes)
        return np.load(self.folder / "images.npy", mmap_mode="r")

    @cached_property
    def masks(self) -> np.ndarray | RaggedArray:
        """All class maps, N x H x W uint8, 0 = background, 255 = to be ignored; read-only."""
        if self.image_size is None:
            return RaggedArray(self.folder / MASKS, [(row.height, row.width) for row in self.samples])
        return np.load(self.folder / "masks.npy", mmap_mode="r")

    @cached_property
    def native_masks(self) -> MaskArchive | RaggedArray:
        """All class maps at native size, by position: H x W uint8, 0 = background, 255 = to be ignored."""
        if isinstance(self.masks, RaggedArray):
            return self.masks
        return MaskArchive(self.folder / NATIVE_MASKS)

    @cached_property
    def native_instances(self) -> MaskArchive | None:
        """The dataset's objects at native size, by position: H x W integers, 0 = none; None where it has none."""
        path = self.folder / NATIVE_INSTANCES
        return MaskArchive(path) if path.exists() else None

    @cached_property
    def ids(self) -> list[str]:
        """The id of each image."""
        return [row.id for row in self.samples]

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes, the background first."""
        return tuple(self.fingerprint["class_names"])

    @property
    def labels(self) -> dict[str, Any]:
        """How mask values became classes; see `medseg.data.datasets.base.Listing`."""
        return dict(self.fingerprint.get("labels") or {})

    @property
    def num_classes(self) -> int:
        """Number of classes with the background."""
        return len(self.class_names)

    @property
    def in_channels(self) -> int:
        """3 for RGB, 1 for grey, or as many as the files have."""
        return int(self.fingerprint["in_channels"])

    @property
    def pixels(self) -> PixelFormat:
        """How the stored values of the files became 0..255."""
        return PixelFormat.from_dict(self.fingerprint["pixels"])

    @property
    def image_size(self) -> tuple[int, int] | None:
        """Height and width of the prepared images in pixels; None where each has its native size."""
        size = self.fingerprint["image_size"]
        return None if size is None else (int(size[0]), int(size[1]))

    @cached_property
    def classes_present(self) -> np.ndarray:
        """Whether each image has pixels of each class, N x num_classes bool, at the prepared size.

        Of two classes the table of images tells it; of more, every mask is read, once.
        """
        if self.num_classes == 2:
            foreground = np.array([row.foreground for row in self.samples])
            return np.stack([foreground < 1, foreground > 0], axis=1)
        counts = [np.bincount(mask.ravel(), minlength=256)[: self.num_classes] for mask in self.masks]  # 255: ignored
        return np.array(counts).reshape(-1, self.num_classes) > 0

    def split_indices(
        self,
        dataset: Dataset,
        split: str | None = None,
        fold: int | None = None,
        groups: Mapping[str, str] | None = None,
    ) -> dict[str, np.ndarray]:
        """Return the positions of the `train`, `val` and `test` images, each sorted, int64.

        Args:
            dataset: the dataset that was prepared.
            split: name of the split; None is the dataset's default; `all` has every image in the test part.
            fold: k of a k-fold cross-validation; goes before `split`.
            groups: id -> group that stays together where a split is drawn; those that the dataset knows without.

        Images that the split leaves out are in none of the three. Raises `DataError` where the split names an image
        that is missing and was not left out as bad, or does not know one; `ConfigError` for a split or fold that the
        dataset does not have.
        """
        groups = self.groups(dataset) if groups is None else groups
        samples = [replace(sample, group=groups.get(sample.id, "")) for sample in as_samples(self.samples)]
        if split == "all" and fold is None:
            assigned = dict.fromkeys(self.ids, "test")
        else:
            assigned = dataset.assign_splits(samples, split, fold)
        name = f"fold {fold}" if fold is not None else f"split '{split}'" if split is not None else "default split"
        present = set(self.ids)
        missing = sorted(set(assigned) - present - set(self.fingerprint["skipped"]))
        if missing:
            raise DataError(
                f"{self.title}: {first_few(missing)} of the {name} not in the data; is the archive complete? "
                "(a part of it can be used as data=folder)"
            )
        wrong = sorted({value for id, value in assigned.items() if id in present} - set(SPLITS))
        if wrong:
            raise DataError(f"{self.title}: the {name} has '{wrong[0]}' where only {', '.join(SPLITS)} are known")
        return {
            part: np.array([row.index for row in self.samples if assigned.get(row.id) == part], dtype=np.int64)
            for part in SPLITS
        }

    def groups(self, dataset: Dataset) -> dict[str, str]:
        """Map each id to the patient, video or other group that its image is of; empty where none is known."""
        return dataset.groups(as_samples(self.samples))

    def mean_std(self, indices: Iterable[int] | np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Return mean and standard deviation per channel of some images, of values in 0..1.

        Computed from the stored sums: no image is read.
        """
        return mean_std([self.samples[int(index)] for index in indices], self.image_size)

    @property
    def identity(self) -> str:
        """Hexadecimal digits that stand for the content: equal for equal images, masks and ids."""
        files = ("images.npy", "masks.npy") if self.image_size else (IMAGES, MASKS)
        sizes = [] if self.image_size else [f"{row.height} x {row.width}" for row in self.samples]
        parts = [*(self.fingerprint["sha256"][name] for name in files), *sizes, *self.ids]
        return hashlib.sha256(as_bytes("\n".join(parts))).hexdigest()[:16]

    @property
    def title(self) -> str:
        """Name of the dataset, for messages."""
        return str(self.fingerprint["title"])

    def __reduce__(self) -> tuple[type[PreparedDataset], tuple[Path]]:
        return PreparedDataset, (self.folder,)

    def __repr__(self) -> str:
        return f"PreparedDataset({str(self.folder)!r})"


def first_few(ids: Sequence[str], noun: str = "id") -> str:
    """Name the first three of some names, how many there are, and the verb that fits: `2 ids (a, b) are`."""
    some = ", ".join(ids[:3]) + (", ..." if len(ids) > 3 else "")
    return f"{len(ids)} {noun}{'s' if len(ids) > 1 else ''} ({some}) {'are' if len(ids) > 1 else 'is'}"


KEYS = frozenset({"count", "title", "class_names", "in_channels", "pixels", "image_size", "skipped"})
"""Keys of the fingerprint of prepared data beside the sizes of its files."""


def read_fingerprint(folder: Path, *, arrays: Sequence[str] = (), keys: frozenset[str] = KEYS) -> dict[str, Any]:
    """Read `fingerprint.json` and check that the arrays beside it have the size that it lists.

    Args:
        folder: of the fingerprint.
        arrays: files that must be among those it names; all that it names are checked where none is given.
        keys: that it must have.

    Raises `DataError` where anything is missing or cut short.
    """
    try:
        fingerprint = json.loads((folder / "fingerprint.json").read_text("utf-8", errors="surrogateescape"))
        for name in arrays or fingerprint["file_sizes"]:
            actual, size = (folder / name).stat().st_size, fingerprint["file_sizes"][name]
            if actual != size:
                raise incomplete(folder, f"{name} has {actual} bytes instead of {size}")
        missing = sorted(keys - set(fingerprint))
    except FileNotFoundError as error:
        raise incomplete(folder, f"{Path(error.filename).name} is missing") from None
    except OSError as error:
        raise DataError(f"{error.filename}: cannot be read ({error.strerror})") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise incomplete(folder, "fingerprint.json is damaged") from None
    if missing:
        raise incomplete(folder, f"fingerprint.json has no {', '.join(missing)}")
    return fingerprint


def is_complete(folder: Path, *, arrays: Sequence[str] = (), keys: frozenset[str] = KEYS) -> bool:
    """Tell whether a folder holds complete data; looks at sizes only. Arguments as for `read_fingerprint`."""
    try:
        read_fingerprint(folder, arrays=arrays, keys=keys)
    except DataError:
        return False
    return True


def write_fingerprint(folder: Path, fingerprint: Mapping[str, Any]) -> None:
    """Write `fingerprint.json`, which comes last: with it, the folder is complete."""
    file = folder / "fingerprint.json"
    text = json.dumps(fingerprint, indent=2, ensure_ascii=False, default=str)
    file.write_text(text + "\n", encoding="utf-8", errors="surrogateescape")
    sync(file)
