"""Decode, check, resize and measure every sample of a dataset once, and write the arrays and the native masks."""

from __future__ import annotations

import hashlib
from collections import Counter
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np

from medseg.data.datasets.base import Dataset, Listing, Sample
from medseg.data.datasets.layout import check_size
from medseg.data.labels import IGNORE_INDEX
from medseg.data.prepared.arrays import ArrayFile
from medseg.data.prepared.dataset import IMAGES, MASKS, NATIVE_INSTANCES, NATIVE_MASKS
from medseg.data.prepared.duplicates import difference_hash, thumbnail
from medseg.data.prepared.mask_archive import encode_mask, writing_masks
from medseg.data.prepared.ragged import RaggedFile
from medseg.data.prepared.resize import resize_image, resize_mask, with_channels
from medseg.data.prepared.restore import reachable_dice
from medseg.data.prepared.samples import Row
from medseg.data.prepared.threads import in_threads
from medseg.data.sources.problems import OPAQUE, Problem, SampleError, collected_notes
from medseg.data.sources.source import Source
from medseg.errors import DataError
from medseg.system.files import sync

FLUSH_EVERY = 128
"""Images after which the disk is made to write what there is."""


@dataclass(frozen=True)
class Measured:
    """The measurements of one sample that stay in memory."""

    row: Row
    thumbnail: np.ndarray
    class_pixels: np.ndarray
    problems: list[Problem]
    native: list[bytes]
    """Packed class map and, where the dataset labels instances, instance map, both at native size."""
    pixels: tuple[np.ndarray, np.ndarray] | None
    """Image and class map, where they stay at native size: they are written in order."""


@dataclass
class Result:
    """The rows and statistics of all samples of a dataset."""

    rows: list[Row] = field(default_factory=list)
    thumbnails: list[np.ndarray] = field(default_factory=list)
    class_pixels: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    """Prepared pixels of each class over all samples."""
    problems: list[Problem] = field(default_factory=list)
    opaque_alpha: int = 0
    """Images with an alpha channel that is opaque everywhere, which is left out."""
    sha256: dict[str, str] = field(default_factory=dict)
    """Of each array file, by its name."""
    files: list[str] = field(default_factory=list)
    """Names of all that was written."""


def build_arrays(
    dataset: Dataset,
    source: Source,
    listing: Listing,
    folder: Path,
    size: tuple[int, int] | None,
    channels: int,
    workers: int,
) -> Result:
    """Write the arrays, and the masks at native size, of all good samples into `folder`.

    Args:
        dataset: reads the samples.
        source: where its files are.
        listing: the samples, sorted by id.
        folder: an existing folder.
        size: height and width to resize to; the aspect ratio is not kept, as in most papers. None: images stay at
            their native size, and are written as `images.bin` and `masks.bin`.
        channels: 3 for RGB, 1 for grey, or those of the files.
        workers: threads that decode. Threads, since decoding, unpacking and hashing all leave the interpreter free:
            they cost nothing to start, whatever else is imported, and leave nothing behind when the process is killed.

    Returns the rows with their final positions, and every problem detected in a sample. Raises `OSError` where the
    arrays cannot be written: of a known size, all space is claimed before the first image is decoded.
    """
    count = len(listing.samples)
    shared = Counter(sample.image for sample in listing.samples)
    result = Result(class_pixels=np.zeros(listing.num_classes, np.int64))

    def work(index: int) -> Measured | Problem:
        sample = listing.samples[index]
        recorder = Recorder(source, sample.image)
        try:
            with collected_notes() as notes:
                image, mask, instances = read_checked(dataset, recorder, sample, listing.num_classes)
        except SampleError as error:
            return Problem(error.kind, error.file, error.detail, sample.id)
        except (DataError, OSError) as error:
            return Problem("unreadable", sample.image, str(error), sample.id)
        small, small_mask = with_channels(image, channels), mask
        if size is not None:
            small, small_mask = resize_image(small, size), resize_mask(small_mask, size)
        if (small_mask == IGNORE_INDEX).all():
            return Problem("unexpected label", sample.image, "every pixel is to be ignored as prepared", sample.id)
        if isinstance(images, ArrayFile) and isinstance(masks, ArrayFile):
            images.write(index, small)
            masks.write(index, small_mask)
        # Slices of one volume share a file: their pixels are hashed instead.
        digest = recorder.sha256 if shared[sample.image] == 1 else None
        measured = measure(
            sample, index, image, mask, small, small_mask, digest or hash_pixels(image), listing.num_classes
        )
        measured.problems[:0] = [replace(each, sample=sample.id) for each in notes]
        if size is not None:
            measured.native.append(encode_mask(mask))
        if instances is not None:
            measured.native.append(encode_mask(instances))
        return measured if size is not None else replace(measured, pixels=(small, small_mask))

    packed_files = [NATIVE_MASKS] if size is not None else []  # masks.bin is the same
    packed_files += [NATIVE_INSTANCES] if dataset.has_instances else []
    with ExitStack() as stack:
        images: ArrayFile | RaggedFile
        masks: ArrayFile | RaggedFile
        if size is None:
            images, masks = (stack.enter_context(RaggedFile(folder / name)) for name in (IMAGES, MASKS))
        else:
            images = stack.enter_context(ArrayFile(folder / "images.npy", (count, *size, channels)))
            masks = stack.enter_context(ArrayFile(folder / "masks.npy", (count, *size)))
        packed = [stack.enter_context(writing_masks(folder / name)) for name in packed_files]
        with closing(in_threads(work, count, workers, dataset.title)) as outcomes:
            for index, outcome in enumerate(outcomes):
                # Beside the threads that decode, not after them.
                for array in (images, masks):
                    if isinstance(array, ArrayFile):
                        array.hash_up_to(index)
                    if index % FLUSH_EVERY == 0:
                        array.flush()
                if isinstance(outcome, Problem):
                    result.problems.append(outcome)
                    continue
                for archive, content in zip(packed, outcome.native, strict=True):
                    archive.add(len(result.rows), content)
                for array, pixels in zip((images, masks), outcome.pixels or (), strict=False):
                    if isinstance(array, RaggedFile):
                        array.append(pixels)
                result.rows.append(outcome.row)
                result.thumbnails.append(outcome.thumbnail)
                result.class_pixels += outcome.class_pixels
                opaque = [each for each in outcome.problems if each.kind == OPAQUE]
                result.opaque_alpha += len(opaque)
                result.problems += [each for each in outcome.problems if each.kind != OPAQUE]
        if len(result.rows) < count:
            for array in (images, masks):
                if isinstance(array, ArrayFile):
                    array.keep([row.index for row in result.rows])
            result.rows = [replace(row, index=index) for index, row in enumerate(result.rows)]
        for array in (images, masks):
            array.flush()
            result.sha256[array.path.name] = array.sha256()
    for name in packed_files:
        sync(folder / name)
    result.files = [*result.sha256, *packed_files]
    return result


def read_checked(
    dataset: Dataset, source: Source, sample: Sample, num_classes: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Return a sample's image, class map and, where the dataset labels them, instances at native size.

    Raises `SampleError` where they do not fit. Nor does a class map fit that has 255, to be ignored, in all of its
    pixels.
    """
    if dataset.has_instances:
        image, mask, instances = dataset.read_with_instances(source, sample)
    else:
        (image, mask), instances = dataset.read(source, sample), None
    mask_file = sample.masks[0] if sample.masks else sample.image
    check_size(image, mask, sample.image, mask_file)
    highest = int(mask.max())
    if highest == IGNORE_INDEX:
        counted = mask[mask != IGNORE_INDEX]
        if not counted.size:
            raise SampleError("unexpected label", mask_file, "every pixel is to be ignored")
        highest = int(counted.max())
    if highest >= num_classes:
        raise SampleError("unexpected label", mask_file, f"label {highest} where there are {num_classes} classes")
    return image, mask, instances


def measure(
    sample: Sample,
    index: int,
    image: np.ndarray,
    mask: np.ndarray,
    small: np.ndarray,
    small_mask: np.ndarray,
    digest: str,
    num_classes: int,
) -> Measured:
    """Collect what is known of a sample: `image` and `mask` at native size, `small` and `small_mask` as prepared."""
    class_pixels = count_classes(small_mask, num_classes)
    counted = int(class_pixels.sum())
    foreground = counted - int(class_pixels[0])
    problems = []
    if foreground == 0:
        before = bool(np.any((mask != 0) & (mask != IGNORE_INDEX)))
        lost = f"its foreground is lost at {small.shape[0]} x {small.shape[1]}" if before else ""
        problems.append(Problem("empty mask", sample.masks[0] if sample.masks else sample.image, lost, sample.id))
    sums, square_sums = pixel_sums(small)
    row = Row(
        index=index,
        id=sample.id,
        image=sample.image,
        type=sample.type,
        split=sample.split,
        group=sample.group,
        height=image.shape[0],
        width=image.shape[1],
        foreground=foreground / max(counted, 1),
        reachable=reachable_dice(mask, small_mask, num_classes),
        sums=sums,
        square_sums=square_sums,
        sha256=digest,
        dhash=difference_hash(small),
    )
    return Measured(row, thumbnail(small), class_pixels, problems, [], None)


def count_classes(mask: np.ndarray, num_classes: int) -> np.ndarray:
    """Return the number of pixels of each class in a class map, int64; 255 is of none."""
    if num_classes > 16:
        return np.bincount(mask.ravel(), minlength=num_classes)[:num_classes]
    # np.bincount makes 64-bit integers of all pixels first: 0.27 ms for 256 x 256, where this takes 0.01 for a class.
    return np.array([np.count_nonzero(mask == label) for label in range(num_classes)])


def hash_pixels(image: np.ndarray) -> str:
    """Return the SHA-256 of an image's size and values."""
    return hashlib.sha256(f"{image.shape}".encode() + np.ascontiguousarray(image).tobytes()).hexdigest()


class Recorder(Source):
    """Passes a source on and keeps the SHA-256 of one file on its way, so that it is not read twice."""

    def __init__(self, source: Source, file: str) -> None:
        self.names = source.names
        self.identity = source.identity
        self.location = source.location
        self.sha256: str | None = None
        self._source = source
        self._file = file

    def read(self, name: str) -> bytes:
        """Return the bytes of one file."""
        content = self._source.read(name)
        if name == self._file:
            self.sha256 = hashlib.sha256(content).hexdigest()
        return content


def pixel_sums(image: np.ndarray) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the sum and the sum of squares of each channel of an image, H x W x C uint8; exact."""
    pixels = image.shape[0] * image.shape[1]
    # It takes four channels at the most.
    parts = [cv2.meanStdDev(image[:, :, first : first + 4]) for first in range(0, image.shape[2], 4)]
    mean, std = (np.concatenate(each) for each in zip(*parts, strict=True))
    # OpenCV adds up integers and divides in double precision; rounding gives the integers back.
    sums = np.rint(mean * pixels).ravel()
    square_sums = np.rint((std**2 + mean**2) * pixels).ravel()
    return tuple(int(value) for value in sums), tuple(int(value) for value in square_sums)
