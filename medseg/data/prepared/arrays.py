"""Write `.npy` files row by row, from several threads, onto disks that may be full."""

from __future__ import annotations

import hashlib
import io
import math
import os
from collections.abc import Sequence
from errno import EINVAL, ENOSYS, EOPNOTSUPP
from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike


class ArrayFile:
    """A `.npy` file that threads fill row by row, in any order.

    Its space is claimed at once, and rows are written rather than mapped: a full disk is then an error, not a signal
    that kills the process.

    Args:
        path: the file to be made.
        shape: of the array; the first axis is the rows.
        dtype: of its values.
    """

    def __init__(self, path: Path, shape: Sequence[int], dtype: DTypeLike = np.uint8) -> None:
        self.path = path
        self.shape = tuple(shape)
        self.dtype = np.dtype(dtype)
        self.row_size = math.prod(self.shape[1:]) * self.dtype.itemsize
        self._digest, self._hashed = hashlib.sha256(), 0
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o666)
        try:
            self._offset = self._write_header()
            reserve(self._file, self._offset + self.shape[0] * self.row_size)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> ArrayFile:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def write(self, index: int, row: np.ndarray) -> None:
        """Write one row, contiguous and of the file's dtype."""
        assert row.dtype == self.dtype
        write_all(self._file, row.reshape(-1).view(np.uint8).data, self._offset + index * self.row_size)

    def keep(self, indices: Sequence[int]) -> None:
        """Keep only some rows, given in ascending order, and move them together."""
        for target, index in enumerate(indices):
            if target != index:
                row = os.pread(self._file, self.row_size, self._offset + index * self.row_size)
                write_all(self._file, memoryview(row), self._offset + target * self.row_size)
        self.shape = (len(indices), *self.shape[1:])
        offset = self._write_header()
        assert offset == self._offset, "numpy leaves room in the header for every number of rows"
        os.ftruncate(self._file, self._offset + self.shape[0] * self.row_size)

    def hash_up_to(self, count: int) -> None:
        """Take the first `count` rows, all of them written, into the checksum.

        Called while further rows are made, it leaves `sha256` nothing to do at the end.
        """
        for index in range(self._hashed, count):
            self._digest.update(os.pread(self._file, self.row_size, self._offset + index * self.row_size))
        self._hashed = max(self._hashed, count)

    def sha256(self) -> str:
        """Return the SHA-256 of the whole file, all rows written, in hexadecimal."""
        self.hash_up_to(self.shape[0])
        return self._digest.hexdigest()

    def flush(self) -> None:
        """Have the disk write everything, so that a power cut cannot leave a complete-looking file of zeros."""
        os.fsync(self._file)

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def _write_header(self) -> int:
        header = io.BytesIO()
        description = {"descr": np.lib.format.dtype_to_descr(self.dtype), "fortran_order": False, "shape": self.shape}
        np.lib.format.write_array_header_1_0(header, description)
        self._digest, self._hashed = hashlib.sha256(header.getvalue()), 0
        write_all(self._file, memoryview(header.getvalue()), 0)
        return len(header.getvalue())


def reserve(file: int, size: int) -> None:
    """Claim the disk space of a file; raises `OSError` where the disk has none left."""
    try:
        os.posix_fallocate(file, 0, size)
    except AttributeError:
        os.ftruncate(file, size)
    except OSError as error:
        # Some file systems cannot claim space ahead; then writing fails.
        if error.errno not in (EINVAL, ENOSYS, EOPNOTSUPP):
            raise
        os.ftruncate(file, size)


def write_all(file: int, content: memoryview, offset: int) -> None:
    """Write bytes at a position, however many calls it takes."""
    while content:
        written = os.pwrite(file, content, offset)
        content, offset = content[written:], offset + written
