"""Protocols and budgets: what they set, who wins, and that a run under them is another run."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from medseg.commands.command import help_text
from medseg.commands.train import COMMAND
from medseg.config import yaml_files
from medseg.config.overrides import normalize_overrides
from medseg.runs.plan import plan_run
from medseg.system.files import read_csv
from tests.helpers import command, compose_config, train

# What each sets, written down once more.
PROTOCOLS: dict[str, dict[str, Any]] = {
    "medseg": {"optimizer.lr": 1e-3, "optimizer.weight_decay": 1e-2, "trainer.max_epochs": 100},
    "released": {
        "data.image_size": 480,
        "data.batch_size": 4,
        "optimizer._target_": "torch.optim.AdamW",
        "optimizer.lr": 1.5e-3,
        "optimizer.weight_decay": 5e-5,
        "scheduler._target_": "medseg.training.schedules.warmup_poly",
        "scheduler.warmup_epochs": 1,
        "scheduler.power": 0.9,
        "loss._target_": "medseg.training.losses.CEDiceLoss",
        "loss.ce_weight": 1.0,
        "loss.dice_weight": 1.0,
        "loss.class_weights": None,
        "loss.smooth": 0.0,
        "augmentation.transforms": [
            {"_target_": "albumentations.RandomScale", "scale_limit": [-0.148, 0.6], "p": 1.0},
            {"_target_": "albumentations.HorizontalFlip", "p": 0.5},
            {"_target_": "albumentations.VerticalFlip", "p": 0.5},
        ],
        "augmentation.image_size": 480,
        "trainer.max_epochs": 300,
        "trainer.precision": "32-true",
        "trainer.gradient_clip_val": None,
        "trainer.accumulate_grad_batches": 1,
    },
}
PROTOCOLS["released_amsunet"] = PROTOCOLS["released"] | {
    "data.batch_size": 2,
    "optimizer.lr": 2e-3,
    "augmentation.transforms": [
        {"_target_": "albumentations.RandomScale", "scale_limit": [-0.177, 0.529], "p": 1.0},
        *PROTOCOLS["released"]["augmentation.transforms"][1:],
    ],
}
PROTOCOLS["tuned"] = {
    **PROTOCOLS["medseg"],
    "tuning.search": "grid",
    "tuning.space": {"optimizer": {"lr": ["x0.3", "x1", "x3"]}},
    "tuning.trials": None,
    "tuning.epochs": None,
    "tuning.seed": 0,
    "tuning.pruning": "median",
}
BUDGETS: dict[str, dict[str, Any]] = {
    "full": {"trainer.limit_train_batches": None},
    "short": {"data.image_size": 96, "trainer.max_epochs": 10, "trainer.limit_train_batches": 20},
    "smoke": {"data.image_size": 96, "trainer.max_epochs": 1, "trainer.limit_train_batches": 2},
}
MODELS = ("unet", "convunext", "amsunet", "unext", "segnext_t", "smp", "unet2015")
EXPERIMENT = """\
# @package _global_
# A study of its own: fixed epochs, an optimizer, a size.
defaults:
  - override /protocol: released
  - override /optimizer: sgd
  - override /model: unet
experiment: own
data:
  image_size: 128
trainer:
  max_epochs: 77
"""


def look_up(cfg: DictConfig, key: str) -> Any:
    value = OmegaConf.select(cfg, key)
    return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value


def assert_has(cfg: DictConfig, expected: dict[str, Any]) -> None:
    assert {key: look_up(cfg, key) for key in expected} == expected


@pytest.fixture
def own_experiment(tmp_path: Path) -> str:
    (tmp_path / "experiments").mkdir()
    (tmp_path / "experiments" / "own.yaml").write_text(EXPERIMENT)
    return f"hydra.searchpath=[file://{tmp_path}]"


def test_every_option_is_tested_here() -> None:
    assert set(PROTOCOLS) == set(yaml_files.options("protocol"))
    assert set(BUDGETS) == set(yaml_files.options("budget"))


@pytest.mark.slow
@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("budget", BUDGETS)
def test_every_combination_composes(protocol: str, budget: str) -> None:
    # Each network meets every protocol, every budget and every dataset.
    shift = 2 * list(PROTOCOLS).index(protocol) + list(BUDGETS).index(budget)
    models = itertools.islice(itertools.cycle(MODELS), shift, None)
    for data, model in zip(yaml_files.options("data"), models, strict=False):
        root = {"folder": ["data.root=x"], "medsegbench": ["data.dataset.name=busi"]}.get(data, [])
        chosen = (f"protocol={protocol}", f"budget={budget}", f"data={data}", f"model={model}")
        cfg = compose_config("train", *chosen, *root)
        expected = PROTOCOLS[protocol] | BUDGETS[budget]
        if "augmentation.image_size" in expected:
            expected["augmentation.image_size"] = expected["data.image_size"]
        assert_has(cfg, expected)
        OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
        plain = compose_config("train", f"data={data}", f"model={model}", *root)
        assert cfg.model == plain.model
        assert cfg.data.dataset == plain.data.dataset


def test_the_defaults_change_nothing() -> None:
    assert compose_config("train") == compose_config("train", "protocol=medseg", "budget=full")
    for group, option in (("protocol", "medseg"), ("budget", "full")):
        content = yaml.safe_load((yaml_files.config_dir() / group / f"{option}.yaml").read_text())
        assert content == {}, "nothing but its comments"


def test_the_command_line_wins() -> None:
    released = compose_config("train", "protocol=released", "optimizer=sgd", "augmentation=light", "loss=focal")
    alone = compose_config("train", "optimizer=sgd", "augmentation=light", "loss=focal", "data.image_size=480")
    for group in ("optimizer", "loss", "augmentation"):
        assert look_up(released, group) == look_up(alone, group), "an option brings its own numbers"
    assert_has(released, {"trainer.max_epochs": 300, "data.batch_size": 4})
    cfg = compose_config("train", "data.image_size=32", "trainer.max_epochs=3", "protocol=released", "budget=smoke")
    assert_has(cfg, {"data.image_size": 32, "trainer.max_epochs": 3, "data.batch_size": 4})


def test_an_experiment_chooses_a_protocol_and_wins_over_it(own_experiment: str) -> None:
    cfg = compose_config("train", own_experiment, "+experiments=own")
    assert HydraConfig.get().runtime.choices["protocol"] == "released"
    assert_has(cfg, {"trainer.max_epochs": 77, "data.image_size": 128, "experiment": "own"})
    assert_has(cfg, {"optimizer._target_": "torch.optim.SGD", "optimizer.lr": 1e-2, "data.batch_size": 4})
    assert_has(cfg, {"loss.smooth": 0.0, "model._target_": "medseg.models.UNet"})
    cfg = compose_config("train", own_experiment, "+experiments=own", "protocol=medseg", "optimizer=adam")
    assert_has(cfg, {"trainer.max_epochs": 77, "data.batch_size": 8, "optimizer._target_": "torch.optim.Adam"})


@pytest.mark.parametrize("budget", ["smoke", "short"])
@pytest.mark.parametrize("first", [True, False])
def test_a_budget_wins_over_an_experiment(own_experiment: str, budget: str, first: bool) -> None:
    words = [f"budget={budget}", "+experiments=own"]
    cfg = compose_config("train", own_experiment, *(words if first else reversed(words)))
    assert_has(cfg, BUDGETS[budget])
    assert_has(cfg, {"experiment": "own", "data.batch_size": 4, "optimizer.lr": 1e-2})
    cfg = compose_config("train", own_experiment, *words, "trainer.max_epochs=5", "protocol=medseg")
    assert_has(cfg, BUDGETS[budget] | {"trainer.max_epochs": 5, "data.batch_size": 8})


def test_an_experiment_can_have_a_budget_of_its_own(own_experiment: str, tmp_path: Path) -> None:
    file = tmp_path / "experiments" / "small.yaml"
    file.write_text("# @package _global_\ndefaults:\n  - override /budget: short\ntrainer:\n  max_epochs: 4\n")
    cfg = compose_config("train", own_experiment, "+experiments=small")
    assert_has(cfg, BUDGETS["short"] | {"trainer.max_epochs": 4})
    cfg = compose_config("train", own_experiment, "+experiments=small", "budget=smoke")
    assert_has(cfg, BUDGETS["smoke"])


@pytest.mark.parametrize("budget", ["smoke", "short"])
def test_a_budget_scales_every_experiment(budget: str) -> None:
    root = yaml_files.config_root()
    for file in sorted((root / "experiments").rglob("*.yaml")):
        if not file.read_text().startswith("# @package _global_"):
            continue
        name = file.relative_to(root / "experiments").with_suffix("")
        words = (f"hydra.searchpath=[file://{root}]", f"+experiments={name}", f"budget={budget}")
        assert_has(compose_config("train", *words), BUDGETS[budget])


def test_arguments_that_hydra_needs_otherwise() -> None:
    words = ["+experiments=a/b", "seed=0,1", "budget=smoke"]
    meant = normalize_overrides(words)
    assert meant == ["experiments@_global_=a/b", "seed=0,1", "budget=smoke"]
    assert normalize_overrides(meant) == meant, "a job of a sweep is given them once more"
    assert normalize_overrides(words[:2]) == words[:2]


def test_a_protocol_and_a_budget_are_another_run_and_in_its_name(tmp_path: Path) -> None:
    def name(*words: str) -> str:
        cfg = compose_config("train", "model=unet", f"runs_dir={tmp_path}", *words)
        plan = plan_run(cfg, HydraConfig.get())
        assert plan.folder.path.name.startswith(plan.record["setting"])
        return plan.folder.path.name.rpartition("-seed")[0]

    plain = name()
    assert plain == name("protocol=medseg", "budget=full")
    released = name("protocol=released")
    # What a protocol chooses is not said again; what is chosen instead is.
    assert released.rpartition("-")[0] == "unet-synthetic-released"
    changed = name("protocol=released_amsunet", "budget=smoke", "augmentation=default")
    assert changed.rpartition("-")[0] == "unet-synthetic-released_amsunet-smoke-default"
    assert len({word.rpartition("-")[2] for word in (plain, released, changed, name("budget=smoke"))}) == 4


def test_usual_choices() -> None:
    usual = yaml_files.usual_choices("released_amsunet")
    assert usual | {"augmentation": "amsunet", "optimizer": "adamw_amsunet", "loss": "ce_dice_released"} == usual
    assert usual["data"] == "synthetic"
    assert yaml_files.usual_choices("medseg") == yaml_files.primary("train")[0] == yaml_files.usual_choices("of my own")


def test_help_lists_both_groups() -> None:
    text = help_text(COMMAND)
    assert "   * medseg           Ours: validation selects" in text
    assert "     smoke            Seconds" in text
    assert "@" not in text.partition("Examples:")[0]


def test_a_wrong_budget_gets_one_line(tmp_path: Path) -> None:
    done = command("train", "budget=smok", "+experiments=demo", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("error: unknown budget 'smok'; did you mean 'smoke'?")
    done = command("train", "budget=smoke", "+experiments=dem", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("error: unknown experiments 'dem'; did you mean 'demo'?")


@pytest.mark.parametrize("protocol", ["medseg", "released"])
def test_a_smoke_run(protocol: str, tmp_path: Path) -> None:
    words = ("model=unet", "model.base_channels=4", "data.dataset.count=50", "trainer=cpu", "logger=csv")
    words = (*words, "data.num_workers=0", f"protocol={protocol}", "budget=smoke")
    folder = train(tmp_path, *words, tiny=False)
    assert folder.finished
    (epoch,) = read_csv(folder.metrics)
    assert int(epoch["step"]) == 2, "two batches of the five and more that there are"
    summary = json.loads(folder.summary.read_text())
    assert summary["images"] == 5, "the test split is never cut"
    assert summary["evaluation_size"] == [96, 96]
    assert "smoke" in folder.path.name
    # The scores that the papers report.
    assert {"pooled_dice", "mean_iou_with_background"} <= set(summary["conventions"])
    assert summary["headline"]["dice"]["mean"] is not None


@pytest.mark.slow
def test_the_jobs_of_a_sweep_have_the_budget_of_the_sweep(tmp_path: Path) -> None:
    (tmp_path / "experiments").mkdir()
    text = EXPERIMENT.replace("  - override /model: unet\n", "  - override /model: unet\n  - override /logger: csv\n")
    (tmp_path / "experiments" / "own.yaml").write_text(text)
    words = ("model.base_channels=4", "data.dataset.count=20", "trainer=cpu", "data.num_workers=0")
    done = command(
        "train", "-m", f"hydra.searchpath=[file://{tmp_path}]", "+experiments=own", "budget=smoke", "seed=0,1", *words,
        cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    runs = list((tmp_path / "runs" / "own").glob("unet-synthetic-released-smoke-sgd-*/config.yaml"))
    assert len(runs) == 2
    for run in runs:
        settings = yaml.safe_load(run.read_text())
        assert settings["trainer"]["max_epochs"] == 1
        assert settings["data"]["image_size"] == 96
