"""What the machine can do at most: multiply matrices and copy memory."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch

from medseg.benchmarking.setting import Setting
from medseg.benchmarking.timing import Clock
from medseg.training.hardware import pick_accelerator

SIDE = {"cpu": 2048, "cuda": 8192}
"""Rows and columns of the matrices, by type of device."""

COPIED = {"cpu": 2**28, "cuda": 2**31}
"""Bytes of the copied tensor; more than any cache holds."""


class Limits:
    """Measures a device, in a process of its own.

    Args:
        setting: whose device is measured.
        seconds: how long one measurement takes, roughly.
    """

    def __init__(self, setting: Setting, seconds: float) -> None:
        accelerator = pick_accelerator(setting.accelerator)
        self.device = torch.device("cuda" if accelerator in ("gpu", "cuda") else accelerator)
        self.seconds = seconds

    def limits(self) -> dict[str, float]:
        """Return operations per second of a matrix product in float32 and bf16, and bytes per second of a copy.

        A multiply-accumulate is two operations; a copied byte counts twice, read and written. Products are under
        PyTorch's default settings, float32 thus without TF32, which convolutions on a GPU may use.
        """
        kind = self.device.type
        side, copied = SIDE.get(kind, SIDE["cpu"]), COPIED.get(kind, COPIED["cpu"])
        found = {}
        for name, dtype in (("float32", torch.float32), ("bf16", torch.bfloat16)):
            a, b = (torch.randn(side, side, device=self.device).to(dtype) for _ in range(2))
            found[f"{name}_flops_per_second"] = 2 * side**3 / self.fastest(partial(torch.mm, a, b, out=a.clone()))
        source = torch.ones(copied // 4, device=self.device)
        found["copy_bytes_per_second"] = 2 * copied / self.fastest(partial(source.clone().copy_, source))
        return found

    def fastest(self, step: Callable[[], object]) -> float:
        """Return the seconds of the fastest call."""
        clock = Clock(step, self.device, self.seconds)
        clock.warm_up()
        return min(clock.one_by_one())
