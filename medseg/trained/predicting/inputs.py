"""The images to predict: their files, the names of their outputs, and their pixels."""

from __future__ import annotations

import glob
import logging
import os
import re
import stat
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from medseg.data.datasets.folder_layout import without_masks
from medseg.data.datasets.splits_csv import EXTENSIONS
from medseg.data.pixel_format import PixelFormat, fits, like
from medseg.data.prepared.dataset import first_few
from medseg.data.sources.decode import to_image
from medseg.data.sources.problems import DARK, SampleError, note
from medseg.data.sources.stored import Stored, read_stored
from medseg.errors import UserError

log = logging.getLogger(__name__)

LARGE = 16_000_000
"""Pixels above which an image is large: its memory counts."""


@dataclass(frozen=True)
class Input:
    """An image to predict.

    Attributes:
        file: its path.
        image: its path below the folder that all images share, with `/`.
        name: of its outputs: the same without extension, unless another image would have that name too.
    """

    file: Path
    image: str
    name: str


@dataclass(frozen=True)
class Inputs:
    """The images to predict, sorted by `image`, and the folder that they share."""

    root: Path
    images: list[Input]


def find_inputs(given: str | Path | Sequence[str | Path], *, leave_out: Callable[[Path], bool]) -> Inputs:
    """Find the images of a folder, a file, a pattern, or a list of these.

    Args:
        given: folders are searched with all below them, but for their masks; a pattern may hold `**`.
        leave_out: whether a folder is passed over, since its images are results of an earlier prediction. A folder
            that is given itself is not passed over.

    Raises `UserError` where there is none.
    """
    paths = [given] if isinstance(given, str | Path) else list(given)
    if not paths:
        raise UserError("input is an empty list; give a folder, a file or a pattern")
    roots, files, ignored = [], dict[Path, None](), set[str]()
    for path in paths:
        absolute = Path(os.path.abspath(Path(path).expanduser()))  # noqa: PTH100
        root, candidates = _list_files(absolute, leave_out)
        known = []
        for file in candidates:
            if file == root or (file.suffix.lower().lstrip(".") in EXTENSIONS and not is_special(file)):
                known.append(file)
            else:
                ignored.add(file.suffix or file.name)
        if root == absolute and root.is_dir():
            root, known = _without_masks(root, known)
        roots.append(root)
        files |= dict.fromkeys(known)
    if not files:
        others = f" (not known as images: {', '.join(sorted(ignored)[:5])})" if ignored else ""
        raise UserError(f"{', '.join(map(str, paths))}: no images found{others}")
    root = Path(os.path.commonpath([root.parent if root in files else root for root in roots]))
    images = {file: file.relative_to(root).as_posix() for file in files}
    names = output_names(images.values())
    inputs = [Input(file, image, names[image]) for file, image in images.items()]
    return Inputs(root, sorted(inputs, key=lambda each: each.image))


def _list_files(path: Path, leave_out: Callable[[Path], bool]) -> tuple[Path, list[Path]]:
    """Return the files of a folder, a file or a pattern, and the folder, the file or the folder of `matching`."""
    if path.is_dir():
        return path, list(_below(path, leave_out))
    if is_special(path):
        raise UserError(f"{path}: a pipe or a device, no image file")
    if path.exists():
        return path, [path]
    if not glob.has_magic(str(path)):
        raise UserError(f"{path}: no such file or folder")
    fixed, matches = matching(path)
    files: list[Path] = []
    for match in matches:
        between = match.relative_to(fixed).parts
        if not any(leave_out(fixed.joinpath(*between[:depth])) for depth in range(1, len(between) + 1)):
            files += _below(match, leave_out) if match.is_dir() else [match]
    return fixed, files


def _without_masks(folder: Path, files: Sequence[Path]) -> tuple[Path, list[Path]]:
    """Return the files of a folder that are no masks, and the folder that all of them are in."""
    names = {file.relative_to(folder).as_posix(): file for file in files}
    kept, inner = without_masks([*names])
    left_out = sorted(names.keys() - {*kept})
    if left_out:
        log.info("%s: %s left out: masks, or beside images", folder, first_few(left_out, "file"))
    return folder / inner, [names[name] for name in kept]


def matching(pattern: Path) -> tuple[Path, list[Path]]:
    """Return the deepest folder above a pattern that exists as it is written, and the paths that match, sorted.

    Wildcards are what is below that folder, whose name may have brackets. It does not depend on the matches. Hidden
    files and folders below it do not match.
    """
    fixed = next(parent for parent in pattern.parents if parent.is_dir())
    hidden = re.compile(r"(^|/)\.")
    matches = fixed.glob(str(pattern.relative_to(fixed)))
    return fixed, sorted(path for path in matches if not hidden.search(path.relative_to(fixed).as_posix()))


def _below(folder: Path, leave_out: Callable[[Path], bool]) -> Iterator[Path]:
    for path, folders, files in os.walk(folder):
        here = Path(path)
        folders[:] = sorted(name for name in folders if not name.startswith(".") and not leave_out(here / name))
        yield from (here / name for name in files if not name.startswith("."))


def is_special(file: Path) -> bool:
    """Tell whether a path is a pipe, a socket or a device, which to open may take for ever."""
    try:
        mode = file.stat().st_mode
    except OSError:  # reading its pixels fails with the reason
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def output_names(images: Iterable[str]) -> dict[str, str]:
    """Map each image to its path without extension; with it, where two would otherwise have one name."""
    names = {image: os.path.splitext(image)[0] for image in images}  # noqa: PTH122
    while True:
        count = Counter(name.lower() for name in names.values())  # on some file systems a and A are one file
        clashes = [image for image, name in names.items() if count[name.lower()] > 1 and name != image]
        if not clashes:
            return names
        names |= {image: image for image in clashes}


def is_large(file: Path) -> bool:
    """Tell whether an image has more than `LARGE` pixels; one that cannot be read has not."""
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(file) as header:
            return header.width * header.height > LARGE
    except Exception:  # Pillow raises many kinds; reading the pixels fails with the reason
        return False


def read_image(file: Path, pixels: PixelFormat, *, stated: bool = False) -> np.ndarray:
    """Read an image file as the files of the training were read: H x W x C uint8, upright.

    Args:
        file: in any format that datasets are read in.
        pixels: of the training; C is 3, RGB with grey repeated, unless it has another number of channels than 1 and 3.
        stated: the user states the range of `pixels` for these files, whatever their values are.

    Raises `SampleError` for a file that cannot be read or decoded, or whose values are on another scale than those of
    the training.
    """
    try:
        data = file.read_bytes()
    except OSError as error:
        raise SampleError("unreadable", str(file), error.strerror or str(error)) from None
    return on_scale(read_stored(data, str(file)), str(file), pixels, stated=stated)


def on_scale(stored: Stored, name: str, pixels: PixelFormat, *, stated: bool) -> np.ndarray:
    """Return the pixels of an image as `read_image` does, or raise `SampleError`."""
    values = stored.values
    trained = (
        f"the network was trained on {' and '.join(pixels.stored)} images, in which {pixels.range} became 0 to 255"
    )
    if not fits(stored.channels, pixels.channels):
        detail = f"{stored.channels} channels; the network was trained on images of {pixels.channels}"
        raise SampleError("unreadable", name, detail)
    if not stated and values.dtype.kind in "iuf" and np.isfinite(values).all():
        low, high = values.min().item(), values.max().item()
        advice = f"state which values are black and white here, such as intensity_range={like(values.dtype, low, high)}"
        if not pixels.takes(values.dtype):
            raise SampleError("unreadable", name, f"{values.dtype} pixels, {low:g} to {high:g}; {trained}; {advice}")
        if pixels.misses(values):
            detail = f"values from {low:g} to {high:g}, most of them outside; {trained}; {advice}"
            raise SampleError("unreadable", name, detail)
        if pixels.is_dark(values.dtype, high):
            note(DARK, name, like(values.dtype, low, high))
    if values.dtype.kind not in "iuf":
        raise SampleError("unreadable", name, f"{values.dtype} pixels are no image; give numbers")
    return to_image(stored, name, pixels)


def read_array(array: np.ndarray, pixels: PixelFormat, *, stated: bool = False) -> np.ndarray:
    """Return an array as `read_image` returns a file.

    Args:
        array: H x W or H x W x C, integers or floats, on the scale of the files of the training; in colour RGB;
            alpha behind RGB is left out.
        pixels, stated: as for `read_image`.

    Raises `UserError` for any other.
    """
    values = np.asarray(array)
    channels = values.shape[2] if values.ndim == 3 else 1
    with_alpha = channels == 4 and pixels.channels in (1, 3)
    if values.ndim not in (2, 3) or values.size == 0 or not (with_alpha or fits(channels, pixels.channels)):
        wanted = "1, 3 or 4" if pixels.channels in (1, 3) else str(pixels.channels)
        either = "H x W or " if pixels.channels in (1, 3) else ""
        raise UserError(f"an image has {either}H x W x ({wanted}) values; this array has {values.shape}")
    if with_alpha:
        values = values[:, :, :3]
    stored = Stored(np.ascontiguousarray(values[:, :, 0] if values.ndim == 3 and channels == 1 else values))
    try:
        return on_scale(stored, "the array", pixels, stated=stated)
    except SampleError as error:
        raise UserError(f"the array has {error.detail}") from None
