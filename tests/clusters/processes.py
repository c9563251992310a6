"""A cluster as a context, and its processes, which outlive those that started them."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Self

from tests.sweeping import wait_until


class Cluster:
    """Starts with the `with` statement and ends with it, also where it could not start."""

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        raise NotImplementedError

    def stop(self) -> None:
        raise NotImplementedError


def processes_with(*variables: str) -> list[int]:
    """List the processes that were started with some environment variables, `NAME=value`; this one is left out."""
    found, wanted = [], {variable.encode() for variable in variables}
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            if entry.name.isdigit() and wanted <= set((entry / "environ").read_bytes().split(b"\0")):
                found.append(int(entry.name))
    return [each for each in found if each != os.getpid()]


def parent_of(process: int) -> int:
    """Return the number of a process's parent; 0 for one that is gone."""
    with suppress(OSError):
        return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])
    return 0


def kill_all(find: Callable[[], list[int]]) -> None:
    """Kill the processes that are found until none is."""

    def none_left() -> bool:
        found = find()
        for process in found:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        return not found

    wait_until(none_left, "the end of all processes")
