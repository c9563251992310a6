"""The state a run is in now: that of its folder, unless the process that wrote it is gone."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from typing import Any

from medseg.system.process import is_alive

WAITING = "waiting"
"""State of a job that has not begun."""


def present_state(status: Mapping[str, Any]) -> tuple[str, str]:
    """Return the state of a run and a remark on it, from the content of its `status.json`.

    A run whose state is running while its process on this machine is gone was killed, and can be resumed. Of another
    machine's processes nothing is known here.
    """
    state = str(status.get("state", WAITING))
    if state == "trained":
        return state, str(status.get("remark", "no test scores: the data have no test split"))
    if state != "running":
        return state, str(status.get("error") or "")
    if status.get("host") == platform.node() and not is_alive(int(status.get("pid", 0))):
        return "interrupted", "its process is gone"
    return state, ""
