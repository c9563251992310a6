"""A user's images: a folder, or a zip, of images and masks."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

import cv2
import numpy as np

from medseg.config.checks.data import DATA
from medseg.config.checks.kinds import check_arguments
from medseg.data.datasets.base import Dataset, IntensityRange, Listing, Sample, connected_components, groups_of
from medseg.data.datasets.folder_layout import LAYOUT, find_files
from medseg.data.datasets.folder_pixels import find_pixels
from medseg.data.datasets.label_census import MaskContent, read_values, take_census
from medseg.data.datasets.label_checks import check_described, note_on_inverted
from medseg.data.datasets.label_rules import Given, find_labels, refuse_lossy
from medseg.data.datasets.label_values import (
    Labels,
    above_zero,
    check_names,
    check_number,
    described_labels,
    ignored_spans,
    with_names,
)
from medseg.data.datasets.layout import check_size, value_list
from medseg.data.labels import IGNORE_INDEX
from medseg.data.pixel_format import PixelFormat
from medseg.data.sources.decode import decode_image
from medseg.data.sources.problems import Problem, SampleError
from medseg.data.sources.source import Source
from medseg.data.splits import SPLITS
from medseg.data.splits.random_splits import draw, members, random_split
from medseg.errors import ConfigError, DataError, count, is_or_are

log = logging.getLogger(__name__)


class Folder(Dataset):
    """Images in `images/`, masks in `masks/`, paired by name (see `folder_pairing`); subfolders are mirrored.

    Several masks of one image are united where they are binary; they are its objects, kept apart in `instances`.

    The values of the masks are described by `labels`, or by `foreground`; without, they are black and white of any two
    values or colours, or class indices, by the rules in `label_rules`. All masks are read once to find the values and
    the masks that do not fit.

    Splits: `own`, where the folder brings one (`train/`, `val/`, `test/` with `images/` and `masks/` in each, or inside
    `images/` and `masks/`; or `splits.csv` with the columns id,split), perhaps of some parts alone; with training but
    no validation images, a tenth of these are taken. `random`: 80/10/10. The default is `own` where there is one. Five
    folds.

    Groups (patients, videos): the column `group` of `splits.csv`, where there is one. No split may cut one.

    Args:
        class_names: names of the classes, the background first; numbered without.
        num_classes: number of classes with the background; from the masks without.
        labels: name of each class -> its value, range of values `"1-50"`, colour `"#ff0000"`, or a list of these. The
            class called `background` is class 0; without it, class 0 is every value that no class names.
        ignore: the value, range, colour or list of these of pixels that count nowhere.
        foreground: `above_zero` where every value but 0 is foreground, such as the numbers of objects.
        mask_pattern: of the names of masks, with `*` for the name of the image, such as `*_seg`; None: detected in the
            names.
        intensity_range: the stored values that become 0 and 255, [low, high], or `percentiles`; see
            `medseg.data.pixel_format`.

    Raises `ConfigError` for arguments that contradict each other and for names that are equal or cannot be printed.
    """

    name = "folder"
    title = "your images"
    source_option = "data.root"
    version = 6
    range_stated = True
    """Whether `intensity_range` is stated for these images; else it is that of a network's training."""

    def __init__(
        self,
        class_names: Sequence[str] | None = None,
        num_classes: int | None = None,
        labels: Mapping[str, Any] | None = None,
        ignore: Any = None,
        foreground: str | None = None,
        mask_pattern: str | None = None,
        intensity_range: IntensityRange = None,
    ) -> None:
        names = tuple(class_names) if class_names else None
        if names and num_classes not in (None, len(names)):
            raise ConfigError(f"num_classes={num_classes}, but class_names has {len(names)} names")
        check_arguments(DATA, "data.", foreground=foreground, mask_pattern=mask_pattern)
        self.mask_pattern = mask_pattern
        check_number(num_classes)
        self.given = Given(ignored_spans(ignore), len(names) if names else num_classes, names)
        self.described: Labels | None = None
        if labels is not None and foreground is not None:
            raise ConfigError(
                "data.labels and data.foreground both define what the values of masks mean; give one of them"
            )
        if labels is not None:
            self.described = with_names(described_labels(labels, self.given.ignored), names, num_classes)
        elif foreground is not None:
            self.described = with_names(above_zero(self.given.ignored, names), None, num_classes)
        check_names(self.described.names if self.described else names or ())
        self._labels = self.described
        stated = intensity_range
        self.intensity_range = stated if stated is None or isinstance(stated, str) else [float(each) for each in stated]
        self._pixels: PixelFormat | None = None

    @property
    def options(self) -> dict[str, object]:
        """All arguments change what a mask or a pixel means."""
        # As pairs: the order of the classes counts.
        described = list(self.described.describe().items()) if self.described else None
        return {
            "class_names": self.given.class_names,
            "num_classes": self.given.num_classes,
            "labels": described,
            "ignored": self.given.ignored,
            "mask_pattern": self.mask_pattern,
            "intensity_range": self.intensity_range,
        }

    def list_samples(self, source: Source) -> Listing:
        """Pair the files, read all masks to find the classes, and look at all images to find their pixel format."""
        files = find_files(source, self.mask_pattern)
        contents = take_census(source, sorted({file for masks in files.masks.values() for file in masks}))
        unusable = {file: content for file, content in contents.items() if isinstance(content, SampleError)}
        usable = {file: content for file, content in contents.items() if isinstance(content, MaskContent)}
        if 2 * len(unusable) > len(contents):
            first = next(iter(unusable.values()))
            raise DataError(
                f"{source.location}: {len(unusable)} of {len(contents)} masks cannot be used, first {first}"
            )
        if not usable:
            extra = next((one.file for one in files.problems if one.kind == "extra mask"), None)
            seen = f"{extra} has no image of its name" if extra else f"{files.problems[0].file} has none"
            raise DataError(f"{source.location}: no image has a mask ({seen}); expected is {LAYOUT}")
        labels = self._read_by(source, usable)
        note = "" if self.described else note_on_inverted(usable, labels)
        if note:
            log.warning("%s: %s", source.location, note)
        problems = files.problems.copy()
        samples = []
        groups = files.columns.get("group", {})
        for id_ in sorted(files.masks):
            split, group = files.splits.get(id_, ""), groups.get(id_, "")
            sample = Sample(id_, files.images[id_], files.masks[id_], split=split, group=group)
            problem = self._problem(sample, contents, labels)
            if problem is None:
                samples.append(sample)
            else:
                problems.append(problem)
        images = {sample.id: sample.image for sample in samples}
        self._pixels, others = find_pixels(
            source, images, self.intensity_range, source.location, stated=self.range_stated
        )
        united = sum(len(sample.masks) > 1 for sample in samples)
        if united:
            have = f"{united} images have" if united > 1 else "1 image has"
            log.info("%s: %s 2 or more masks, which are united", source.location, have)
        self.has_instances = labels.each_value_is_an_object or united > 0
        described = labels.describe() | ({"united": united} if united else {}) | ({"note": note} if note else {})
        return Listing(samples, labels.names, problems + others, described, self._pixels)

    def _read_by(self, source: Source, contents: Mapping[str, MaskContent]) -> Labels:
        """Return how the masks are read, as described or by the rules; logs what is not described."""
        if self.described is not None:
            self._labels = self.described
            refuse_lossy(source, contents, self.described.num_classes, self.described.ignored)
            check_described(source, contents, self.described)
        else:
            self._labels = find_labels(source, contents, self.given)
            log.info("%s: masks read as %s (%s)", source.location, self._labels.text, self._labels.rule)
        return self._labels

    @staticmethod
    def _problem(sample: Sample, contents: Mapping[str, MaskContent | SampleError], labels: Labels) -> Problem | None:
        """Return what keeps an image from being used, by its masks."""
        if len(sample.masks) > 1 and labels.num_classes > 2:
            several = f"{len(sample.masks)} masks of one image are united where they are binary"
            detail = f"{several}; these have {labels.num_classes} classes; {choose_one(sample.image, sample.masks[0])}"
            return Problem("unexpected label", sample.masks[1], detail, sample.id)
        for file in sample.masks:
            content = contents[file]
            if isinstance(content, SampleError):
                return Problem(content.kind, content.file, content.detail, sample.id)
            unexpected = [] if labels.grey_edges else labels.unexpected(content.counts)
            if unexpected:
                detail = f"{value_list(unexpected)}; the masks hold {labels.text}"
                return Problem("unexpected label", file, detail, sample.id)
        return None

    def read(self, source: Source, sample: Sample) -> tuple[np.ndarray, np.ndarray]:
        """Decode a pair and turn mask values into classes."""
        return self._read(source, sample, lambda values, classes: None)

    def read_with_instances(self, source: Source, sample: Sample) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Decode a pair; the instances are the values where every value but 0 is foreground, else regions of a mask."""
        found: list[np.ndarray] = []

        def add(values: np.ndarray, classes: np.ndarray) -> None:
            instances = found[0] if found else np.zeros(classes.shape, np.int32)
            found[:] = [instances]
            if self.labels(source).each_value_is_an_object:
                numbers, where = np.unique(np.where(classes == 1, values, 0), return_inverse=True)
                objects = where.reshape(classes.shape) + (numbers[0] != 0)
            else:
                objects = connected_components(classes)
            np.copyto(instances, objects + instances.max(), where=(objects > 0) & (instances == 0), casting="same_kind")

        return *self._read(source, sample, add), found[0]

    def _read(
        self, source: Source, sample: Sample, use: Callable[[np.ndarray, np.ndarray], None]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Decode a pair; `use` gets the values and the classes of each mask, one after the other."""
        if self._pixels is None:
            self.list_samples(source)
        assert self._pixels is not None
        image = decode_image(source.read(sample.image), sample.image, self._pixels)
        labels = self.labels(source)
        ignored, united = np.zeros(image.shape[:2], bool), np.zeros(image.shape[:2], np.uint8)
        for at, values in enumerate(self._values(source, sample, image)):
            class_map = labels.to_classes(values)
            use(values, class_map)
            if len(sample.masks) == 1:
                return image, class_map
            ignored |= class_map == IGNORE_INDEX
            one = (class_map == 1).astype(np.uint8)
            smaller = min(cv2.countNonZero(united), cv2.countNonZero(one))
            if at and 2 * cv2.countNonZero(cv2.bitwise_and(united, one)) > smaller:
                earlier = f"covers what {', '.join(sample.masks[:at])} cover: two readings of one object?"
                detail = f"{earlier} {choose_one(sample.image, sample.masks[0])}"
                raise SampleError("unexpected label", sample.masks[at], detail)
            united |= one
        united[ignored & (united == 0)] = IGNORE_INDEX
        return image, united

    def labels(self, source: Source) -> Labels:
        """Return how the values of masks become classes."""
        if self._labels is None:
            self.list_samples(source)
        assert self._labels is not None
        return self._labels

    def _values(self, source: Source, sample: Sample, image: np.ndarray) -> Iterator[np.ndarray]:
        """Yield the values of each mask of an image, black and white where masks have grey edges."""
        for file in sample.masks:
            values, lossy = read_values(source, file)
            if self.labels(source).grey_edges and not lossy:
                values = self.labels(source).without_grey(values, file)
            check_size(image, values, sample.image, file)
            yield values

    def columns(self, source: Source) -> dict[str, dict[str, str]]:
        """Return the columns of its splits.csv beside id and split."""
        return find_files(source, self.mask_pattern).columns

    def assign_splits(self, samples: Sequence[Sample], split: str | None, fold: int | None) -> dict[str, str]:
        """Take the split of the folder, or draw one."""
        ids = [sample.id for sample in samples]
        own = {sample.id: sample.split for sample in samples if sample.split}
        groups = groups_of(samples)
        if own and fold is None and split in (None, "own"):
            return _complete(own, ids, groups)
        return random_split(self.name, ids, split, fold, groups=groups, others=["own"] if own else [])


def choose_one(image: str, mask: str) -> str:
    """Tell how to choose one of several masks of an image: by the pattern of one of them, where its name has one."""
    stem, name = PurePosixPath(image).stem, PurePosixPath(mask).stem
    return f"choose one with 'data.mask_pattern={name.replace(stem, '*', 1)}'" if stem in name != stem else "keep one"


def _complete(own: dict[str, str], ids: Sequence[str], groups: dict[str, str]) -> dict[str, str]:
    """The split of the folder; a tenth of its training images for validation where it has none."""
    unassigned = [id_ for id_ in ids if id_ not in own]
    if unassigned:
        raise DataError(
            f"{count(len(unassigned), 'image')} {is_or_are(len(unassigned))} outside the train, val and test folders, "
            f"the first is '{unassigned[0]}'; move them, or use data.split=random"
        )
    parts = {group: sorted({own[id_] for id_ in of}, key=SPLITS.index) for group, of in members(groups).items()}
    cut = [group for group, several in parts.items() if len(several) > 1]
    if cut:
        raise DataError(
            f"the split of the folder cuts {len(cut)} of {len(parts)} groups, the first is '{cut[0]}' "
            f"({' and '.join(parts[cut[0]])}): scores would be too high; move their images, or use data.split=random, "
            "which cuts none"
        )
    train = [id_ for id_ in ids if own[id_] == "train"]
    units = len({groups.get(id_, id_) for id_ in train})
    if "val" not in own.values() and units > 1:
        tenth = max(1, round(len(train) / 10))
        drawn = draw(train, tenth, "folder/own/val", together=members(groups).values(), leave=1)
        own = own | dict.fromkeys(drawn, "val")
    return own
