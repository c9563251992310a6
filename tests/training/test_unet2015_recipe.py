"""The whole recipe of U-Net 2015, `+experiments=unet2015/...`, small: it trains, resumes, is scored, and refuses."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from medseg.config import yaml_files
from medseg.data.splits.split_files import read_table
from medseg.errors import ConfigError
from medseg.models import UNet2015
from medseg.runs.folder import RunFolder
from medseg.system.files import read_csv, read_yaml
from medseg.training.losses import WeightedCrossEntropyLoss
from medseg.training.task import SegmentationTask
from tests.data.image_files import encode, pillow
from tests.data.tiny import picture, write_zip
from tests.helpers import TINY, compose_config, train

SEARCHPATH = f"hydra.searchpath=[file://{yaml_files.config_root()}]"
SMALL = (
    "model.base_channels=2", "data.image_size=32", "data.num_workers=0", "trainer=cpu", "trainer.max_epochs=2",
    "+trainer.limit_train_batches=3", "+trainer.limit_val_batches=3", "logger=csv",
)  # fmt: skip


def nuclei() -> dict[str, bytes]:
    """As many images as DSB 2018 has, with its ids; two touching nuclei in each."""
    left, right = np.zeros((32, 32), np.uint8), np.zeros((32, 32), np.uint8)
    left[8:24, 4:16], right[8:24, 16:28] = 255, 255
    masks = {"a": encode(left), "b": encode(right)}
    files = {}
    for number, id_ in enumerate(read_table("dsb", "stratified")):
        image = np.dstack([picture(number % 7, 32, 32), np.full((32, 32), 255, np.uint8)])
        files[f"{id_}/images/{id_}.png"] = encode(image)
        files |= {f"{id_}/masks/{name}.png": data for name, data in masks.items()}
    return files


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recipe")
    write_zip(folder / "data" / "stage1_train.zip", nuclei(), method=0)
    return folder


@pytest.fixture(scope="module")
def run(place: Path) -> RunFolder:
    return train(place, SEARCHPATH, "+experiments=unet2015/dsb", *SMALL, tiny=False)


def test_it_composes_what_the_paper_says() -> None:
    for name in ("isbi", "dsb"):
        cfg = compose_config("train", SEARCHPATH, f"+experiments=unet2015/{name}")
        assert cfg.model._target_ == "medseg.models.UNet2015"
        assert (cfg.model.base_channels, cfg.model.dropout) == (64, 0.5)
        assert (cfg.optimizer._target_, cfg.optimizer.momentum) == ("torch.optim.SGD", 0.99)
        assert cfg.data.batch_size == 1
        assert (cfg.data.border_weights, cfg.data.border_w0, cfg.data.border_sigma) == (True, 10, 5)
        assert cfg.loss._target_ == "medseg.training.losses.WeightedCrossEntropyLoss"
        transforms = [node._target_ for node in cfg.augmentation.transforms]
        assert "medseg.data.augmentation.CoarseElastic" in transforms


def test_it_trains_and_is_scored(run: RunFolder, place: Path) -> None:
    assert run.finished
    assert run.path.parent.name == "unet2015"
    assert [np.isfinite(float(row["train/loss"])) for row in read_csv(run.metrics)] == [True] * 2
    summary = json.loads(run.summary.read_text())
    assert summary["images"] == 67
    (prepared,) = (place / "data" / "prepared").glob("dsb-32x32-*")
    assert summary["prepared"] == str(prepared)
    assert len(list(prepared.glob("border-*"))) == 1
    assert read_yaml(run.config)["data"]["border_weights"] is True


def test_it_is_scored_again_without_the_border_maps(run: RunFolder, place: Path, monkeypatch) -> None:
    from medseg.data import module
    from medseg.training.evaluation import evaluate_checkpoint

    monkeypatch.setattr(module, "prepare_border", lambda *a, **k: pytest.fail("evaluation needs no border maps"))
    words = [f"checkpoint={run.path}", "trainer.accelerator=cpu"]
    folder, _ = evaluate_checkpoint(compose_config("evaluate", *words), words)
    assert (folder / "per_image.csv").read_bytes() == (run.test / "per_image.csv").read_bytes()


@pytest.mark.slow
def test_an_interrupted_run_resumes_as_if_nothing_had_been(run: RunFolder, place: Path) -> None:
    # The callback of tests/training/test_job.py interrupts in the third epoch, but not the experiment "unbroken".
    interrupt = "+callbacks.interrupt._target_=tests.training.test_job.Interrupt"
    arguments = (SEARCHPATH, "+experiments=unet2015/dsb", *SMALL, "trainer.max_epochs=4", interrupt)
    with pytest.raises(KeyboardInterrupt):
        train(place, *arguments, "experiment=broken", tiny=False)
    resumed = train(place, *arguments, "experiment=broken", tiny=False)
    assert "resuming" in resumed.log.read_text()
    unbroken = train(place, *arguments, "experiment=unbroken", tiny=False)
    first, second = (torch.load(each.last_checkpoint, weights_only=True)["state_dict"] for each in (resumed, unbroken))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_it_trains_on_slices_with_deep_supervision(tmp_path: Path) -> None:
    from PIL import Image

    labels = np.full((32, 32), 255, np.uint8)
    labels[:, 15:17] = labels[15:17] = 0
    pages = {"volume": [picture(k, 32, 32)[..., 0] for k in range(30)], "labels": [labels] * 30}
    files = {}
    for name, arrays in pages.items():
        first, *others = [Image.fromarray(page) for page in arrays]
        files[f"train-{name}.tif"] = pillow(first, "TIFF", save_all=True, append_images=others)
    write_zip(tmp_path / "data" / "isbi2012.zip", files)
    run = train(
        tmp_path, SEARCHPATH, "+experiments=unet2015/isbi", *SMALL, "trainer.max_epochs=1", "model.tile=20",
        "model.deep_supervision=true", tiny=False,
    )  # fmt: skip
    assert run.finished
    assert json.loads(run.summary.read_text())["images"] == 6


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["loss=weighted_ce"], r"WeightedCrossEntropyLoss needs a weight .* give data\.border_weights=true"),
        (["data.border_weights=true"], r"but CEDiceLoss cannot use weights: choose loss=weighted_ce"),
        (["loss=weighted_ce", "data.border_weights=1"], r"data\.border_weights is 1; it must be true or false"),
        (["loss=weighted_ce", "data.border_weights=true", "data.border_sigma=-5"], r"data\.border_sigma is -5"),
        (["model=unet2015", "model.base_channels=2", "model.tile=100", "model.skip=se"], "does not go with skip=se"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_made(
    overrides: list[str], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        train(tmp_path, *TINY, *overrides, tiny=False)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "runs").exists() or not list((tmp_path / "runs").glob("*/*/config.yaml"))


def test_any_network_can_use_the_weights(tmp_path: Path) -> None:
    run = train(tmp_path, "data.dataset.style=nuclei", "data.border_weights=true", "loss=weighted_ce")
    assert run.finished
    assert "weighted_ce" in run.path.name


def test_every_output_of_deep_supervision_is_weighed() -> None:
    torch.manual_seed(0)
    mask, weight = torch.randint(0, 2, (1, 9, 9)), torch.rand(1, 9, 9)
    network = UNet2015(base_channels=2, deep_supervision=True)
    loss = WeightedCrossEntropyLoss()
    task = SegmentationTask(network, loss=loss, class_names=("background", "cell"))
    outputs = network.train()(torch.randn(1, 3, 9, 9))
    expected = torch.stack([loss(output, mask, weight) for output in outputs]).mean()
    torch.testing.assert_close(task.compute_loss(outputs, mask, weight), expected)
    assert not torch.allclose(task.compute_loss(outputs, mask), expected)


class Several(nn.Module):
    """Returns two outputs in evaluation as well: background everywhere, then foreground everywhere."""

    def forward(self, image: torch.Tensor) -> list[torch.Tensor]:
        foreground = torch.zeros(len(image), 2, *image.shape[2:])
        foreground[:, 1] = 1
        return [1 - foreground, foreground]


def test_the_last_output_counts() -> None:
    task = SegmentationTask(Several(), class_names=("background", "cell")).eval()
    predicted: dict[int, np.ndarray] = {}
    task.scorer = SimpleNamespace(add=predicted.__setitem__)  # type: ignore[assignment]
    task.test_step({"image": torch.rand(2, 3, 9, 9), "index": torch.arange(2)}, 0)
    assert all((predicted[index].argmax(0) == 1).all() for index in (0, 1))
