"""A user's own images: a folder, or a zip, of images and masks."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from medseg.data.datasets.base import Dataset, IntensityRange, Listing, Sample
from medseg.data.datasets.folder_layout import LAYOUT, find_files
from medseg.data.datasets.folder_pixels import find_pixels
from medseg.data.datasets.label_values import Labels, MaskValues, find_labels
from medseg.data.datasets.layout import check_size, threshold, value_list
from medseg.data.pixel_format import PixelFormat
from medseg.data.sources.decode import decode_image, decode_labels, is_lossy
from medseg.data.sources.problems import Problem, SampleError
from medseg.data.sources.source import Source
from medseg.data.splits import SPLITS
from medseg.data.splits.random_splits import draw, random_split
from medseg.errors import ConfigError, DataError


class Folder(Dataset):
    """Images in `images/`, masks in `masks/`, paired by name; subfolders are mirrored, endings may differ.

    Masks are black and white of any two values or class indices; the rules stand in `label_values`. All masks are read
    once to find the classes and the masks that do not fit.

    Splits: `own`, where the folder brings one (`train/`, `val/`, `test/` with `images/` and `masks/` in each, or inside
    `images/` and `masks/`; or `splits.csv` with the columns id,split); without validation images, a tenth of its
    training images are taken. `random`: 80/10/10. The default is `own` where there is one. Five folds.

    Groups (patients, videos): the column `group` of `splits.csv`, where there is one.

    Args:
        class_names: names of the classes, the background first; numbered without.
        num_classes: number of classes with the background; from the masks without.
        intensity_range: the stored values that become 0 and 255, [low, high], or `percentiles`; see
            `medseg.data.pixel_format`.
    """

    name = "folder"
    title = "your images"
    version = 3

    def __init__(
        self,
        class_names: Sequence[str] | None = None,
        num_classes: int | None = None,
        intensity_range: IntensityRange = None,
    ) -> None:
        self.class_names = tuple(class_names) if class_names else None
        if self.class_names and num_classes not in (None, len(self.class_names)):
            raise ConfigError(f"num_classes={num_classes}, but class_names has {len(self.class_names)} names")
        self.num_classes = len(self.class_names) if self.class_names else num_classes
        given = intensity_range
        self.intensity_range = given if given is None or isinstance(given, str) else [float(each) for each in given]
        self._labels: Labels | None = None
        self._pixels: PixelFormat | None = None

    @property
    def options(self) -> dict[str, object]:
        """All arguments change what a mask or a pixel means."""
        return {
            "class_names": self.class_names,
            "num_classes": self.num_classes,
            "intensity_range": self.intensity_range,
        }

    def list_samples(self, source: Source) -> Listing:
        """Pair the files, read all masks to find the classes, and look at all images to find their pixel format."""
        files = find_files(source)
        usable, problems = _scan(source, files.masks)
        if not usable:
            reason = problems[0] if problems else files.problems[0]
            raise DataError(
                f"{source.location}: no image has a usable mask ({reason.file}: {reason.kind}); expected is {LAYOUT}"
            )
        labels = find_labels(list(usable.values()), self.num_classes, source.location)
        for id_, mask in list(usable.items()):
            unexpected = labels.unexpected(mask)
            if unexpected:
                detail = f"{value_list(unexpected)}; the masks hold {value_list(labels.values)}"
                problems.append(Problem("unexpected label", files.masks[id_], detail, id_))
                del usable[id_]
        self._labels = labels
        images = {id_: files.images[id_] for id_ in sorted(usable)}
        self._pixels, other_channels = find_pixels(source, images, self.intensity_range, source.location)
        problems += other_channels
        samples = [
            Sample(i, files.images[i], (files.masks[i],), split=files.splits.get(i, ""), group=files.groups.get(i, ""))
            for i in sorted(usable)
        ]
        return Listing(samples, self.class_names or _names(labels), files.problems + problems, self._pixels)

    def read(self, source: Source, sample: Sample) -> tuple[np.ndarray, np.ndarray]:
        """Decode a pair and turn mask values into classes."""
        if self._labels is None or self._pixels is None:
            self.list_samples(source)
        assert self._labels is not None
        assert self._pixels is not None
        image = decode_image(source.read(sample.image), sample.image, self._pixels)
        (mask_file,) = sample.masks
        data = source.read(mask_file)
        labels = decode_labels(data, mask_file)
        check_size(image, labels, sample.image, mask_file)
        return image, threshold(labels, mask_file) if is_lossy(data) else self._labels.to_classes(labels)

    def assign_splits(self, samples: Sequence[Sample], split: str | None, fold: int | None) -> dict[str, str]:
        """Take the folder's own split, or draw one."""
        ids = [sample.id for sample in samples]
        own = {sample.id: sample.split for sample in samples if sample.split}
        if own and fold is None and split in (None, "own"):
            return _complete(own, ids)
        return random_split(self.name, ids, split, fold, others=["own"] if own else [])


def _scan(source: Source, masks: dict[str, str]) -> tuple[dict[str, MaskValues], list[Problem]]:
    """Read every mask: id -> what it holds; and the masks that cannot be used."""

    def look_at(file: str) -> MaskValues | SampleError:
        try:
            data = source.read(file)
            labels = decode_labels(data, file)
            lossy = is_lossy(data)
            if lossy:
                labels = threshold(labels, file)
        except SampleError as error:
            return error
        return MaskValues(frozenset(np.flatnonzero(np.bincount(labels.ravel())).tolist()), lossy)

    ids = sorted(masks)
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # decoding leaves Python's lock
        results = dict(zip(ids, pool.map(look_at, [masks[id_] for id_ in ids]), strict=True))
    problems = [
        Problem(result.kind, result.file, result.detail, id_)
        for id_, result in results.items()
        if isinstance(result, SampleError)
    ]
    return {id_: result for id_, result in results.items() if isinstance(result, MaskValues)}, problems


def _names(labels: Labels) -> tuple[str, ...]:
    if labels.num_classes == 2:
        return ("background", "foreground")
    return ("background", *(f"class {number}" for number in range(1, labels.num_classes)))


def _complete(own: dict[str, str], ids: Sequence[str]) -> dict[str, str]:
    """The folder's own split; a tenth of its training images for validation where it has none."""
    unassigned = [id_ for id_ in ids if id_ not in own]
    if unassigned:
        raise DataError(
            f"{len(unassigned)} images are outside the train, val and test folders, the first is '{unassigned[0]}'; "
            "move them, or use data.split=random"
        )
    train = [id_ for id_ in ids if own[id_] == "train"]
    if "val" not in own.values() and len(train) > 1:
        own = own | dict.fromkeys(draw(train, max(1, round(len(train) / 10)), "folder/own/val"), "val")
    for part in SPLITS:
        if part not in own.values():
            raise DataError(f"the folder's own split has no {part} images; add some, or use data.split=random")
    return own
