"""Every YAML that medseg ships: it composes, what it describes can be built, and it does its part of a step."""

from __future__ import annotations

from pathlib import Path

import hydra
import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from medseg.config import yaml_files
from medseg.config.instantiate import instantiate
from tests.helpers import compose_config
from tests.models.builds import build

EXPERIMENTS = yaml_files.config_root() / "experiments"
LEARNT = [(group, option) for group in yaml_files.groups() for option in yaml_files.options(group)]


def options(group: str) -> list[str]:
    return list(yaml_files.options(group))


@pytest.mark.parametrize(("group", "option"), LEARNT)
def test_every_option_composes(group: str, option: str) -> None:
    needed = {"folder": ["data.root=x"], "medsegbench": ["data.dataset.name=busi"]}
    cfg = compose_config("train", f"{group}={option}", *needed.get(option, []))
    OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)


@pytest.mark.parametrize("file", sorted(EXPERIMENTS.rglob("*.yaml")), ids=lambda file: file.stem)
def test_every_experiment_composes(file: Path) -> None:
    experiment = file.relative_to(EXPERIMENTS).with_suffix("")
    cfg = compose_config("train", f"hydra.searchpath=[file://{yaml_files.config_root()}]", f"+experiments={experiment}")
    OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)


def test_values_have_the_types_they_look_like() -> None:
    cfg = compose_config("train")
    assert isinstance(cfg.optimizer.lr, float)
    assert isinstance(cfg.optimizer.weight_decay, float)


@pytest.mark.parametrize("option", [option for option in options("model") if option != "custom"])
def test_every_network_trains_a_step_at_the_datas_channels_and_classes(option: str) -> None:
    network = build(option, "data.in_channels=1", "data.num_classes=3")
    loss = hydra.utils.instantiate(compose_config("train").loss, _convert_="all")
    logits = network(torch.randn(2, 1, 64, 96))
    assert logits.shape == (2, 3, 64, 96)
    loss(logits, torch.randint(0, 3, (2, 64, 96))).backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in network.parameters() if parameter.grad is not None)


@pytest.mark.parametrize("option", options("loss"))
@pytest.mark.parametrize("classes", [2, 4])
def test_every_loss_falls_when_the_prediction_improves(option: str, classes: int) -> None:
    torch.manual_seed(0)
    loss = hydra.utils.instantiate(compose_config("train", f"loss={option}").loss, _convert_="all")
    mask = torch.randint(0, classes, (2, 16, 16))
    right = 6.0 * torch.nn.functional.one_hot(mask, classes).permute(0, 3, 1, 2).float()
    wrong = right.roll(1, dims=1)
    assert loss(right, mask) < loss(torch.zeros_like(right), mask) < loss(wrong, mask)
    ignored = mask.clone()
    ignored[:, :8] = 255
    worse = right.clone()
    worse[:, :, :8] = wrong[:, :, :8]
    assert torch.allclose(loss(right, ignored), loss(worse, ignored), atol=1e-4), "ignored pixels do not count"


@pytest.mark.parametrize("optimizer", options("optimizer"))
@pytest.mark.parametrize("scheduler", options("scheduler"))
def test_every_optimizer_with_every_schedule(optimizer: str, scheduler: str) -> None:
    cfg = compose_config("train", f"optimizer={optimizer}", f"scheduler={scheduler}")
    weight = torch.nn.Parameter(torch.tensor([2.0]))
    made = instantiate(cfg.optimizer)([weight])
    schedule = hydra.utils.instantiate(cfg.scheduler)(made, total_steps=20, steps_per_epoch=5)
    rates = []
    for _ in range(20):
        made.zero_grad()
        (weight**2).sum().backward()
        made.step()
        rates.append(made.param_groups[0]["lr"])
        if schedule["interval"] == "step":
            schedule["scheduler"].step()
    assert weight.item() < 2.0
    assert max(rates) <= cfg.optimizer.lr * (1 + 1e-6)
    if scheduler in ("poly", "cosine"):
        assert rates[0] < 0.1 * cfg.optimizer.lr
        assert made.param_groups[0]["lr"] < 0.05 * cfg.optimizer.lr


@pytest.mark.parametrize("option", options("augmentation"))
@pytest.mark.parametrize("size", ["[64,64]", "[48,80]"])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_augmentation_keeps_shape_and_labels(option: str, size: str, channels: int) -> None:
    cfg = compose_config("train", f"augmentation={option}", f"data.image_size={size}")
    augmentation = hydra.utils.instantiate(cfg.augmentation, _convert_="all")
    height, width = cfg.data.image_size
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (height, width, channels), dtype=np.uint8)
    mask = np.zeros((height, width), np.uint8)
    mask[10:30, 10:40] = 2
    for seed in range(20):
        changed, labels = augmentation(image, mask, seed) if augmentation else (image, mask)
        assert changed.shape == image.shape
        assert changed.dtype == np.uint8
        assert labels.shape == mask.shape
        assert set(np.unique(labels)) <= {0, 2, 255}


def test_yaml_files_are_short() -> None:
    for file in (yaml_files.config_dir() / "model").glob("*.yaml"):
        assert len(Path(file).read_text().splitlines()) <= 10, file
