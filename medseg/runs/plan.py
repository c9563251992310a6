"""Which run a configuration means: its name, its group, its folder. Needs no torch, so a finished run is found fast."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from medseg import config
from medseg.errors import ConfigError
from medseg.runs.folder import RunFolder
from medseg.runs.naming import run_name, setting_name


@dataclass(frozen=True)
class RunPlan:
    """A run before it begins: its folder, and what it shares with the runs of other seeds."""

    folder: RunFolder
    group: str


def plan_run(cfg: DictConfig) -> RunPlan:
    """Plan the run that a composed training configuration means.

    Raises `ConfigError` for a plain value that is wrong.
    """
    check_values(cfg)
    defaults, _ = config.primary("train")
    choices: dict[str, str] = dict(HydraConfig.get().runtime.choices)
    settings: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)  # type: ignore[assignment]
    if settings["data"].get("root"):
        # The same folder, wherever the command is given.
        root = str(Path(settings["data"]["root"]).expanduser().resolve())
        settings["data"] |= {"root": root}
    place = Path(cfg.runs_dir).expanduser() / str(cfg.experiment)
    folder = RunFolder(place / run_name(settings, choices, defaults))
    return RunPlan(folder, setting_name(settings, choices, defaults))


def check_values(cfg: DictConfig) -> None:
    """Check the plain values that nothing else checks.

    Raises `ConfigError`.
    """
    if not isinstance(cfg.seed, int) or isinstance(cfg.seed, bool) or not 0 <= cfg.seed < 2**32:
        raise ConfigError(f"seed is {cfg.seed!r}; it must be a whole number from 0 to 4294967295")
    for key in ("force", "channels_last"):
        if not isinstance(cfg[key], bool):
            raise ConfigError(f"{key} is {cfg[key]!r}; it must be true or false")
    epochs = cfg.trainer.max_epochs
    if not isinstance(epochs, int) or isinstance(epochs, bool) or epochs < 1:
        raise ConfigError(f"trainer.max_epochs is {epochs!r}; it must be a whole number from 1")
    for key, least in (("data.batch_size", 1), ("trainer.accumulate_grad_batches", 1), ("data.num_workers", 0)):
        value = OmegaConf.select(cfg, key)
        if value != "auto" and (not isinstance(value, int) or isinstance(value, bool) or value < least):
            raise ConfigError(f"{key} is {value!r}; it must be a whole number from {least}")
    experiment = Path(str(cfg.experiment))
    if not experiment.parts or experiment.is_absolute() or ".." in experiment.parts:
        raise ConfigError(f"experiment is {cfg.experiment!r}; it must name a folder below runs_dir")
