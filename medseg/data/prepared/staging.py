"""Build a folder as a whole or not at all: under a temporary name, behind a lock, and renamed at the end."""

from __future__ import annotations

import errno
import logging
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from medseg.errors import DataError
from medseg.system.files import sync
from medseg.system.locks import BusyError, held

log = logging.getLogger(__name__)

T = TypeVar("T")


def build_once(folder: Path, busy: str, is_complete: Callable[[Path], bool], fill: Callable[[Path], T]) -> T | None:
    """Build a folder and return what `fill` returns; None where it is complete by then, as another process built it.

    Whatever ends this early leaves nothing behind, except a kill: the next call removes what that left.

    Args:
        folder: to be built.
        busy: what this process is doing, for those that wait: `is busy with preparing Kvasir-SEG`.
        is_complete: whether a folder is.
        fill: writes the content into a folder.

    Raises `DataError` where the disk is full or cannot be written.
    """
    with writing(folder.parent):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with held(lock_of(folder), busy, wait=float("inf")):
            remove_leftovers(folder)
            if is_complete(folder):
                return None
            if folder.exists():
                log.warning("%s is damaged and is made again", folder)
                shutil.rmtree(folder)
            temporary = folder.with_name(f".{folder.name}.tmp")
            try:
                temporary.mkdir()
                result = fill(temporary)
                temporary.rename(folder)
                sync(folder.parent)
                return result
            finally:
                shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def writing(folder: Path, needed: int | None = None) -> Iterator[None]:
    """Turn what the operating system answers about a disk into one line; `needed` are bytes, for the message."""
    try:
        yield
    except OSError as error:
        elsewhere = "choose another folder with data_dir=DIR"
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            size = f" ({needed / 2**20:.0f} MiB are needed)" if needed else ""
            raise DataError(f"no space left for prepared data in {folder}{size}; make room, or {elsewhere}") from None
        reason = error.strerror or str(error)
        raise DataError(f"{error.filename or folder}: cannot be written ({reason}); {elsewhere}") from None


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


def lock_of(folder: Path) -> Path:
    """Return the lock of prepared data."""
    return folder.with_name(f".{folder.name}.lock")
