"""The limits of a machine, the operators that take the time, and the bytes that go through all of them."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from medseg.benchmarking import limits
from medseg.benchmarking.operators import biggest_operators, bytes_through_operators
from medseg.commands.benchmark import find_settings
from tests.helpers import compose_config

CPU = torch.device("cpu")


def test_limits_are_operations_and_bytes_over_the_shortest_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    took = iter([9.0, 9.0, 0.5, 9.0, 9.0, 0.25, 9.0, 9.0, 2.0])  # two calls to warm up, one that counts

    def passing(step: Callable[[], object]) -> Callable[[], object]:
        def timed() -> object:
            nonlocal now
            now += next(took)
            return step()

        return timed

    class PassingClock(limits.Clock):
        def __init__(self, step: Callable[[], object], device: torch.device, seconds: float) -> None:
            super().__init__(passing(step), device, seconds)

    monkeypatch.setattr(limits, "Clock", PassingClock)
    monkeypatch.setattr(time, "perf_counter", lambda: now)
    monkeypatch.setitem(limits.SIDE, "cpu", 16)
    monkeypatch.setitem(limits.COPIED, "cpu", 4096)
    (setting,) = find_settings(compose_config("benchmark", "model=unet", "trainer=cpu"))
    assert limits.Limits(setting, seconds=0.1).limits() == {
        "float32_flops_per_second": 2 * 16**3 / 0.5,
        "bf16_flops_per_second": 2 * 16**3 / 0.25,
        "copy_bytes_per_second": 2 * 4096 / 2.0,
    }


def test_bytes_are_what_is_read_and_written() -> None:
    a, b = torch.ones(8, 4), torch.ones(8, 4)
    size = 8 * 4 * 4
    assert bytes_through_operators(lambda: a + b) == 3 * size
    assert bytes_through_operators(lambda: a.add_(b)) == 3 * size, "what is changed is read and written"
    assert bytes_through_operators(lambda: torch.add(a, b, out=b)) == 3 * size
    assert bytes_through_operators(lambda: torch.cat([a, b])) == 4 * size, "tensors in lists count"
    assert bytes_through_operators(lambda: a.t().reshape(2, 2, 8).permute(2, 0, 1)[3:]) <= 2 * size, (
        "a view moves nothing"
    )
    assert bytes_through_operators(lambda: a.permute(1, 0)) == 0
    assert bytes_through_operators(lambda: torch.empty(1000)) == 0
    row = torch.ones(4)
    assert bytes_through_operators(lambda: row.expand(8, 4).clone()) == 16 + size, "an expanded row is read once"
    assert bytes_through_operators(lambda: torch.zeros(0, 4).expand(0, 4) + 1) == 0


def test_bytes_of_a_training_step_have_the_backward_pass_and_the_optimizer() -> None:
    weight = nn.Parameter(torch.ones(100))
    optimizer = torch.optim.SGD([weight], lr=0.1)

    def step() -> None:
        optimizer.zero_grad()
        (weight * 2).sum().backward()
        optimizer.step()

    product, total = 2 * 400, 400 + 4
    one, gradient, update = 2 * 4, 4 + 400, 3 * 400  # the gradient of the sum is one value, read by all
    assert bytes_through_operators(step) == product + total + one + gradient + update


def test_the_operator_that_takes_the_time_comes_first() -> None:
    a = torch.randn(1024, 1024)

    def step() -> Tensor:
        small = torch.ones(3).exp() + 1
        return (a @ a @ a).sum() + small.sum()

    step()  # an operator's first call may load libraries
    found = biggest_operators(step, CPU, count=3)
    assert found[0]["name"] == "aten::mm"
    assert len(found) == 3
    shares = [each["share"] for each in found]
    assert shares == sorted(shares, reverse=True)
    assert 0.5 < shares[0] < sum(shares) <= 1
