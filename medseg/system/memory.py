"""How the process's memory is allocated, and which errors mean that there is none left."""

from __future__ import annotations

import ctypes
import os
import sys

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
"""glibc's names for its settings, from malloc.h."""


def keep_freed_memory() -> bool:
    """Have the process keep the memory that it frees, instead of giving it back and asking for it again at once.

    glibc maps every large tensor afresh from the system, which then clears it page by page; on a CPU that takes as long
    as the arithmetic of a training step. The process's memory stays at its peak until it ends.

    Returns:
        whether it is so now: with glibc (Linux) only, and not where the environment already sets it
        (`MALLOC_MMAP_MAX_`, `MALLOC_TRIM_THRESHOLD_`).
    """
    if not sys.platform.startswith("linux") or {"MALLOC_MMAP_MAX_", "MALLOC_TRIM_THRESHOLD_"} & set(os.environ):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):  # another C library
        return False
    return bool(mallopt(_MMAP_MAX, 0)) and bool(mallopt(_TRIM_THRESHOLD, 2**31 - 1))


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an exception means that memory is short, of the machine or of a GPU.

    PyTorch has a class for a GPU's alone.
    """
    text = str(error).lower()
    words = ("out of memory", "can't allocate memory", "bad_alloc", "insufficient memory")
    return isinstance(error, MemoryError) or any(word in text for word in words)
