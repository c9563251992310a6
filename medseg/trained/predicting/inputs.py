"""The images to predict: which files are meant, what their outputs are called, and their pixels."""

from __future__ import annotations

import glob
import os
import re
import stat
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from medseg.data.datasets.folder_layout import EXTENSIONS
from medseg.data.sources.decode import decode_image, scale_to_8_bits
from medseg.data.sources.problems import SampleError
from medseg.errors import UserError

LARGE = 16_000_000
"""Pixels above which an image is large: its memory counts."""


@dataclass(frozen=True)
class Input:
    """An image to predict.

    Attributes:
        file: where it lies.
        image: its path below the folder that all images share, with `/`.
        name: what its outputs are called: the same without extension, unless another image would be called so too.
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
    """Find the images that a user means by a folder, a file, a pattern, or a list of these.

    Args:
        given: folders are searched with all below them; a pattern may hold `**`.
        leave_out: whether a folder is passed over, since its images are results of an earlier prediction. A folder
            that is given itself is not asked about.

    Raises `UserError` where nothing is found.
    """
    places = [given] if isinstance(given, str | Path) else list(given)
    if not places:
        raise UserError("input is an empty list; give a folder, a file or a pattern")
    roots, files, ignored = [], dict[Path, None](), Counter[str]()
    for place in places:
        root, found = _find(Path(os.path.abspath(Path(place).expanduser())), leave_out, ignored)  # noqa: PTH100
        roots.append(root)
        files |= dict.fromkeys(found)
    if not files:
        seen = f" (not known as images: {', '.join(sorted(ignored)[:5])})" if ignored else ""
        raise UserError(f"{', '.join(map(str, places))}: no images found{seen}")
    root = Path(os.path.commonpath(roots))
    names = {file: file.relative_to(root).as_posix() for file in files}
    called = output_names(names.values())
    images = [Input(file, image, called[image]) for file, image in names.items()]
    return Inputs(root, sorted(images, key=lambda image: image.image))


def _find(place: Path, leave_out: Callable[[Path], bool], ignored: Counter[str]) -> tuple[Path, list[Path]]:
    """Return the images of one folder, file or pattern, and the folder that stands for it."""
    if place.is_dir():
        return place, list(_below(place, leave_out, ignored))
    if is_special(place):
        raise UserError(f"{place}: a pipe or a device, no image file")
    if place.exists():
        return place.parent, [place]
    if not glob.has_magic(str(place)):
        raise UserError(f"{place}: no such file or folder")
    fixed, matches = matching(place)
    files: list[Path] = []
    for match in matches:
        between = match.relative_to(fixed).parts
        if any(leave_out(fixed.joinpath(*between[:depth])) for depth in range(1, len(between) + 1)):
            continue
        files += list(_below(match, leave_out, ignored)) if match.is_dir() else _known([match], ignored)
    return fixed, files


def matching(pattern: Path) -> tuple[Path, list[Path]]:
    """Return the folder before the first wildcard of a pattern, and what the pattern finds, sorted.

    That folder does not change when other files are found. What is hidden is not found.
    """
    fixed = next(parent for parent in pattern.parents if not glob.has_magic(str(parent)))
    found = fixed.glob(str(pattern.relative_to(fixed)))
    hidden = re.compile(r"(^|/)\.")
    return fixed, sorted(path for path in found if not hidden.search(path.relative_to(fixed).as_posix()))


def _below(folder: Path, leave_out: Callable[[Path], bool], ignored: Counter[str]) -> Iterator[Path]:
    for path, folders, files in os.walk(folder):
        here = Path(path)
        folders[:] = sorted(name for name in folders if not name.startswith(".") and not leave_out(here / name))
        yield from _known([here / name for name in files if not name.startswith(".")], ignored)


def _known(files: Sequence[Path], ignored: Counter[str]) -> list[Path]:
    """Return the files whose ending is that of an image; count the endings of the others."""
    known = [file for file in files if file.suffix.lower().lstrip(".") in EXTENSIONS and not is_special(file)]
    ignored.update(file.suffix or file.name for file in files if file not in known)
    return known


def is_special(file: Path) -> bool:
    """Tell whether a path is a pipe, a socket or a device, which to open may take for ever."""
    try:
        mode = file.stat().st_mode
    except OSError:  # said where its pixels are read
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def output_names(images: Iterable[str]) -> dict[str, str]:
    """Map each image to its path without extension; with it, where two would otherwise have one name."""
    called = {image: os.path.splitext(image)[0] for image in images}  # noqa: PTH122
    while True:
        count = Counter(name.lower() for name in called.values())  # some file systems do not tell a from A
        clashes = [image for image, name in called.items() if count[name.lower()] > 1 and name != image]
        if not clashes:
            return called
        called |= {image: image for image in clashes}


def is_large(file: Path) -> bool:
    """Tell whether an image has more than `LARGE` pixels; one that cannot be read has not."""
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(file) as header:
            return header.width * header.height > LARGE
    except Exception:  # Pillow raises many kinds, and what is wrong is said where the pixels are read
        return False


def read_image(file: Path) -> np.ndarray:
    """Read an image file as the datasets do: H x W x 3 uint8, RGB; see `medseg.data.sources.decode`.

    Raises `SampleError` for a file that cannot be read or decoded.
    """
    try:
        data = file.read_bytes()
    except OSError as error:
        raise SampleError("unreadable", str(file), error.strerror or str(error)) from None
    return decode_image(data, str(file))


def as_rgb(pixels: np.ndarray) -> np.ndarray:
    """Return an array as `decode_image` returns a file: H x W x 3 uint8 RGB; grey is repeated, alpha dropped.

    Args:
        pixels: H x W or H x W x (1, 3 or 4), uint8 or uint16; in colour RGB.

    Raises `UserError` for any other.
    """
    pixels = np.asarray(pixels)
    channels = pixels.shape[2] if pixels.ndim == 3 else 1
    if pixels.ndim not in (2, 3) or channels not in (1, 3, 4) or pixels.size == 0:
        raise UserError(f"an image has H x W or H x W x (1, 3 or 4) values; this array has {pixels.shape}")
    if channels == 4:
        pixels = pixels[:, :, :3]
    if pixels.dtype == np.uint16:
        pixels = scale_to_8_bits(pixels)
    if pixels.dtype != np.uint8:
        raise UserError(f"an image has uint8 values, 0 to 255, or uint16; this array has {pixels.dtype}")
    if channels == 1:
        return cv2.cvtColor(np.ascontiguousarray(pixels).reshape(pixels.shape[:2]), cv2.COLOR_GRAY2RGB)
    return np.ascontiguousarray(pixels)
