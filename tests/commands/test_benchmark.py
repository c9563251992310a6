"""Benchmarks: what is measured is what is said, several networks take turns, and one that fails fails alone."""

from __future__ import annotations

import json
import os
import shlex
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from torch import Tensor, nn

from medseg.benchmarking import rounds
from medseg.benchmarking.rounds import percentiles, spread, summarise
from medseg.benchmarking.setting import Setting
from medseg.benchmarking.show import three_digits
from medseg.benchmarking.subject import PRECISIONS, Subject
from medseg.benchmarking.timing import Clock
from medseg.benchmarking.worker import Worker, explain
from medseg.commands import benchmark as command_module
from medseg.commands.benchmark import find_settings
from medseg.errors import ConfigError, UserError
from tests.helpers import command, compose_config
from tests.networks import OneConv, TwoOutputs

CPU = torch.device("cpu")
QUICK = ("image_size=32", "batch_size=2", "repeats=2", "seconds=0.02", "trainer=cpu")


class Greedy(OneConv):
    """Keeps 64 MiB for the backward pass, and as much again while it runs."""

    def forward(self, image: Tensor) -> Tensor:
        kept = torch.ones(2**24, requires_grad=self.training)
        return super().forward(image) + 1e-9 * (kept * kept).mean()


class Killed(OneConv):
    """Is ended by the system as soon as it trains."""

    def forward(self, image: Tensor) -> Tensor:
        if self.training:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().forward(image)


def setting(network: type[nn.Module] | str = OneConv, *overrides: str) -> Setting:
    """Return what the command line would have measured."""
    target = network if isinstance(network, str) else f"{network.__module__}.{network.__qualname__}"
    cfg = compose_config("benchmark", f"+model._target_={target}", *QUICK, *overrides)
    (found,) = find_settings(cfg)
    return found


def subject(network: type[nn.Module] | str = OneConv, *overrides: str) -> Subject:
    return Subject(setting(network, *overrides), seconds=0.01)


# Numbers.
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


# Time.
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
    clock = Clock(fake.step, CPU, seconds=1.0)
    clock.warm_up()
    assert clock.calls == 10
    calls = fake.calls
    assert clock.together() == pytest.approx(0.1)
    assert fake.calls == calls + 1 + 10, "one call that is not timed"
    assert clock.one_by_one() == pytest.approx([0.1] * 10)


def test_the_call_after_a_rest_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    rested = False
    fake = FakeTime(monkeypatch, lambda call: 5.0 if rested else 0.1)

    def step() -> None:
        nonlocal rested
        fake.step()
        rested = False

    clock = Clock(step, CPU, seconds=0.5)
    clock.warm_up()
    rested = True
    assert clock.together() == pytest.approx(0.1)
    rested = True
    assert max(clock.one_by_one()) == pytest.approx(0.1)


def test_a_slow_step_is_called_as_rarely_as_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeTime(monkeypatch, lambda call: 20.0)
    clock = Clock(fake.step, CPU, seconds=1.0)
    clock.warm_up()
    assert fake.calls == 2
    assert clock.together() == pytest.approx(20.0)
    assert fake.calls == 3


def test_calls_before_the_warm_up_are_part_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeTime(monkeypatch, lambda call: 9.0 if call == 0 else 20.0)
    clock = Clock(fake.step, CPU, seconds=1.0)
    clock.once()
    clock.once()
    clock.warm_up()
    assert fake.calls == 2
    assert (clock.calls, clock.first) == (1, 9.0)


# Memory.
def test_peak_memory_is_what_was_taken_in_between() -> None:
    code = """
import numpy as np, torch
from medseg.benchmarking.memory import PeakMemory
earlier = np.ones(2**25)  # 256 MiB
del earlier
memory = PeakMemory(torch.device("cpu"))
memory.begin()
kept = np.ones(2**22)     # 32 MiB
passing = np.ones(2**23)  # 64 MiB
del passing
first = memory.peak()
memory.begin()
print(first, memory.peak())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    first, then = map(float, done.stdout.split())
    assert first == pytest.approx(96, abs=4)
    assert then == pytest.approx(32, abs=4), "an earlier peak is forgotten, what is kept is not"


def test_memory_that_is_freed_and_kept_does_not_count() -> None:
    code = """
import numpy as np, torch
from medseg.system.memory import keep_freed_memory
from medseg.benchmarking.memory import PeakMemory
assert keep_freed_memory()
memory = PeakMemory(torch.device("cpu"))
earlier = np.ones(2**24)  # 128 MiB
last = np.ones(1)         # beyond it, so that the end of the heap is in use
del earlier
memory.begin()
print(memory.peak())
"""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert float(done.stdout) == pytest.approx(0, abs=4)


def test_peaks_of_a_network() -> None:
    # Not with freed memory kept: how much of that is used again is the C library's business.
    worker, plain = (Worker(replace(setting(network), keeps_memory=False), 0.01) for network in (Greedy, OneConv))
    try:
        greedy, small = worker.ask("peak_memory"), plain.ask("peak_memory")
    finally:
        worker.close()
        plain.close()
    # Inference: the tensor and its square. Training: the same, and their gradients on the way back.
    assert greedy["inference"] == pytest.approx(128, abs=32)
    assert 128 < greedy["train"] < 4 * 64 + 32
    # What the libraries set up for themselves (measured: 12 MiB).
    assert max(small.values()) < 32


# Steps.
def test_a_training_step_trains_and_inference_does_not() -> None:
    measured = subject()
    before = [parameter.detach().clone() for parameter in measured.network.parameters()]
    measured.infer(measured.image)
    assert not measured.network.training
    assert all(torch.equal(a, b) for a, b in zip(before, measured.network.parameters(), strict=True))
    measured.train_step()
    assert measured.network.training
    assert not any(torch.equal(a, b) for a, b in zip(before, measured.network.parameters(), strict=True))


def test_inference_can_have_more_images() -> None:
    measured, usual = subject(OneConv, "inference_batch_size=64"), subject(OneConv)
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
    measured = subject(OneConv, "inference_batch_size=5")
    for clock in measured.clocks.values():
        clock.together, clock.one_by_one = lambda: 0.5, lambda: [0.25]  # type: ignore[method-assign]
    assert measured.speed() == {"train": 4.0, "inference": 10.0, "latency": [250.0]}


@pytest.mark.parametrize("overrides", [(), ("loss=weighted_ce",), ("optimizer=sgd", "channels_last=false")])
@pytest.mark.parametrize("network", [OneConv, TwoOutputs])
def test_losses_optimizers_and_deep_supervision(network: type[nn.Module], overrides: tuple[str, ...]) -> None:
    measured = subject(network, *overrides)
    measured.warm_up()
    speed = measured.speed()
    assert speed["train"] > 0
    assert speed["inference"] > 0
    assert len(speed["latency"]) == measured.clocks["latency"].calls
    layout = torch.contiguous_format if overrides[1:] else torch.channels_last
    assert measured.image.is_contiguous(memory_format=layout)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_precisions(precision: str) -> None:
    measured = subject(OneConv, f"trainer.precision={precision}")
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
    subject(OneConv)
    assert asked == []
    subject(OneConv, "compile=true")
    assert asked == [{"dynamic": False}]


def test_parameters_and_macs() -> None:
    assert subject().cost() == {"parameters": 2 * 27 + 2, "macs": 2 * 27 * 32 * 32}


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
        subject(OneConv, override)


def test_compiling_without_a_compiler_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CXX", str(tmp_path / "none"))
    with pytest.raises(ConfigError, match=r"compile=true needs a C\+\+ compiler"):
        subject(OneConv, "trainer=cpu", "compile=true")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu() -> None:
    measured = subject(Greedy, "trainer=gpu", "trainer.precision=bf16-mixed")
    peaks = measured.peak_memory()
    assert peaks["train"] > peaks["inference"] > 0
    measured.warm_up()
    assert measured.speed()["train"] > 0
    assert measured.facts()["device"]["type"] == "cuda"


# Several networks.
class FakeWorker:
    """Answers at once and keeps what it was asked."""

    asked: list[tuple[str, str]] = []  # noqa: RUF012
    failing: tuple[str, str, int] | None = None

    def __init__(self, setting: Setting, seconds: float, measures: str = "subject") -> None:
        self.setting = setting

    def ask(self, what: str) -> Any:
        FakeWorker.asked.append((self.setting.model, what))
        name, when, number = FakeWorker.failing or ("", "", 0)
        if (self.setting.model, what) == (name, when) and FakeWorker.asked.count((name, when)) == number:
            raise UserError("it broke")
        return {
            "peak_memory": {"train": 2.0, "inference": 1.0},
            "facts": {"device": {"type": "cpu", "name": "x", "threads": 1}, "precision": "32-true"},
            "warm_up": None,
            "first_calls": {"train": 4.0, "inference": 3.0, "latency": 2.0},
            "speed": {"train": 1.0, "inference": 2.0, "latency": [3.0]},
            "cost": {"parameters": 1, "macs": 2},
            "limits": {"float32_flops_per_second": 1e3 + len(FakeWorker.asked), "copy_bytes_per_second": 1e3},
            "profile": {"operators": [{"name": "mm", "share": 0.5}], "operator_bytes": 6},
        }[what]

    def close(self) -> None:
        FakeWorker.asked.append((self.setting.model, "close"))


@pytest.fixture
def fake_workers(monkeypatch: pytest.MonkeyPatch) -> type[FakeWorker]:
    FakeWorker.asked, FakeWorker.failing = [], None
    monkeypatch.setattr(rounds, "Worker", FakeWorker)
    return FakeWorker


def three() -> list[Setting]:
    cfg = compose_config("benchmark", "models=[unet,convunext,unext_s]", *QUICK)
    return find_settings(cfg)


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


def test_the_machine_is_measured_before_and_after(fake_workers: type[FakeWorker]) -> None:
    measured, _ = rounds.measure(three(), repeats=2, seconds=1.0, thorough=True)
    asked = [what for _, what in fake_workers.asked]
    assert asked[:2] == ["limits", "close"]
    last = len(asked) - 1 - asked[::-1].index("limits")
    assert asked.count("limits") == 2
    assert set(asked[last + 1 :]) == {"close", "cost", "profile"}, "nothing is timed after it"
    for one in measured.values():
        assert one["limits"]["float32_flops_per_second"] == 1e3 + last + 1, "the higher one"
        assert one["operator_bytes"] == 6


def test_limits_that_cannot_be_measured_are_left_out(fake_workers: type[FakeWorker]) -> None:
    fake_workers.failing = ("unet", "limits", 1)
    measured, failed = rounds.measure(three(), repeats=1, seconds=1.0, thorough=True)
    assert failed == {}
    assert measured[1]["limits"]["copy_bytes_per_second"] == 1e3, "those of the end"
    assert rounds.best([]) is None


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


# Settings.
def test_settings_of_several_networks() -> None:
    words = ("models=[unet,'unet model.base_channels=8 model.norm=group',convunext]", "model.base_channels=16")
    found = find_settings(compose_config("benchmark", *words, *QUICK, "in_channels=1", "num_classes=4", "loss=dice"))
    assert [one.model for one in found] == ["unet", "unet", "convunext"]
    assert [one.arguments["base_channels"] for one in found] == [16, 8, 16]
    assert found[1].title == "unet model.base_channels=8 model.norm=group model.base_channels=16"
    assert found[0].overrides == ("model=unet", "model.base_channels=16")
    for one in found:
        assert (one.in_channels, one.num_classes, one.loss, one.optimizer) == (1, 4, "dice", "adamw")
        assert (one.arguments["in_channels"], one.arguments["num_classes"]) == (1, 4)
        assert (one.image_size, one.batch_size, one.precision) == ((32, 32), 2, "auto")


def test_arguments_are_those_of_a_run() -> None:
    (found,) = find_settings(compose_config("benchmark", "model=amsunet", "image_size=[48,64]"))
    cfg = compose_config("train", "model=amsunet", "data.num_classes=2")
    assert found.arguments == OmegaConf.to_container(cfg, resolve=True)["model"]
    assert found.image_size == (48, 64)


def test_names_tell_networks_of_one_option_apart() -> None:
    (found,) = find_settings(compose_config("benchmark", "model=smp", "model.encoder_name=resnet18"))
    assert found.model == "smp_unet_resnet18"
    assert setting(OneConv).model == "OneConv"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["models=[unet,convunex]"], "unknown model 'convunex'; did you mean 'convunext'"),
        (["models=[unet]", "model=convunext"], "give model=... or models=[...], not both"),
        (["models=unet"], "models is 'unet'; it must be null or a list, models=[unet,convunext]"),
        (["models=[unet,unext]", "model.base_channels=8"], "unknown option 'model.base_channels'"),
        (["image_size=[1,2,3]"], "it must be a number of pixels, or [height, width]"),
        (["batch_size=0"], "batch_size is 0; it must be a whole number from 1"),
        (["inference_batch_size=0"], "inference_batch_size is 0; it must be null or a whole number from 1"),
        (["variants=plain"], "variants is 'plain'; it must be null or a list, variants=[plain,tuned]"),
        (["variants=[plain,tunde]"], "unknown variant 'tunde'; did you mean 'tuned'? (there are: plain, "),
        (["variants=[plain,plain]"], "has a variant more than once"),
        (["models=[unet,'unet model.base_channels=0']"], "model.base_channels is 0; it must be a whole number from 1"),
        (["repeats=1.5"], "repeats is 1.5; it must be a whole number from 1"),
        (["seconds=0"], "seconds is 0; it must be a number above 0"),
        (["compile=maybe"], "compile is 'maybe'; it must be true or false"),
        (["trainer=ddp"], "a benchmark measures one device"),
        (["experiment=../there"], "it must be the name of a folder below runs_dir"),
    ],
)
def test_a_wrong_word_gets_one_line(words: list[str], message: str, tmp_path: Path) -> None:
    done = command("benchmark", *words, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    (error,) = done.stderr.splitlines()
    assert message in error
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("line", command_module.EXAMPLES)
def test_shown_commands_compose(line: str) -> None:
    words = shlex.split(line.partition("      ")[0])[3:]
    cfg = compose_config("benchmark", *words)
    command_module.check(cfg)
    assert find_settings(cfg)


# The command.
@pytest.mark.slow
def test_the_command(tmp_path: Path) -> None:
    """A small network is faster than a large one, one too many for the size fails alone, one is killed."""
    models = "models=[unext_s,'unet model.base_channels=4','unet model.base_channels=32',convunext,'custom +{}']"
    killed = models.format("model._target_=tests.commands.test_benchmark.Killed")
    done = command("benchmark", killed, *QUICK, "experiment=study", cwd=tmp_path)
    assert done.returncode == 1
    errors = [line for line in done.stderr.splitlines() if line.lower().startswith("error")]
    assert len(errors) == 3
    assert "ConvUNeXt needs images of at least 64 x 64" in errors[0]
    assert "Killed +model._target_=tests.commands.test_benchmark.Killed: its process was ended by SIGKILL" in errors[1]
    assert errors[2].startswith("error: 2 of 5 networks could not be measured: convunext, Killed")
    assert "Traceback" not in done.stderr

    # The table is aligned, and tells those that failed.
    lines = done.stdout.splitlines()
    (rule,) = (number for number, line in enumerate(lines) if line.startswith("---"))
    rows = lines[rule + 1 : rule + 6]
    assert [row.split()[0] for row in rows] == ["unext_s", "unet", "unet", "convunext:", "Killed"]
    assert len({len(line) for line in rows}) == 1
    assert f"{os.environ['OMP_NUM_THREADS']} threads; " in lines[0]

    files = sorted((tmp_path / "runs" / "study" / "benchmarks").iterdir())
    assert [f"written: {file.relative_to(tmp_path)}" in done.stdout for file in files] == [True] * 3
    found = [json.loads(file.read_text()) for file in files]
    assert [file.name.partition("-")[0] for file in files] == ["unet", "unet", "unext_s"]
    for one in found:
        assert set(one) == {
            "model", "network", "overrides", "arguments", "in_channels", "num_classes", "image_size", "batch_size",
            "inference_batch_size", "loss", "optimizer", "device", "precision", "channels_last", "compile", "variant",
            "repeats", "train_images_per_second", "inference_images_per_second", "latency_ms", "first_call_seconds",
            "peak_memory_mib", "parameters", "macs", "limits", "operators", "operator_bytes", "measured", "environment",
        }  # fmt: skip
        assert one["variant"] == "tuned"
        assert all(seconds > 0 for seconds in one["first_call_seconds"].values())
        assert (one["image_size"], one["batch_size"], one["repeats"]) == ([32, 32], 2, 2)
        assert one["device"]["type"] == "cpu"
        assert one["device"]["threads"] == int(os.environ["OMP_NUM_THREADS"])
        assert one["environment"]["packages"]["torch"] == torch.__version__.partition("+")[0]
        for what in ("train_images_per_second", "inference_images_per_second"):
            assert 0 < one[what]["min"] <= one[what]["median"] <= one[what]["max"]
        latency = one["latency_ms"]
        assert 0 < latency["min"] <= latency["p50"] <= latency["p95"] <= latency["max"]
        assert latency["calls"] >= 2
        # Weights, gradients and the two moments of AdamW.
        assert one["peak_memory_mib"]["train"] > 4 * 4 * one["parameters"] / 2**20
    small, large = sorted(found[:2], key=lambda one: one["parameters"])
    assert (small["parameters"], large["parameters"]) == (68_062, 4_318_434)
    assert small["train_images_per_second"]["median"] > large["train_images_per_second"]["median"]
    assert small["peak_memory_mib"]["train"] < large["peak_memory_mib"]["train"]
    assert small["macs"] < large["macs"]


def test_files_and_the_error_of_one_network(fake_workers: type[FakeWorker], tmp_path: Path) -> None:
    words = ("model=unet", "model.base_channels=4", *QUICK, f"output={tmp_path / 'here'}")
    for _ in range(2):
        (file,) = command_module.benchmark(compose_config("benchmark", *words))
    assert list((tmp_path / "here").iterdir()) == [file], "the same again replaces its file"
    for other in ("image_size=64", "batch_size=1", "model.base_channels=8", "loss=dice", "compile=true"):
        command_module.benchmark(compose_config("benchmark", *words, other))
    assert len(list((tmp_path / "here").iterdir())) == 6, "something else has a file of its own"
    fake_workers.asked, fake_workers.failing = [], ("unet", "speed", 1)
    with pytest.raises(UserError, match=r"^it broke$"):
        command_module.benchmark(compose_config("benchmark", *words, "seconds=3"))
