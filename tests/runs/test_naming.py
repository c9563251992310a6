from __future__ import annotations

import copy
from typing import Any

import pytest

from medseg.runs.naming import run_name, setting_name

DEFAULTS = {"model": "convunext", "data": "synthetic", "loss": "ce_dice", "optimizer": "adamw", "trainer": "auto"}
CONFIG: dict[str, Any] = {
    "experiment": "main",
    "seed": 0,
    "runs_dir": "runs",
    "model": {"_target_": "medseg.models.ConvUNeXt", "base_channels": 32},
    "data": {"image_size": 256, "fold": None, "source": None, "data_dir": "data", "num_workers": "auto"},
    "optimizer": {"lr": 0.001},
    "logger": {},
}


def changed(key: str, value: Any) -> dict[str, Any]:
    config = copy.deepcopy(CONFIG)
    *parents, last = key.split(".")
    node = config
    for parent in parents:
        node = node[parent]
    node[last] = value
    return config


def test_the_same_configuration_finds_its_own_run() -> None:
    assert run_name(CONFIG, DEFAULTS, DEFAULTS) == run_name(copy.deepcopy(CONFIG), DEFAULTS, DEFAULTS)
    assert run_name(CONFIG, DEFAULTS, DEFAULTS).startswith("convunext-synthetic-")
    assert run_name(CONFIG, DEFAULTS, DEFAULTS).endswith("-seed0")


@pytest.mark.parametrize(
    ("key", "value"),
    [("model.base_channels", 16), ("data.image_size", 128), ("optimizer.lr", 0.01), ("data.fold", 1), ("seed", 1)],
)
def test_a_changed_setting_is_a_new_run(key: str, value: Any) -> None:
    assert run_name(changed(key, value), DEFAULTS, DEFAULTS) != run_name(CONFIG, DEFAULTS, DEFAULTS)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("runs_dir", "elsewhere"),
        ("experiment", "other"),
        ("data.source", "downloads"),
        ("data.data_dir", "elsewhere"),
        ("data.num_workers", 4),
        ("logger", {"wandb": {"mode": "online"}}),
    ],
)
def test_what_does_not_change_the_result_does_not_change_the_name(key: str, value: Any) -> None:
    assert run_name(changed(key, value), DEFAULTS, DEFAULTS) == run_name(CONFIG, DEFAULTS, DEFAULTS)


def test_seeds_share_the_name_of_their_setting() -> None:
    names = {setting_name(changed("seed", seed), DEFAULTS, DEFAULTS) for seed in range(3)}
    assert len(names) == 1


def test_choices_beside_the_defaults_and_the_fold_are_in_the_name() -> None:
    choices = {**DEFAULTS, "optimizer": "sgd", "loss": "focal"}
    assert run_name(changed("data.fold", 2), choices, DEFAULTS).startswith("convunext-synthetic-focal-sgd-fold2-")


def test_many_networks_of_one_option_are_told_apart() -> None:
    config = changed("model", {"arch": "unetplusplus", "encoder_name": "resnet18"})
    assert run_name(config, {**DEFAULTS, "model": "smp"}, DEFAULTS).startswith("smp_unetplusplus_resnet18-")
    config = changed("model", {"_target_": "my_package.nets.MyNet"})
    assert run_name(config, {**DEFAULTS, "model": "custom"}, DEFAULTS).startswith("MyNet-")


def test_callbacks_are_in_the_name() -> None:
    name = run_name({**CONFIG, "callbacks": {"ema": {}, "early_stopping": {}}}, DEFAULTS, DEFAULTS)
    assert name.startswith("convunext-synthetic-early_stopping-ema-")


def test_a_name_is_a_plain_folder_name() -> None:
    choices = {**DEFAULTS, "model": "custom"}
    name = run_name(changed("model", {"_target_": "a/b c.Net[1]"}), choices, DEFAULTS)
    assert not set(name) - set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")
