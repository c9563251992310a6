"""Class maps and instance maps of any sizes in one file, lossless and packed: a zip archive of PNG files."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np

from medseg.errors import DataError

FASTEST = [cv2.IMWRITE_PNG_COMPRESSION, 1]


def encode_mask(mask: np.ndarray) -> bytes:
    """Pack a map, H x W of integers from 0 to 65535."""
    map_ = mask if mask.dtype == np.uint8 else mask.astype(np.uint16)
    done, content = cv2.imencode(".png", map_, FASTEST)
    assert done
    return content.tobytes()


def decode_mask(content: bytes) -> np.ndarray:
    """Unpack a map, H x W uint8 or uint16. Raises `ValueError` for what is none."""
    mask = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    if mask is None or mask.ndim != 2:
        raise ValueError("not a packed mask")
    return mask


class MaskArchive:
    """A file of maps, read by their positions; from several threads, but not from forked processes.

    Raises `DataError` for a file or a map that is damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @cached_property
    def _archive(self) -> zipfile.ZipFile:
        try:
            return zipfile.ZipFile(self.path)
        except (OSError, zipfile.BadZipFile) as error:
            raise self._damaged(error) from None

    def __getitem__(self, index: int) -> np.ndarray:
        """Return a map, H x W uint8 or uint16."""
        try:
            return decode_mask(self._archive.read(f"{index}.png"))
        except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
            raise self._damaged(error) from None

    def _damaged(self, error: Exception) -> DataError:
        return DataError(f"{self.path}: damaged ({error}); delete the folder {self.path.parent} and prepare again")


class MaskArchiveWriter:
    """Writes packed maps, one after the other."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self.archive = archive

    def add(self, index: int, content: bytes) -> None:
        """Write what `encode_mask` returned under a position."""
        self.archive.writestr(
            zipfile.ZipInfo(f"{index}.png"), content
        )  # without the time: the same data, the same file


@contextmanager
def writing_masks(path: Path) -> Iterator[MaskArchiveWriter]:
    """Write a file of maps; PNG files are not packed again."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        yield MaskArchiveWriter(archive)
