"""Two processes on one batch of the same size come to what one process comes to."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

from medseg.models import UNet
from medseg.runs.folder import RunFolder
from medseg.system.files import read_csv
from tests.helpers import command


class Exact(UNet):
    """A U-Net in float64: what sums in another order differ by stays small.

    Without batch norm, whose statistics are those of one process (with trainer.sync_batchnorm, on GPUs, those of all).
    """

    def __init__(self, in_channels: int, num_classes: int) -> None:
        super().__init__(in_channels=in_channels, num_classes=num_classes, base_channels=4, norm="group")
        self.double()

    def forward(self, image: Tensor) -> Tensor:
        return super().forward(image.double())


SETTING = (
    "data.image_size=64", "data.dataset.count=40", "data.num_workers=0", "trainer.accelerator=cpu",
    "trainer.max_epochs=3", "+model._target_=tests.training.test_ddp.Exact",
    # Flips and quarter turns leave no pixel out: cross-entropy is a mean over the pixels of a process.
    "augmentation=light",
    # Adam makes a whole step of the rounding error of a gradient that is zero, as that of a bias before a norm is.
    "optimizer=sgd", "optimizer.lr=0.1",
)  # fmt: skip


def trained(folder: Path, *arguments: str) -> RunFolder:
    done = command("train", *SETTING, *arguments, cwd=folder)
    assert done.returncode == 0, done.stderr
    (path,) = (folder / "runs" / "main").glob("*-seed0")
    return RunFolder(path)


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return trained(tmp_path_factory.mktemp("one"), "trainer=cpu", "data.batch_size=8")


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return trained(tmp_path_factory.mktemp("two"), "trainer=ddp", "trainer.devices=2", "data.batch_size=4")


def test_the_training_trajectory_is_the_same(one: RunFolder, two: RunFolder) -> None:
    rows, others = read_csv(one.metrics), read_csv(two.metrics)
    assert len(rows) == len(others) == 3
    for row, other in zip(rows, others, strict=True):
        assert (row["epoch"], row["step"]) == (other["epoch"], other["step"])
        for name in ("lr", "train/loss", "val/loss", "val/dice", "val/iou"):
            # Losses are float32.
            assert float(row[name]) == pytest.approx(float(other[name]), rel=1e-5)
    first, second = (torch.load(run.last_checkpoint, weights_only=True)["state_dict"] for run in (one, two))
    assert first.keys() == second.keys()
    for name, weight in first.items():
        assert torch.allclose(weight, second[name], rtol=1e-5, atol=1e-7), name
    assert json.loads(two.environment.read_text())["processes"] == 2


def test_the_scores_of_every_test_image_are_the_same(one: RunFolder, two: RunFolder) -> None:
    rows, others = read_csv(one.per_image), read_csv(two.per_image)
    for row, other in zip(rows, others, strict=True):
        for name in ("ece", "brier"):  # of probabilities, which are not the same to the last digit
            assert float(row.pop(name)) == pytest.approx(float(other.pop(name)), abs=1e-5)
    assert rows == others
    ids = [row["id"] for row in others]
    assert len(ids) == len(set(ids)) == 4


def test_the_temperature_is_the_same(one: RunFolder, two: RunFolder) -> None:
    first, second = (json.loads(run.temperature.read_text()) for run in (one, two))
    assert first == pytest.approx(second, rel=1e-3)
    assert first["pixels"] == second["pixels"] == 4 * 64 * 64


def test_an_evaluation_on_two_processes_has_the_scores_of_one(two: RunFolder) -> None:
    done = command(
        "evaluate", str(two.path), "trainer.devices=2", "trainer.accelerator=cpu", "trust=true", cwd=two.path.parents[2]
    )
    assert done.returncode == 0, done.stderr
    (folder,) = (two.path / "evaluations").iterdir()
    assert (folder / "per_image.csv").read_bytes() == two.per_image.read_bytes()


def test_there_is_one_wandb_run(two: RunFolder) -> None:
    assert len(list(two.path.glob("wandb/offline-run-*"))) == 1
    assert not list(two.path.parent.parent.parent.glob("wandb")), "the second process keeps none of its own"
