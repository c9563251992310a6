"""Time: first calls do not count, and a slow step is called as rarely as can be."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
import torch

from medseg.benchmarking.timing import StepTimer

CPU = torch.device("cpu")


class FakeTime:
    """A clock that stands still but for what the steps take."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, seconds: Callable[[int], float]) -> None:
        self.now, self.calls, self.seconds = 100.0, 0, seconds
        monkeypatch.setattr(time, "perf_counter", lambda: self.now)

    def step(self) -> None:
        self.now += self.seconds(self.calls)
        self.calls += 1


def test_the_first_calls_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeTime(monkeypatch, lambda call: 7.0 if call == 0 else 0.1)
    timer = StepTimer(fake.step, CPU, seconds=1.0)
    timer.warm_up()
    assert timer.calls == 10
    calls = fake.calls
    assert timer.together() == pytest.approx(0.1)
    assert fake.calls == calls + 1 + 10, "one call that is not timed"
    assert timer.one_by_one() == pytest.approx([0.1] * 10)


def test_the_call_after_a_rest_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    rested = False
    fake = FakeTime(monkeypatch, lambda call: 5.0 if rested else 0.1)

    def step() -> None:
        nonlocal rested
        fake.step()
        rested = False

    timer = StepTimer(step, CPU, seconds=0.5)
    timer.warm_up()
    rested = True
    assert timer.together() == pytest.approx(0.1)
    rested = True
    assert max(timer.one_by_one()) == pytest.approx(0.1)


def test_a_slow_step_is_called_as_rarely_as_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeTime(monkeypatch, lambda call: 20.0)
    timer = StepTimer(fake.step, CPU, seconds=1.0)
    timer.warm_up()
    assert fake.calls == 2
    assert timer.together() == pytest.approx(20.0)
    assert fake.calls == 3


def test_calls_before_the_warm_up_are_part_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeTime(monkeypatch, lambda call: 9.0 if call == 0 else 20.0)
    timer = StepTimer(fake.step, CPU, seconds=1.0)
    timer.once()
    timer.once()
    timer.warm_up()
    assert fake.calls == 2
    assert (timer.calls, timer.first) == (1, 9.0)
