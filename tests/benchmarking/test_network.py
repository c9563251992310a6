"""The steps that are measured are those of training and inference, in the precision and layout asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from medseg.benchmarking.network import PRECISIONS
from medseg.errors import ConfigError
from tests.benchmarking.networks import Greedy, network_benchmark
from tests.networks import OneConv, TwoOutputs


def test_a_training_step_trains_and_inference_does_not() -> None:
    measured = network_benchmark()
    before = [parameter.detach().clone() for parameter in measured.network.parameters()]
    measured.infer(measured.image)
    assert not measured.network.training
    assert all(torch.equal(a, b) for a, b in zip(before, measured.network.parameters(), strict=True))
    measured.train_step()
    assert measured.network.training
    assert not any(torch.equal(a, b) for a, b in zip(before, measured.network.parameters(), strict=True))


def test_inference_can_have_more_images() -> None:
    measured, usual = network_benchmark(OneConv, "inference_batch_size=64"), network_benchmark(OneConv)
    assert (len(measured.image), len(measured.inference_image)) == (2, 64)
    assert len(usual.inference_image) == 2
    seen: list[int] = []
    measured.network.register_forward_hook(lambda module, inputs, output: seen.append(len(output)))
    measured.warm_up()
    assert set(seen) == {2, 64, 1}
    # In training they are no part of the peak: 64 images are 0.75 MiB.
    peaks = []
    for one in (measured, usual):
        one.memory.peak = lambda: 8.0  # type: ignore[method-assign]
        peaks.append(one.peak_memory())
    assert peaks == [{"inference": 8.0, "train": 7.25}, {"inference": 8.0, "train": 8.0}]


def test_the_speed_is_in_images() -> None:
    measured = network_benchmark(OneConv, "inference_batch_size=5")
    for timer in measured.timers.values():
        timer.together, timer.one_by_one = lambda: 0.5, lambda: [0.25]  # type: ignore[method-assign]
    assert measured.speed() == {"train": 4.0, "inference": 10.0, "latency": [250.0]}


@pytest.mark.parametrize("overrides", [(), ("loss=weighted_ce",), ("optimizer=sgd", "channels_last=false")])
@pytest.mark.parametrize("network", [OneConv, TwoOutputs])
def test_losses_optimizers_and_deep_supervision(network: type[nn.Module], overrides: tuple[str, ...]) -> None:
    measured = network_benchmark(network, *overrides)
    measured.warm_up()
    speed = measured.speed()
    assert speed["train"] > 0
    assert speed["inference"] > 0
    assert len(speed["latency"]) == measured.timers["latency"].calls
    layout = torch.contiguous_format if overrides[1:] else torch.channels_last
    assert measured.image.is_contiguous(memory_format=layout)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_precisions(precision: str) -> None:
    measured = network_benchmark(OneConv, f"trainer.precision={precision}")
    seen: list[torch.dtype] = []
    measured.network.register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    measured.infer(measured.image)
    measured.train_step()
    assert seen == [PRECISIONS[precision] or torch.float32] * 2
    assert measured.facts()["precision"] == precision
    assert measured.network.conv.weight.dtype == torch.float32


def test_compile_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    # What it does takes most of a minute and a C++ compiler.
    asked: list[dict[str, Any]] = []
    monkeypatch.setattr(nn.Module, "compile", lambda self, **arguments: asked.append(arguments))
    network_benchmark(OneConv)
    assert asked == []
    network_benchmark(OneConv, "compile=true")
    assert asked == [{"dynamic": False}]


def test_parameters_and_macs() -> None:
    assert network_benchmark().cost() == {"parameters": 2 * 27 + 2, "macs": 2 * 27 * 32 * 32}


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("trainer.precision='16'", "trainer.precision is '16'; the benchmark knows auto, 32-true, bf16-mixed"),
        pytest.param(
            "trainer=gpu",
            "a GPU is asked for",
            marks=pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU"),
        ),
    ],
)
def test_what_cannot_be_had_is_refused(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        network_benchmark(OneConv, override)


def test_compiling_without_a_compiler_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CXX", str(tmp_path / "none"))
    with pytest.raises(ConfigError, match=r"compile=true needs a C\+\+ compiler"):
        network_benchmark(OneConv, "trainer=cpu", "compile=true")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu() -> None:
    measured = network_benchmark(Greedy, "trainer=gpu", "trainer.precision=bf16-mixed")
    peaks = measured.peak_memory()
    assert peaks["train"] > peaks["inference"] > 0
    measured.warm_up()
    assert measured.speed()["train"] > 0
    assert measured.facts()["device"]["type"] == "cuda"
