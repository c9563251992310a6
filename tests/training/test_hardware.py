"""Devices, compiling, and what is said about them."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from medseg.errors import ConfigError
from medseg.system.files import read_csv
from medseg.system.process import available_cores
from medseg.training.build import build_trainer
from medseg.training.hardware import check_compiler
from medseg.training.task import SegmentationTask
from tests.helpers import compose_config, train


def said(caplog: pytest.LogCaptureFixture, devices: int) -> str:
    caplog.clear()
    cfg = compose_config("train", "trainer=cpu", f"trainer.devices={devices}")
    with caplog.at_level(logging.WARNING, "medseg"):
        build_trainer(cfg.trainer)
    return caplog.text


def test_more_processes_than_cores_are_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    cores = available_cores()
    assert f"trainer.devices={cores + 1}: so many processes share {cores} CPU core" in said(caplog, cores + 1)
    assert "share" not in said(caplog, cores)


def test_compiling_without_a_compiler_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("sys.platform", "linux")
    (tmp_path / "clang++").touch(0o755)  # PyTorch does not look for it here
    with pytest.raises(ConfigError, match=r"compile=true needs a C\+\+ compiler on a CPU, and g\+\+ is not there"):
        check_compiler("cpu")
    check_compiler("gpu")  # brings its own
    (tmp_path / "mine").write_text("#!/bin/sh\n")
    (tmp_path / "mine").chmod(0o755)
    monkeypatch.setenv("CXX", "mine")
    check_compiler("cpu")


class Counting(nn.Module):
    """Counts its calls: those through the module, which may be compiled, and all."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 1)
        self.compiled, self.calls = 0, 0

    def compile(self, *, dynamic: bool) -> None:  # type: ignore[override]
        assert dynamic is False
        self.register_forward_pre_hook(self.count)

    def count(self, *_: Any) -> None:
        self.compiled += 1

    def forward(self, image: Tensor) -> Tensor:
        self.calls += 1
        return self.conv(image)


def test_only_whole_batches_go_through_the_compiled_network() -> None:
    network = Counting()
    task = SegmentationTask(network, class_names=("background", "lesion"), compile=True)
    for training, sizes in ((True, (4, 4, 3)), (False, (6, 6, 1))):
        task.train(training)
        shapes = [tuple(task(torch.rand(size, 3, 8, 8)).shape) for size in sizes]
        assert shapes == [(size, 2, 8, 8) for size in sizes]
    assert (network.compiled, network.calls) == (4, 6)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs g++")
def test_a_compiled_training_is_the_same_run(tmp_path: Path) -> None:
    small = ("model.depth=1", "data.image_size=32", "data.dataset.count=20")
    plain = train(tmp_path / "plain", *small)
    compiled = train(tmp_path / "compiled", *small, "compile=true")
    assert compiled.path.name == plain.path.name
    losses = [[float(row["train/loss"]) for row in read_csv(run.metrics)] for run in (plain, compiled)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)
    names = [list(torch.load(run.best_checkpoint, weights_only=True)["state_dict"]) for run in (plain, compiled)]
    assert names[0] == names[1]
