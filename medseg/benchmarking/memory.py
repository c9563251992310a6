"""The peak of this process's memory.

On a GPU it is what PyTorch had allocated there at most. On the CPU it is the peak of the process's resident memory
above what was resident before the network was built: weights, gradients, activations, the state of the optimizer, and
what the libraries keep for themselves, but not Python and PyTorch.
"""

from __future__ import annotations

import ctypes
from contextlib import suppress
from pathlib import Path

import torch

MEBIBYTE = 2**20

PROCESS = Path("/proc/self")


class PeakMemory:
    """Measures the peak on a device since the last `begin`, above what there was when this was made."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        trim()
        self.before = 0.0 if device.type == "cuda" else resident("VmRSS")

    def begin(self) -> None:
        """Forget earlier peaks."""
        trim()
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        else:
            # Linux: 5 sets the peak to what is resident now. Where that is forbidden, the peak is the process's so far,
            # which is hardly more than what is resident once everything is imported.
            with suppress(OSError):
                (PROCESS / "clear_refs").write_text("5")

    def peak(self) -> float:
        """Return the peak in MiB."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device) / MEBIBYTE
        return resident("VmHWM") - self.before


def trim() -> None:
    """Have the C library give back the freed memory that it keeps, which would count as resident."""
    with suppress(OSError, AttributeError):  # glibc's alone
        ctypes.CDLL(None).malloc_trim(0)


def resident(name: str) -> float:
    """Return resident memory in MiB: now with `VmRSS`, the peak with `VmHWM`."""
    # Not getrusage: its peak includes the process that started this one.
    lines = (PROCESS / "status").read_text().splitlines()
    (kibibytes,) = (line.split()[1] for line in lines if line.startswith(f"{name}:"))
    return int(kibibytes) / 1024
