"""Several networks take turns, and one that fails fails alone."""

from __future__ import annotations

import statistics

import numpy as np
import pytest
import torch

from medseg.benchmarking import rounds
from medseg.benchmarking.rounds import percentiles, spread, summarise
from medseg.benchmarking.setting import Setting
from medseg.benchmarking.table import three_digits
from medseg.benchmarking.worker import explain
from tests.benchmarking.conftest import FakeWorker
from tests.benchmarking.networks import QUICK, setting, settings


def test_spread_and_percentiles() -> None:
    assert spread([3.0, 1.0, 2.0, 10.0]) == {"median": 2.5, "min": 1.0, "max": 10.0}
    values = np.random.default_rng(0).exponential(size=101).tolist()
    found = percentiles(values)
    assert found["p50"] == pytest.approx(statistics.median(values))
    assert found["p95"] == pytest.approx(sorted(values)[95])
    assert (found["min"], found["max"], found["calls"]) == (min(values), max(values), 101)
    assert percentiles([2.0]) == {"p50": 2.0, "p95": 2.0, "min": 2.0, "max": 2.0, "calls": 1}


def test_rounds_are_medians_and_single_calls_are_pooled() -> None:
    measured = [
        {"train": 1.0, "inference": 10.0, "latency": [1.0, 2.0]},
        {"train": 3.0, "inference": 30.0, "latency": [3.0]},
        {"train": 2.0, "inference": 20.0, "latency": [4.0, 5.0]},
    ]
    found = summarise(measured)
    assert found["train_images_per_second"] == {"median": 2.0, "min": 1.0, "max": 3.0}
    assert found["inference_images_per_second"]["median"] == 20.0
    assert found["latency_ms"]["p50"] == 3.0
    assert found["latency_ms"]["calls"] == 5


@pytest.mark.parametrize(
    ("number", "text"),
    [(0.1234, "0.123"), (1.234, "1.23"), (12.34, "12.3"), (123.4, "123"), (1234.5, "1,234")],
)
def test_three_digits(number: float, text: str) -> None:
    assert three_digits(number) == text


def three() -> list[Setting]:
    return settings("models=[unet,convunext,unext_s]", *QUICK)


def test_networks_take_turns(fake_workers: type[FakeWorker]) -> None:
    measured, failed = rounds.measure(three(), repeats=3, seconds=1.0)
    assert failed == {}
    assert list(measured) == [0, 1, 2]
    there = ["unet", "convunext", "unext_s"]
    speeds = [name for name, what in fake_workers.asked if what == "speed"]
    assert speeds == [*there, *there[::-1], *there]
    first = fake_workers.asked.index(("unet", "speed"))
    assert {what for _, what in fake_workers.asked[:first]} == {
        "peak_memory", "facts", "warm_up", "first_calls",
    }, "all are warm"  # fmt: skip
    for name in there:
        assert next(what for asked, what in fake_workers.asked if asked == name) == "peak_memory"
    assert [what for _, what in fake_workers.asked[-3:]] == ["close"] * 3


@pytest.mark.parametrize(("when", "number"), [("peak_memory", 1), ("warm_up", 1), ("speed", 2), ("cost", 1)])
def test_one_that_fails_is_left_out(when: str, number: int, fake_workers: type[FakeWorker]) -> None:
    fake_workers.failing = ("convunext", when, number)
    measured, failed = rounds.measure(three(), repeats=3, seconds=1.0)
    assert failed == {1: "it broke"}
    assert list(measured) == [0, 2]
    assert measured[0]["latency_ms"]["calls"] == 3
    assert fake_workers.asked.count(("convunext", "close")) == 1
    assert fake_workers.asked.count(("unet", "speed")) == 3


def test_out_of_memory_is_explained() -> None:
    wanted = "out of memory with batches of 2 images of 32 x 32; give a smaller batch_size or image_size"
    text = "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 4 bytes."
    for error in (torch.OutOfMemoryError("CUDA out of memory."), MemoryError(), RuntimeError(text)):
        assert explain(error, setting()) == wanted
    assert explain(ValueError("two\nlines"), setting()) == "ValueError: two lines"
