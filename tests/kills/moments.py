"""What is done to a process at a chosen moment: when it is about to write, rename or remove a certain file."""

from __future__ import annotations

import errno
import os
import re
import resource
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir"}
"""Audit events that change a folder, beside `open` for writing. The path is their first argument."""

ROLE = "command"
"""What this process is: the command that was given, or a `job` that it has started."""


@dataclass(frozen=True)
class Fault:
    """What happens, and when.

    Args:
        do: kill or term: SIGKILL or SIGTERM before the change is made; cut: killed after `size` bytes of the file;
            full: from now on nothing can be written, as on a full disk; count: nothing.
        path: regular expression of the path that is changed.
        event: one of `CHANGES` or open; any where empty.
        nth: how many such changes come before it, and 1.
        role: of the process that it happens in; any where empty.
        whole: whether it happens to the command as well where it happens in a job, as when a machine is switched off.
        size: bytes, of `cut`.
    """

    do: str
    path: str = ""
    event: str = ""
    nth: int = 1
    role: str = ""
    whole: bool = False
    size: int = 0


class Watch:
    """An audit hook that counts the changes below a folder, and has a fault happen at one of them."""

    def __init__(self, fault: Fault, folder: Path) -> None:
        self.fault, self.folder = fault, folder
        self.count = 0
        self.full = False

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not is_change(event, arguments):
            return
        path = Path(os.fsdecode(arguments[0])).absolute()
        if not path.is_relative_to(self.folder):
            return
        if self.full and event in ("open", "os.mkdir"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        fault = self.fault
        if fault.role in ("", ROLE) and fault.event in ("", event) and re.search(fault.path, str(path)):
            self.count += 1
            if self.count == fault.nth:
                self.happen(path)

    def happen(self, path: Path) -> None:
        do, whole = self.fault.do, self.fault.whole and ROLE == "job"
        if do in ("kill", "term"):
            number = signal.SIGKILL if do == "kill" else signal.SIGTERM
            if whole:
                os.kill(os.getppid(), number)
            os.kill(os.getpid(), number)
        elif do == "cut":
            # The system kills a process that writes more.
            resource.setrlimit(resource.RLIMIT_FSIZE, (self.fault.size, self.fault.size))
        elif do == "full":
            self.full = True
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


def is_change(event: str, arguments: tuple[Any, ...]) -> bool:
    """Tell whether an audit event is a change of a file or a folder that has a name."""
    if event == "open":
        _, mode, flags = arguments
        writes = flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) if mode is None else set("wax+") & set(mode)
        return bool(writes) and not isinstance(arguments[0], int)
    return event in CHANGES


def watch(fault: Fault, folder: Path) -> Watch:
    """Have a fault happen in this process and in those that it forks."""
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # which Python ignores
    hook = Watch(fault, folder)
    sys.addaudithook(hook)
    return hook
