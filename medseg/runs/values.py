"""Plain values of a training configuration that cannot be, found before anything slow is loaded or prepared."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from medseg.errors import ConfigError
from medseg.values import is_number, is_whole

SWITCHES = ("force", "channels_last", "compile")

WHOLE = {
    "trainer.max_epochs": 1,
    "trainer.accumulate_grad_batches": 1,
    "trainer.check_val_every_n_epoch": 1,
    "data.batch_size": 1,
    "data.num_workers": 0,
    "scheduler.patience": 0,
}
"""Whole numbers, and the least that each may be."""

NUMBERS = (
    "optimizer.lr", "optimizer.weight_decay", "optimizer.momentum", "scheduler.warmup_epochs", "scheduler.power",
    "trainer.gradient_clip_val",
)  # fmt: skip
"""Numbers from 0."""

PRECISIONS = ("auto", "32-true", "32", "bf16-mixed", "bf16", "16-mixed", "16")
"""Lightning's that keep weights in float32, which is what images and losses are in, and `auto`."""

ALLOWED = {("data.num_workers", "auto"), ("trainer.gradient_clip_val", None)}
"""Values that are no numbers, where they may stand."""


def check_values(cfg: DictConfig) -> None:
    """Check the plain values that nothing else checks in time.

    A key that the configuration does not have, such as one of another optimizer, is none of its business.

    Raises `ConfigError`.
    """
    if not is_whole(cfg.seed) or not 0 <= cfg.seed < 2**32:
        raise ConfigError(f"seed is {cfg.seed!r}; it must be a whole number from 0 to 4294967295")
    for key in SWITCHES:
        if not isinstance(cfg[key], bool):
            raise ConfigError(f"{key} is {cfg[key]!r}; it must be true or false")
    for key in (*WHOLE, *NUMBERS):
        group, _, name = key.partition(".")
        if cfg[group] is not None and name in cfg[group]:
            check_number(key, cfg[group][name])
    if str(cfg.trainer.precision) not in PRECISIONS:
        raise ConfigError(f"trainer.precision is {cfg.trainer.precision!r}; it must be one of {', '.join(PRECISIONS)}")
    devices = cfg.trainer.devices
    if is_whole(devices) and devices < 1 and devices != -1:
        raise ConfigError(f"trainer.devices is {devices}; it must be a whole number from 1, or -1 for all GPUs")
    experiment = Path(str(cfg.experiment))
    if not experiment.parts or experiment.is_absolute() or ".." in experiment.parts:
        raise ConfigError(f"experiment is {cfg.experiment!r}; it must name a folder below runs_dir")


def check_number(key: str, value: Any) -> None:
    """Raise `ConfigError` for a value that a key of `WHOLE` or `NUMBERS` cannot have."""
    if any(key == place and value == allowed for place, allowed in ALLOWED):
        return
    if key in WHOLE:
        if not is_whole(value) or value < WHOLE[key]:
            raise ConfigError(f"{key} is {value!r}; it must be a whole number from {WHOLE[key]}")
        return
    if not is_number(value) or value < 0:
        raise ConfigError(f"{key} is {value!r}; it must be a number from 0")
