from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
from hydra.core.hydra_config import HydraConfig

from medseg.runs.naming import IGNORED, canonical, flatten, is_ignored, leaves, run_name, setting_name
from medseg.runs.plan import settings_of
from tests.helpers import compose_config

DEFAULTS = {"model": "convunext", "data": "synthetic", "loss": "ce_dice", "optimizer": "adamw", "trainer": "auto"}
CONFIG: dict[str, Any] = {
    "experiment": "main",
    "seed": 0,
    "runs_dir": "runs",
    "model": {"_target_": "medseg.models.ConvUNeXt", "base_channels": 32},
    "data": {"image_size": 256, "fold": None, "source": None, "data_dir": "data", "num_workers": "auto"},
    "optimizer": {"lr": 0.001},
    "trainer": {"precision": "auto"},
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


@pytest.mark.parametrize(
    ("key", "value", "other"),
    [
        ("data.image_size", 256, [256, 256]),
        ("trainer.precision", "bf16-mixed", "bf16"),
        ("trainer.precision", "32-true", 32),
        ("trainer.precision", "16-mixed", "16"),
    ],
)
def test_two_ways_to_write_a_value_are_one_run(key: str, value: Any, other: Any) -> None:
    assert run_name(changed(key, value), DEFAULTS, DEFAULTS) == run_name(changed(key, other), DEFAULTS, DEFAULTS)
    assert leaves(changed(key, value)) == leaves(changed(key, other))


RUN = "/runs/main/unet-kvasir-0123abcd"
"""Path of the runs of all seeds, without `-seed<k>`."""


@pytest.mark.parametrize(
    ("path", "name"),
    [
        (f"{RUN}-seed0", "unet-kvasir-0123abcd"),
        (f"{RUN}-seed11/", "unet-kvasir-0123abcd"),
        (f"elsewhere/.{RUN}-seed0/checkpoints", "unet-kvasir-0123abcd"),
        (f"/of-seed3{RUN}-seed1/checkpoints/best.ckpt", "unet-kvasir-0123abcd"),
        (f"{RUN}-seed0/checkpoints/last.ckpt", "unet-kvasir-0123abcd/checkpoints/last.ckpt"),
        ("/p/pre-seed0/a.pth", "pre/a.pth"),
        ("/p/pre-seed0/../w.pth", "/p/w.pth"),
        ("./w-seed0.pth", "w-seed0.pth"),
    ],
)
def test_weights_to_begin_with_are_named_by_their_run_and_their_file(path: str, name: str) -> None:
    assert leaves({"initial_weights": path})["initial_weights"] == name
    of_run = name.partition("/")[0] if name[0] in "up" else name
    assert leaves({"continue_from": path})["continue_from"] == of_run, "every checkpoint in a run means the run"


def test_the_order_of_classes_counts() -> None:
    one, other = (changed("data.labels", dict(pairs)) for pairs in ((("a", 1), ("b", 2)), (("b", 2), ("a", 1))))
    assert run_name(one, DEFAULTS, DEFAULTS) != run_name(other, DEFAULTS, DEFAULTS)
    assert leaves(one)["data.labels"] == [["a", 1], ["b", 2]] != leaves(other)["data.labels"]


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


SAME_RESULT = {
    "experiment", "force", "dry_run", "runs_dir", "data_dir", "compile", "activation_checkpointing", "test", "metrics",
    "scores", "nsd_tolerance", "save_probabilities", "data.spacing", "data.metadata", "data.data_dir",
    "data.source", "data.download", "data.num_workers", "tuning.search", "tuning.space", "tuning.trials",
}  # fmt: skip
"""Written out once more: a key that `IGNORED` gains by mistake must not go unnoticed."""


def flipped(node: Any) -> Iterator[tuple[str, Any]]:
    """Yield a configuration once for each of its leaves, with that leaf changed, and the leaf's key."""
    whole, waiting = node, [("", (), node)]
    while waiting:
        key, path, value = waiting.pop()
        children = list(
            value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        )
        waiting += [(f"{key}.{name}".lstrip("."), (*path, name), child) for name, child in children]
        if not children:
            changed = copy.deepcopy(whole)
            parent = changed
            for name in path[:-1]:
                parent = parent[name]
            parent[path[-1]] = other_than(value)
            yield key, changed


def other_than(value: Any) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    return {"x": 1} if value == {} else ["x"] if value == [] else f"{value}x"


@pytest.mark.parametrize(
    "words",
    [
        ("model=unet", "data=kvasir", "logger=csv"),
        ("model=convunext", "data=isic", "protocol=released", "logger=csv"),
        ("model=amsunet", "data=dsb", "data.fold=1", "callbacks=[ema,early_stopping]", "logger=tensorboard"),
        ("model=ushape", "data=folder", "data.root=/mine", "loss=weighted_ce", "optimizer=sgd", "augmentation=none"),
        ("model=smp", "data=synthetic", "budget=smoke", "scheduler=plateau", "trainer=ddp"),
    ],
)
def test_each_leaf_of_a_configuration_is_in_the_name_or_listed_here(words: tuple[str, ...]) -> None:
    cfg = compose_config("train", *words)
    choices = dict(HydraConfig.get().runtime.choices)
    settings = settings_of(cfg, cfg.data.get("root"))
    name = run_name(settings, choices, DEFAULTS)
    same = {key for key, changed in flipped(settings) if run_name(changed, choices, DEFAULTS) == name}
    # Only with initial weights does `strict` count.
    assert {key for key in same if key.partition(".")[0] not in ("logger", "hydra")} == {"strict"} | SAME_RESULT & {
        key for key, _ in flipped(settings)
    }
    assert len(list(flipped(settings))) > 50


def test_what_is_ignored_is_a_list_that_somebody_has_thought_about() -> None:
    assert {*IGNORED} == {*SAME_RESULT, "logger", "hydra", "seed"}


def test_a_key_is_ignored_with_all_below_it() -> None:
    assert is_ignored("logger.wandb.mode")
    assert is_ignored("data.num_workers")
    assert not is_ignored("data.num_workers_")
    assert not is_ignored("data")
    assert not is_ignored("model.seed")


def test_a_configuration_is_flattened() -> None:
    nested = {"a": {"b": 1, "none": None, "empty": {}}, "list": [1, [2]], "steps": [{"p": 1}, {"of": [{"q": 2}]}, 3]}
    assert flatten(nested) == {
        "a.b": 1, "a.none": None, "list": [1, [2]], "steps.0.p": 1, "steps.1.of.0.q": 2, "steps.2": 3,
    }  # fmt: skip


def test_equal_values_are_equal_texts() -> None:
    assert canonical(1) == canonical(1.0) != canonical(True)
    assert canonical([1.0, {"a": 2.0}]) == canonical((1, {"a": 2}))
    assert len({canonical(value) for value in (0, False, None, "", "0", "None", [], 0.5, float("nan"))}) == 9
