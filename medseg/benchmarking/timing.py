"""Time the calls of a step on a device."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch


class StepTimer:
    """Times calls of one function on a device.

    Args:
        step: what is timed.
        device: what the step runs on; its work is waited for.
        seconds: how long a measurement takes, roughly; at least one call.
    """

    def __init__(self, step: Callable[[], object], device: torch.device, seconds: float) -> None:
        self.step = step
        self.device = device
        self.seconds = seconds
        self.times: list[float] = []  # of the calls before the first measurement
        self.calls = 0  # of a measurement; known after the warm-up

    @property
    def first(self) -> float:
        """The seconds of the first call, in which algorithms are chosen and networks compiled."""
        return self.times[0]

    def warm_up(self) -> None:
        """Call the step until it has run for `seconds`, at least twice, and choose how many calls a measurement has.

        The first calls choose algorithms, compile, and take memory from the system; those by `once` before this count
        as well. A last call that takes longer than `seconds` is the only one of a measurement.
        """
        while len(self.times) < 2 or sum(self.times) < self.seconds:
            self.once()
        self.calls = max(1, round(self.seconds / self.times[-1]))

    def together(self) -> float:
        """Return the mean seconds of a call, over the calls of a measurement in one go."""
        self._wake()
        started = self._now()
        for _ in range(self.calls):
            self.step()
        return (self._now() - started) / self.calls

    def one_by_one(self) -> list[float]:
        """Return the seconds of each call of a measurement, each waited for."""
        self._wake()
        return [self.once() for _ in range(self.calls)]

    def once(self) -> float:
        """Return the seconds of one call, which is waited for."""
        started = self._now()
        self.step()
        seconds = self._now() - started
        if not self.calls:
            self.times.append(seconds)
        return seconds

    def _wake(self) -> None:
        if self.calls > 1:  # where one call takes long, waking up is a small part of it
            self.once()

    def _now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()
