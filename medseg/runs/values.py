"""Plain values of a training configuration that cannot be, found before anything slow is loaded or prepared."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from medseg.errors import ConfigError
from medseg.values import is_number, is_whole

Rule = tuple[Callable[[Any], bool], str]
"""What tells whether a value can be, and what it must do, in words."""

PRECISIONS = ("auto", "32-true", "32", "bf16-mixed", "bf16", "16-mixed", "16")
"""Lightning's that keep weights in float32, which is what images and losses are in, and `auto`."""


def whole(least: int, *others: Any) -> Rule:
    """Make the rule of a whole number; `others`: values that may stand for one."""
    return lambda value: value in others or (is_whole(value) and value >= least), f"be a whole number from {least}"


def is_below(name: Any) -> bool:
    """Tell whether a name is that of a folder below another one."""
    path = Path(str(name))
    return bool(path.parts) and not path.is_absolute() and ".." not in path.parts


SWITCH: Rule = (lambda value: isinstance(value, bool), "be true or false")
NUMBER: Rule = (lambda value: is_number(value) and value >= 0, "be a number from 0")

RULES: dict[str, Rule] = {
    "seed": (lambda value: is_whole(value) and 0 <= value < 2**32, "be a whole number from 0 to 4294967295"),
    "force": SWITCH,
    "channels_last": SWITCH,
    "compile": SWITCH,
    "trainer.max_epochs": whole(1),
    "trainer.accumulate_grad_batches": whole(1),
    "trainer.check_val_every_n_epoch": whole(1),
    "trainer.gradient_clip_val": (lambda value: value is None or NUMBER[0](value), NUMBER[1]),
    "trainer.precision": (lambda value: str(value) in PRECISIONS, f"be one of {', '.join(PRECISIONS)}"),
    "trainer.devices": (
        lambda value: not is_whole(value) or value >= 1 or value == -1,
        "be a whole number from 1, or -1 for all GPUs",
    ),
    "data.batch_size": whole(1),
    "data.num_workers": whole(0, "auto"),
    "optimizer.lr": NUMBER,
    "optimizer.weight_decay": NUMBER,
    "optimizer.momentum": NUMBER,
    "scheduler.patience": whole(0),
    "scheduler.warmup_epochs": NUMBER,
    "scheduler.power": NUMBER,
    "experiment": (is_below, "name a folder below runs_dir"),
}


def check_values(cfg: DictConfig) -> None:
    """Check the plain values that nothing else checks in time.

    A key that the configuration does not have, such as one of another optimizer, is none of its business.

    Raises `ConfigError`.
    """
    for key, (can_be, words) in RULES.items():
        group, _, name = key.rpartition(".")
        values = OmegaConf.select(cfg, group) if group else cfg
        if values is not None and name in values and not can_be(values[name]):
            raise ConfigError(f"{key} is {values[name]!r}; it must {words}")
