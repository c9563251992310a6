"""What this process is: its cores, its rank in a distributed run, and which processes are still there."""

from __future__ import annotations

import hashlib
import os
import platform
import re
from contextlib import suppress
from functools import cache
from pathlib import Path


def available_cores() -> int:
    """Return the number of cores that this process may use: those it is bound to, where the system tells."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def is_first_process() -> bool:
    """Whether this is the process that the user started, not a further one of a distributed run."""
    return all(os.environ.get(variable, "0") == "0" for variable in ("LOCAL_RANK", "NODE_RANK", "GROUP_RANK"))


def is_alive(pid: int) -> bool:
    """Whether there is a process of that number on this machine."""
    if pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # of somebody else
        return True
    try:
        # One that has ended keeps its number until somebody asks how.
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return not Path("/proc/self").exists()


@cache
def machine() -> str:
    """Return eight characters that stand for this machine, or for the container in it that has processes of its own."""
    processes = ""
    with suppress(OSError):
        processes = str(Path("/proc/self/ns/pid").readlink())
    return hashlib.sha256(f"{platform.node()} {processes}".encode()).hexdigest()[:8]


def process_mark() -> str:
    """Return what the names of temporary files have of their process: machine and number, `1a2b3c4d-4242`."""
    return f"{machine()}-{os.getpid()}"


def is_gone(mark: str) -> bool:
    """Whether a mark is that of a process that has ended; of another machine's processes nothing is known here.

    Marks of earlier versions have the machine's name, `node-7-4242`.
    """
    match = re.fullmatch(r"(.+)-(\d+)", mark, re.ASCII)
    return match is not None and match[1] in (machine(), platform.node()) and not is_alive(int(match[2]))
