"""Time the calls of a step on a device."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch


class Clock:
    """Times calls of one function on a device.

    Args:
        step: what is timed.
        device: what the step runs on; its work is waited for.
        seconds: how long a measurement takes, roughly; at least one call.
    """

    def __init__(self, step: Callable[[], None], device: torch.device, seconds: float) -> None:
        self.step = step
        self.device = device
        self.seconds = seconds
        self.calls = 0

    def warm_up(self) -> None:
        """Call the step until `seconds` are over, at least twice, and find out how many calls a measurement has.

        The first calls choose algorithms, compile, and take memory from the system. A second call that takes longer
        than `seconds` is the last one.
        """
        started = time.perf_counter()
        self._once()
        while True:
            last = self._once()
            if time.perf_counter() - started >= self.seconds:
                break
        self.calls = max(1, round(self.seconds / last))

    def together(self) -> float:
        """Return the mean seconds of a call, over the calls of a measurement in one go, after one that is not timed."""
        if self.calls > 1:  # where one call takes long, waking up is a small part of it
            self._once()
        started = self._now()
        for _ in range(self.calls):
            self.step()
        return (self._now() - started) / self.calls

    def one_by_one(self) -> list[float]:
        """Return the seconds of each call of a measurement, each waited for, after one that is not timed."""
        if self.calls > 1:
            self._once()
        return [self._once() for _ in range(self.calls)]

    def _once(self) -> float:
        started = self._now()
        self.step()
        return self._now() - started

    def _now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()
