"""NumPy archives (.npz) of images, read one image at a time."""

from __future__ import annotations

import io
import math
import threading
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import IO

import numpy as np

from medseg.data.sources.source import Source, hash_lines
from medseg.data.sources.zips import READ_ERRORS, entry_fault, name_fault
from medseg.errors import DataError

RECENT = 64
"""Images of an array that are kept, for the threads that read neighbours of the one that came furthest."""

MAX_IMAGE = 64 * 2**20
"""Bytes that one image may have."""


class NpzSource(Source):
    """The uint8 arrays of an npz archive as files: `train_images/00000` is the first image of `train_images`.

    Each is a NumPy file (.npy) of one image. Arrays are compressed streams: an image is reached by unpacking those
    before it, once where they are read in order, and no more than a few are in memory. Nothing is ever unpickled.

    Args:
        path: the archive.
        checksum: its published one, where there is one; see `Archive.checksum`.

    Raises `DataError` for a file that is no npz archive or is damaged, and for an array whose declared size does not
    fit its shape or that has another type than uint8.
    """

    def __init__(self, path: str | Path, checksum: str | None = None) -> None:
        self.path = Path(path)
        self.checksum = checksum
        self.location = str(path)
        try:
            self._archive = zipfile.ZipFile(path)
        except OSError as error:
            raise DataError(f"{path}: cannot be read ({error.strerror or error})") from None
        except (*READ_ERRORS, NotImplementedError) as error:
            raise DataError(f"{path}: not an npz archive, or cut short ({error}); fetch it again") from None
        infos = self._archive.infolist()
        self.arrays = {info.filename.removesuffix(".npy"): _Array(self._archive, info, self.path) for info in infos}
        self.names = sorted(f"{name}/{index:05d}" for name, array in self.arrays.items() for index in range(len(array)))
        self.identity = hash_lines(sorted((info.filename, info.file_size, info.CRC) for info in infos))

    def read(self, name: str) -> bytes:
        """Return one image as the bytes of a .npy file; raises `DataError` for an unknown name and damage."""
        array, _, index = name.rpartition("/")
        if array not in self.arrays or not index.isdecimal() or int(index) >= len(self.arrays[array]):
            raise DataError(f"{self.path}: has no '{name}'")
        buffer = io.BytesIO()
        np.lib.format.write_array(buffer, self.arrays[array].image(int(index)), allow_pickle=False)
        return buffer.getvalue()

    @property
    def archives(self) -> list[tuple[Path, str | None]]:
        """The archive file with its published checksum."""
        return [(self.path, self.checksum)]


class _Array:
    """One array of an archive, N x H x W or N x H x W x C uint8, as a stream that goes back to its start if it must."""

    def __init__(self, archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path) -> None:
        self._archive, self._info, self._path = archive, info, path
        self._lock = threading.Lock()
        self._recent: OrderedDict[int, np.ndarray] = OrderedDict()
        fault = name_fault(info.orig_filename) or _entry_fault(info)
        if fault:
            raise DataError(f"{path}: refused, its member {info.orig_filename!r} {fault}")
        self._rewind()

    def __len__(self) -> int:
        return self.shape[0]

    def image(self, index: int) -> np.ndarray:
        """Return one image, H x W or H x W x C uint8."""
        with self._lock:
            if index in self._recent:
                return self._recent[index]
            if index < self._next:
                self._rewind()
            while self._next <= index:
                self._recent[self._next] = self._read_next()
                self._next += 1
                if len(self._recent) > RECENT:
                    self._recent.popitem(last=False)
            return self._recent[index]

    def _rewind(self) -> None:
        """Open the stream and read the shape, which is checked against the declared size before any image is read."""
        try:
            self._stream: IO[bytes] = self._archive.open(self._info)
            version = np.lib.format.read_magic(self._stream)
            reader = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}[version]
            self.shape, in_columns, dtype = reader(self._stream)
        except (*READ_ERRORS, OSError, KeyError, RuntimeError, NotImplementedError) as error:
            raise DataError(f"{self._path}: '{self._info.filename}' is no NumPy array, or damaged ({error})") from None
        if dtype != np.uint8 or in_columns or len(self.shape) not in (3, 4):
            order = " in column order" if in_columns else ""
            what = f"of {dtype}{order} and shape {self.shape}"
            raise DataError(f"{self._path}: '{self._info.filename}' is {what}; images of uint8 are expected")
        if math.prod(self.shape[1:]) > MAX_IMAGE:
            raise DataError(f"{self._path}: refused, '{self._info.filename}' has images of shape {self.shape[1:]}")
        if self._stream.tell() + math.prod(self.shape) != self._info.file_size:
            sizes = f"{self._info.file_size} bytes are declared for the shape {self.shape}"
            raise DataError(f"{self._path}: refused, '{self._info.filename}' is not what it declares: {sizes}")
        self._next = 0
        self._recent.clear()

    def _read_next(self) -> np.ndarray:
        size = math.prod(self.shape[1:])
        try:
            data = self._stream.read(size)
        except (*READ_ERRORS, OSError, RuntimeError) as error:
            data, reason = b"", f" ({error})"
        else:
            reason = ""
        if len(data) != size:
            raise DataError(f"{self._path}: '{self._info.filename}' is damaged{reason}; fetch the archive again")
        return np.frombuffer(data, np.uint8).reshape(self.shape[1:])


def _entry_fault(info: zipfile.ZipInfo) -> str | None:
    """What makes a member unacceptable; not its size, since masks compress better than limits for bombs allow."""
    fault = entry_fault(info)
    return None if fault and "unpack" in fault else fault
