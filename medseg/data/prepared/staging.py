"""Make files and folders that are there whole or not at all: locks, temporary places, and what disks answer."""

from __future__ import annotations

import errno
import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from medseg.errors import DataError
from medseg.system.locks import BusyError, held

log = logging.getLogger(__name__)


@contextmanager
def locked(path: Path, what: str) -> Iterator[None]:
    """Hold the lock file `path`; while another process has it, say that it is busy with `what`, and wait."""
    with held(path, f"is busy with {what}", wait=float("inf")):
        yield


@contextmanager
def writing(place: Path, needed: int | None = None) -> Iterator[None]:
    """Turn what the operating system says about a disk into one line."""
    try:
        yield
    except OSError as error:
        elsewhere = "choose another place with data_dir=DIR"
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            size = f" ({needed / 2**20:.0f} MiB are needed)" if needed else ""
            raise DataError(f"no space left for prepared data in {place}{size}; make room, or {elsewhere}") from None
        reason = error.strerror or str(error)
        raise DataError(f"{error.filename or place}: cannot be written ({reason}); {elsewhere}") from None


def remove_leftovers(folder: Path) -> None:
    """Remove what killed processes left: for `folder`, whose lock is ours, and wherever else nobody holds the lock."""
    for temporary in folder.parent.glob(".*.tmp"):
        owner = temporary.with_name(temporary.name[1:].removesuffix(".tmp"))
        if owner == folder:
            shutil.rmtree(temporary)
            continue
        try:
            with held(lock_of(owner), "is preparing it"):
                shutil.rmtree(temporary, ignore_errors=True)
        except BusyError:
            continue


def temporary_of(folder: Path) -> Path:
    """Return where prepared data are built."""
    return folder.with_name(f".{folder.name}.tmp")


def lock_of(folder: Path) -> Path:
    """Return the lock of prepared data."""
    return folder.with_name(f".{folder.name}.lock")
