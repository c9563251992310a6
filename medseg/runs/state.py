"""The state a run is in now: what its folder says, unless the process that said so is gone."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

WAITING = "waiting"
"""State of a job that has not begun."""


def present_state(status: Mapping[str, Any]) -> tuple[str, str]:
    """Return the state of a run and a remark on it, from the content of its `status.json`.

    A run that says it is running while its process on this machine is gone was killed, and can be resumed. Of another
    machine's processes nothing is known here.
    """
    state = str(status.get("state", WAITING))
    if state != "running":
        return state, str(status.get("error") or "")
    if status.get("host") == platform.node() and not is_alive(int(status.get("pid", 0))):
        return "interrupted", "its process is gone"
    return state, ""


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
