"""The GPUs of this machine, without PyTorch, whose import takes seconds."""

from __future__ import annotations

import os
from pathlib import Path


def gpu_count(devices: Path = Path("/dev")) -> int:
    """Return how many NVIDIA GPUs this process may use; `CUDA_VISIBLE_DEVICES` limits them.

    Args:
        devices: the folder of the device files.
    """
    present = sum(path.name.removeprefix("nvidia").isdigit() for path in devices.glob("nvidia*"))
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return present
    return min(present, sum(bool(name.strip()) and name.strip() != "-1" for name in visible.split(",")))
