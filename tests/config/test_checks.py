"""Values that cannot be are refused with one line, before anything is loaded."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig, ListConfig, OmegaConf, open_dict

from medseg.config import yaml_files
from medseg.config.checks.check import check
from medseg.errors import ConfigError
from tests.helpers import command, compose_config

COMMANDS = (
    "train", "prepare", "inspect", "evaluate", "score", "predict", "demo", "export", "import_checkpoint", "report",
    "status", "pack", "unpack", "card", "wandb_sync", "describe", "benchmark",
)  # fmt: skip


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("seed=-1", "seed is -1; it must be a whole number from 0 to 4294967295"),
        ("seed=true", "seed is true"),
        ("compile=3", "compile is 3; it must be true or false"),
        ("channels_last=yes", "channels_last is 'yes'; it must be true or false"),
        ("runs_dir=''", "runs_dir is ''; it must be a path, not empty"),
        ("data_dir=' '", "data_dir is ' '; it must be a path"),
        ("experiment=../elsewhere", "it must be the name of a folder below runs_dir"),
        ("trainer.max_epochs=0", "trainer.max_epochs is 0; it must be a whole number from 1"),
        ("trainer.max_epochs=-1", "trainer.max_epochs is -1"),
        ("trainer.max_epochs=1.5", "trainer.max_epochs is 1.5"),
        ("trainer.max_epochs=null", "trainer.max_epochs is null"),
        ("trainer.max_epochs='3'", "trainer.max_epochs is '3'"),
        ("trainer.check_val_every_n_epoch=0", "trainer.check_val_every_n_epoch is 0; it must be a whole number from 1"),
        ("trainer.check_val_every_n_epoch=200", "it must be at most trainer.max_epochs, which is 100"),
        ("+trainer.max_steps=10", "trainer.max_steps is 10; it must be left out"),
        ("+trainer.fast_dev_run=true", "trainer.fast_dev_run is true; it must be left out"),
        (
            "+trainer.limit_val_batches=0",
            "trainer.limit_val_batches is 0; it must be null or a whole number of",
        ),
        ("+trainer.limit_train_batches=1.5", "trainer.limit_train_batches is 1.5"),
        ("trainer.gradient_clip_val=-1", "trainer.gradient_clip_val is -1; it must be null or a number from 0"),
        ("trainer.precision=64-true", "trainer.precision is '64-true'; it must be one of auto, 32-true, 32, bf16"),
        ("trainer.precision=bf16-true", "trainer.precision is 'bf16-true'"),
        ("trainer.devices=0", "trainer.devices is 0; it must be a whole number from 1 to 1024, or -1 for all GPUs"),
        ("trainer.devices=many", "trainer.devices is 'many'"),
        ("trainer.accelerator=gpuu", "trainer.accelerator is 'gpuu'; it must be one of auto, cpu, gpu"),
        ("data.image_size=0", "data.image_size is 0; it must be a number of pixels, or [height, width]"),
        ("data.image_size=[64,64,64]", "data.image_size is [64, 64, 64]"),
        ("data.batch_size=auto", "data.batch_size is 'auto'; it must be a whole number from 1"),
        ("data.num_workers=-1", "data.num_workers is -1; it must be a whole number from 0"),
        ("data.fold=9", "data.fold is 9; it must be null or one of the 5 folds, 0 to 4"),
        ("data.in_channels=true", "data.in_channels is true; it must be 3 (RGB), 1 (grey) or the number of channels"),
        ("data.num_classes=1", "data.num_classes is 1; it must be null or a whole number from 2"),
        ("data.border_sigma=nan", "data.border_sigma is nan"),
        ("data.dataset.count=0", "data.dataset.count is 0"),
        ("+data.dataset.empty_fraction=1.5", "data.dataset.empty_fraction is 1.5; it must be a number from 0 to 1"),
        ("augmentation.transforms=[{_target_:albumentations.Affine,scale:[1.25,0.8]}]", "the smaller one first"),
        (
            "augmentation.transforms=[{_target_:albumentations.HorizontalFlip,p:2}]",
            "augmentation.transforms[0].p is 2; it must be a number from 0 to 1",
        ),
        ("augmentation.transforms=[{_target_:medseg.data.augmentation.CoarseElastic,std:-1}]", "[0].std is -1"),
        ("loss.ce_weight=-1", "loss.ce_weight is -1; it must be a number from 0"),
        ("loss.class_weights=5", "loss.class_weights is 5; it must be null, balanced, or a list of numbers"),
        ("loss.class_weights=[1,-1]", "loss.class_weights is [1, -1]; it must be null, balanced, or a list of numbers"),
        ("loss.class_weights=[0,0]", "not all of them 0"),
        ("loss.class_weights=balance", "loss.class_weights is 'balance'; it must be null, balanced, or a list"),
        ("loss.class_weights=[1,2,3] data.num_classes=2", "it must be one number for each of the 2 classes"),
        ("loss.ce_weight=0 loss.dice_weight=0", "loss.ce_weight is 0; it must be above 0 where loss.dice_weight is 0"),
        ("loss=focal loss.gamma=-2", "loss.gamma is -2; it must be a number from 0"),
        ("loss=tversky loss.alpha=-0.3", "loss.alpha is -0.3"),
        ("loss=tversky loss.alpha=0 loss.beta=0", "loss.alpha is 0; it must be above 0 where loss.beta is 0"),
        ("optimizer.lr=-1", "optimizer.lr is -1; it must be a number from 0"),
        (
            "optimizer.encoder_lr_factor=0",
            "optimizer.encoder_lr_factor is 0; it must be a number above 0, at most 1000",
        ),
        ("optimizer.lr_factors={head:-1}", "it must be null or a mapping of modules of the network to numbers above"),
        ("model.freeze_encoder=-1", "model.freeze_encoder is -1; it must be true or false or a whole number from 0"),
        ("strict=maybe", "strict is 'maybe'; it must be true or false"),
        ("optimizer.lr=nan", "optimizer.lr is nan; it must be a number from 0"),
        ("optimizer.lr=inf", "optimizer.lr is inf; it must be a number from 0"),
        ("optimizer.lr=high", "optimizer.lr is 'high'"),
        ("optimizer.lr=[0.1]", "optimizer.lr is [0.1]"),
        ("optimizer.weight_decay=-1e-3", "optimizer.weight_decay is -0.001; it must be a number from 0"),
        ("optimizer=sgd optimizer.momentum=5", "optimizer.momentum is 5; it must be a number from 0 up to, but not, 1"),
        ("optimizer=sgd optimizer.nesterov=true optimizer.momentum=0", "optimizer.momentum is 0; it must be above 0"),
        ("+optimizer.betas=[0.9,1]", "optimizer.betas is [0.9, 1]; it must be two numbers from 0 up to, but not, 1"),
        ("+optimizer.eps=0", "optimizer.eps is 0; it must be a number above 0"),
        ("scheduler.warmup_epochs=-1", "scheduler.warmup_epochs is -1; it must be a number from 0"),
        ("scheduler.warmup_epochs=101", "scheduler.warmup_epochs is 101; it must be at most trainer.max_epochs"),
        ("scheduler=cosine scheduler.min_factor=2", "scheduler.min_factor is 2; it must be a number from 0 to 1"),
        ("scheduler=plateau scheduler.patience=-1", "scheduler.patience is -1; it must be a whole number from 0"),
        ("scheduler=plateau scheduler.factor=2", "scheduler.factor is 2; it must be a number above 0, below 1"),
        ("callbacks=early_stopping callbacks.early_stopping.patience=-3", "callbacks.early_stopping.patience is -3"),
        ("callbacks=early_stopping callbacks.early_stopping.monitor=dice", "it must be one of val/dice, val/iou"),
        (
            "callbacks=early_stopping callbacks.early_stopping.mode=min",
            "callbacks.early_stopping.mode is 'min'; it must be max with monitor=val/dice",
        ),
        ("hydra/launcher=submitit_slurm hydra.launcher.timeout_min=-1", "hydra.launcher.timeout_min is -1; it must be"),
        ("hydra/launcher=submitit_slurm hydra.launcher.mem_gb=-1", "hydra.launcher.mem_gb is -1; it must be"),
        ("hydra/launcher=ray hydra.launcher.ray.remote.num_gpus=-1", "hydra.launcher.ray.remote.num_gpus is -1"),
        (
            "hydra/launcher=ray hydra.launcher.ray.remote.max_retries=2.5",
            "hydra.launcher.ray.remote.max_retries is 2",
        ),
        ("callbacks=ema callbacks.ema.decay=2", "callbacks.ema.decay is 2; it must be a number from 0 up to, but not"),
        ("logger.wandb.mode=ofline", "logger.wandb.mode is 'ofline'; it must be offline, online or disabled"),
        ("logger.wandb.tags=a", "logger.wandb.tags is 'a'; it must be a list"),
        ("logger=mlflow logger.mlflow.tags=a", "logger.mlflow.tags is 'a'; it must be a mapping of names"),
        ("logger=mlflow logger.mlflow.tracking_uri=''", "logger.mlflow.tracking_uri is ''; it must be null or a text"),
        ("logger=mlflow logger.mlflow.checkpoint=3", "logger.mlflow.checkpoint is 3; it must be true or false"),
        ("model=unet model.dropout=2", "model.dropout is 2; it must be a number from 0 up to, but not, 1"),
        ("model.base_channels=-8", "model.base_channels is -8; it must be a whole number from 1"),
        ("model.kernel_size=4", "model.kernel_size is 4; it must be an odd whole number"),
        ("model.depths=3", "model.depths is 3; it must be a list, not empty, of"),
    ],
)
def test_a_value_that_cannot_be(words: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        compose_config("train", *([words] if "' '" in words else words.split()))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("trainer.precision=32", "trainer.gradient_clip_val=0.5", "data.num_workers=auto"),
        ("optimizer=sgd", "optimizer.momentum=0", "optimizer.lr=0", "scheduler=plateau"),
        ("scheduler=none", "trainer=ddp"),
        ("hydra/launcher=ray",),
        ("hydra/launcher=submitit_slurm", "hydra.launcher.gpus_per_node=2"),
        ("callbacks=early_stopping", "callbacks.early_stopping.monitor=val/loss", "callbacks.early_stopping.mode=min"),
        ("budget=smoke", "scheduler.warmup_epochs=1"),
        ("loss.class_weights=balanced", "data.num_classes=2"),
        ("loss.class_weights=[0,1.5]", "+loss.smooth=0", "+optimizer.betas=[0.9,0.95]"),
        ("trainer.devices=[0,1]", "+trainer.limit_val_batches=0.5", "data.image_size=[64,96]"),
    ],
)
def test_values_that_can_be(words: tuple[str, ...]) -> None:
    compose_config("train", *words)


def test_whole_numbers_as_names_become_texts() -> None:
    cfg = compose_config("train", "experiment=2024", "runs_dir=7", "data=folder", "data.root=1")
    assert (cfg.experiment, cfg.runs_dir, cfg.data.root, cfg.data.source) == ("2024", "7", "1", "1")


@pytest.mark.parametrize(
    ("group", "words"),
    [
        ("model", ("+model._target_=mynet.MyNet", "+model.base_channels=-1", "+model.dropout=[a,b]")),
        ("loss", ("loss._target_=mine.Loss", "loss.ce_weight=-1", "+loss.gamma=x")),
        ("optimizer", ("optimizer._target_=mine.Optimizer", "optimizer.lr=auto", "+optimizer.momentum=5")),
        ("scheduler", ("scheduler._target_=mine.schedule", "scheduler.warmup_epochs=1000", "scheduler.power=-1")),
        ("data.dataset", ("data.dataset._target_=mine.Data", "data.dataset.count=-1", "+data.dataset.size=none")),
    ],
)
def test_the_arguments_of_a_class_of_your_own_are_its_own(group: str, words: tuple[str, ...]) -> None:
    cfg = compose_config("train", *words)
    assert OmegaConf.select(cfg, f"{group}._target_").startswith(("mine", "mynet"))


NONSENSE: dict[str, Any] = {
    "word": "nonsense",
    "switch": True,
    "negative": -7,
    "huge": 10**30,
    "part": 1.5,
    "NaN": math.nan,
    "infinite": math.inf,
    "empty": "",
    "list": [-1, "x"],
    "mapping": {"a": -1},
    "null": None,
}

NAMES = {
    "experiment", "initial_weights", "runs_dir", "data_dir", "encoder", "skip", "decoder", "norm", "norm_placement",
    "closing", "downsampling", "upsampling", "activation", "mode", "arch", "encoder_name", "encoder_weights", "source",
    "root", "split", "style", "project", "entity", "output", "checkpoint", "input", "examples", "host", "score",
    "convention", "names", "licence", "data_name", "data_licence", "csv", "continue_from", "groups",
    "name", "metadata", "subgroups", "file", "tracking_uri",
}  # fmt: skip
"""Any word can be a name of something; what it is the name of is looked up where it is needed."""

NUMBERS = {
    "border_w0", "border_sigma", "scale", "rotate", "brightness", "contrast", "saturation", "ce_weight", "dice_weight",
    "bce_weight", "smooth", "gamma", "alpha", "beta", "lr", "weight_decay", "warmup_epochs", "power", "seconds",
    "gradient_clip_val", "std", "scale_limit", "sigma_limit", "min_delta", "nsd_tolerance", "spacing",
    "encoder_lr_factor",
}  # fmt: skip
"""1.5 of them is no nonsense."""

NULL = {
    "in_channels", "num_classes", "fused", "scale", "rotate", "translate_percent", "gradient_clip_val", "root",
    "nsd_tolerance", "tracking_uri",
}  # fmt: skip
"""Null can stand for what is chosen then, where it is not the value that is shipped."""


def accepted(key: str, sort: str, shipped: Any) -> bool:
    """Tell whether nonsense of a sort makes sense for this key."""
    name = key.rpartition(".")[2]
    if sort == "null":
        return shipped is None or name in NULL
    if sort == "switch":
        return isinstance(shipped, bool) or name in ("download", "skip_bad", "force")
    if name in NAMES - {"mode"} or key.startswith("model."):
        # A whole number becomes a name; a published name for a report's networks can be a mapping.
        return sort in ("word", "huge") or (name, sort) == ("names", "mapping") or (sort, name) == ("part", "dropout")
    if sort == "mapping":
        return name in ("scale", "translate_percent", "metrics", "callbacks", "labels", "tags")
    return (sort == "part" and name in NUMBERS) or (sort == "negative" and name in ("rotate", "ignore"))


def leaves(node: DictConfig | ListConfig, prefix: str = "") -> Iterator[str]:
    """Yield the keys of all values, as a user types them."""
    is_list = isinstance(node, ListConfig)
    for key in range(len(node)) if is_list else node:
        name = f"{prefix}[{key}]" if is_list else f"{prefix}.{key}".lstrip(".")
        child: Any = node._get_node(key)
        plain = child._is_interpolation() or child._is_none() or not isinstance(child, DictConfig | ListConfig)
        if not plain and len(child) and (isinstance(child, DictConfig) or isinstance(child._get_node(0), DictConfig)):
            yield from leaves(child, name)
        elif not str(key).startswith("_"):
            yield name


def configurations() -> Iterator[tuple[str, str, DictConfig]]:
    """Yield every command's configuration, then that of a training with every option of its groups, with its group."""
    for name in COMMANDS:
        yield name, "", compose_config(name)
    for group in yaml_files.groups():
        for option in yaml_files.options(group) if group not in ("hydra", "protocol", "budget") else ():
            root = ("data.root=x",) if option == "folder" else ()
            yield "train", f"{group}.", compose_config("train", f"{group}={option}", *root)


@pytest.mark.slow
def test_every_value_that_is_shipped_turned_into_nonsense_is_refused_in_one_line() -> None:
    seen = set()
    wrong = []
    for name, group, cfg in configurations():
        for key in leaves(cfg):
            parent, _, last = key.rpartition(".")
            known = (OmegaConf.select(cfg, f"{parent}._target_") if parent else name, last)
            if not key.startswith(group) or known in seen:
                continue
            seen.add(known)
            shipped = None if OmegaConf.is_missing(cfg, key) else OmegaConf.select(cfg, key)
            for sort, value in NONSENSE.items():
                turned = cfg.copy()
                with open_dict(turned):
                    OmegaConf.update(turned, key, value, merge=False)
                try:
                    check(turned, name)
                    message = "accepted"
                except ConfigError as error:
                    message = str(error)
                fine = f"{last} is " in message and "it must be " in message and "\n" not in message
                if not fine and not (message == "accepted" and accepted(key, sort, shipped)):
                    wrong.append(f"{name}: {key} {sort}: {message}")
    assert len(seen) > 250
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("word", ["optimizer.lr=-1", "data.fold=9", "data.image_size=4", "runs_dir=''"])
def test_a_wrong_value_prepares_nothing(word: str, tmp_path: Path) -> None:
    done = command("train", word, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {word.partition('=')[0]} is ")
    assert len(done.stderr.splitlines()) == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("prepare", "data.skip_bad=maybe"),
        ("inspect", "samples=0"),
        ("evaluate", "trust=no"),
        ("evaluate", "data.batch_size=-4"),
        ("predict", "tta=1"),
        ("predict", "output=''"),
        ("demo", "port=0"),
        ("export", "trust=on"),
        ("import_checkpoint", "bgr=maybe"),
        ("report", "figures=2"),
        ("status", "format=5"),
        ("pack", "images=5"),
        ("unpack", "runs_dir=''"),
        ("card", "licence=''"),
        ("wandb_sync", "dry_run=yes"),
        ("describe", "all=maybe"),
        ("benchmark", "repeats=0"),
    ],
)
def test_every_command_refuses_before_it_begins(name: str, word: str, tmp_path: Path) -> None:
    given = {"checkpoint": ("evaluate", "predict", "demo", "export"), "input": ("predict",), "output": ("predict",),
             "source": ("import_checkpoint",), "file": ("unpack",)}  # fmt: skip
    needed = [f"{key}=none" for key, names in given.items() if name in names and not word.startswith(key)]
    done = command(name, *needed, word, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    key, _, _ = word.partition("=")
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: {key} is ")
    assert not list(tmp_path.iterdir())


def test_it_needs_no_torch() -> None:
    import subprocess

    code = "import sys, medseg.config.checks.check; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
