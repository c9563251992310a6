"""Locks between processes, on one machine or on several that share a file system, and who holds one.

The operating system lets go of the lock of a process that dies. Where a file system has no such locks, a file that is
there stands for one; it stays behind when its process is killed. On the same machine the next process removes it; of
another machine's processes nothing is known here, so the message names the file to delete.
"""

from __future__ import annotations

import errno
import logging
import os
import platform
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from filelock import BaseFileLock, FileLock, SoftFileLock, Timeout

from medseg.errors import UserError

log = logging.getLogger(__name__)

NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP)
"""What a file system without locks answers."""

MARKER = ".held"
"""What is added to a lock's name for the file that stands for it where there are no locks."""

ATTEMPTS = 100
"""How often a lock is tried whose folder another process removes at the same moment."""


class BusyError(UserError):
    """Another process holds what this one needs; trying again later may help, which is what this code means."""

    exit_code = 75


@contextmanager
def held(file: Path, busy: str, wait: float = 0) -> Iterator[None]:
    """Hold the lock `file` for this process; its folder is made where there is none.

    Args:
        file: of the lock; it holds the number and the machine of the process that has it.
        busy: what another process is doing that holds it, such as `is working on this run`.
        wait: seconds to wait for it, which is logged; infinite to wait for as long as it takes.

    Raises `BusyError`, which names its holder, and `OSError` where it cannot be written.
    """
    with ExitStack() as stack:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                file.parent.mkdir(parents=True, exist_ok=True)
                _acquire(stack, file, busy, wait)
                break
            except (
                FileNotFoundError,
                FileExistsError,
            ):  # its holder removed the folder, which it had made for the lock alone
                if attempt == ATTEMPTS:
                    raise
        yield


def _acquire(stack: ExitStack, file: Path, busy: str, wait: float) -> None:
    """Acquire a lock, to be released with the stack."""
    lock: BaseFileLock = FileLock(file, fallback_to_soft=False)
    try:
        _wait_for(lock, file, busy, wait)
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        lock = SoftFileLock(marker_of(file))
        _wait_for(lock, file, busy, wait)
        stack.callback(lock.release)
        return
    stack.callback(lock.release)
    with suppress(OSError):  # a full disk; the lock itself holds
        file.write_text(f"{os.getpid()}\n{platform.node()}\n", encoding="utf-8")
    stack.callback(_forget_holder, file)


def _wait_for(lock: BaseFileLock, file: Path, busy: str, wait: float) -> None:
    try:
        lock.acquire(timeout=0)
    except Timeout:
        limit = time.monotonic() + wait
        if wait:
            log.warning("%s; waiting for it%s", _describe(file, busy), _way_out(file))
        try:
            lock.acquire(timeout=-1 if wait == float("inf") else max(0, limit - time.monotonic()))
        except Timeout:
            raise BusyError(f"{_describe(file, busy)}; wait for it or end it{_way_out(file)}") from None


def _describe(file: Path, busy: str) -> str:
    """Say that a lock is held and, where that is written, by whom."""
    message = f"{file.parent}: another process {busy}"
    for written in (marker_of(file), file):
        with suppress(OSError, ValueError):
            pid, host, *_ = written.read_text(encoding="utf-8").splitlines()
            # filelock adds the container to the machine's name.
            return f"{message} (process {int(pid)} on {host.partition('?')[0]})"
    return message


def _way_out(file: Path) -> str:
    """Say what to do about a lock that may never become free; nothing where the system frees it."""
    if not marker_of(file).exists():
        return ""
    return (
        "; this file system has no locks, so if that process was killed, or its machine is gone, delete "
        f"{marker_of(file)} and repeat the command"
    )


def _forget_holder(file: Path) -> None:
    with suppress(OSError):
        os.truncate(file, 0)


def marker_of(file: Path) -> Path:
    """Return the file that stands for a lock where there are no locks."""
    return file.with_name(file.name + MARKER)
