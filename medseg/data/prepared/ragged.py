"""Images of different sizes in one file of bytes, one after the other: written in order, read as an array is."""

from __future__ import annotations

import hashlib
import itertools
import math
import os
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np


class RaggedFile:
    """A file that takes uint8 arrays of any shapes; their shapes are kept elsewhere.

    Args:
        path: the file to be made.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("wb")
        self._digest = hashlib.sha256()

    def __enter__(self) -> RaggedFile:
        return self

    def __exit__(self, *exception: object) -> None:
        self._file.close()

    def append(self, row: np.ndarray) -> None:
        """Write the next array."""
        assert row.dtype == np.uint8
        content = np.ascontiguousarray(row).data
        self._file.write(content)
        self._digest.update(content)

    def sha256(self) -> str:
        """Return the SHA-256 of what was written, in hexadecimal."""
        return self._digest.hexdigest()

    def flush(self) -> None:
        """Have the disk write everything."""
        self._file.flush()
        os.fsync(self._file.fileno())


class RaggedArray:
    """Arrays of different shapes by their positions, uint8 and read-only; pickles as the path of their file.

    Processes that read the same file share its pages.

    Args:
        path: what `RaggedFile` wrote.
        shapes: of its arrays.
    """

    def __init__(self, path: Path, shapes: Sequence[tuple[int, ...]]) -> None:
        self.path, self.shapes = path, shapes
        self.ends = list(itertools.accumulate(map(math.prod, shapes)))

    @cached_property
    def _bytes(self) -> np.ndarray:
        return np.memmap(self.path, np.uint8, "r")

    def __len__(self) -> int:
        return len(self.shapes)

    def __getitem__(self, index: int) -> np.ndarray:
        """Return an array, as a view of the file."""
        shape, end = self.shapes[index], self.ends[index]
        return self._bytes[end - math.prod(shape) : end].reshape(shape)

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self[index] for index in range(len(self)))

    def __reduce__(self) -> tuple[type[RaggedArray], tuple[Path, Sequence[tuple[int, ...]]]]:
        return RaggedArray, (self.path, self.shapes)
