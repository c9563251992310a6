"""Mirrors of the local files: Weights & Biases, TensorBoard. The run folder stays the source of truth."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger, TensorBoardLogger, WandbLogger
from omegaconf import DictConfig

from medseg import config
from medseg.errors import ConfigError, UserError


@dataclass(frozen=True)
class RunInfo:
    """What a logger is told about a run."""

    folder: Path
    name: str
    group: str
    experiment: str
    wandb_id: str
    config: dict[str, Any]


def build_loggers(cfg: DictConfig, run: RunInfo) -> list[Logger]:
    """Build every logger of the `logger` configuration."""
    return [config.instantiate(node, _partial_=True)(run=run) for node in cfg.values()]


def wandb_logger(
    *, run: RunInfo, mode: str, project: str, entity: str | None = None, tags: Sequence[str] = ()
) -> WandbLogger:
    """Log to W&B: one run per medseg run, all seeds of a setting in one group, resumed under the same id.

    Args:
        run: the run.
        mode: `offline` writes below the run folder for a later `wandb sync`; `online` sends, with the account of
            `wandb login` or WANDB_API_KEY.
        project, entity, tags: as in W&B; the experiment is a tag too.

    Raises `ConfigError` for another mode, `UserError` for `online` without an account.
    """
    if mode not in ("offline", "online"):
        raise ConfigError(f"logger.wandb.mode is {mode!r}; it must be offline or online (logger=csv goes without W&B)")
    if mode == "offline":
        # Nothing to read there: the folder is ours. Online, W&B says where to look.
        os.environ.setdefault("WANDB_SILENT", "true")
    import wandb

    if mode == "online" and not wandb.api.api_key:
        raise UserError("logger.wandb.mode=online needs an account: run `wandb login` or set WANDB_API_KEY first")
    os.environ["WANDB_MODE"] = mode
    logger = WandbLogger(
        name=run.name,
        save_dir=run.folder,
        project=project,
        offline=mode == "offline",
        id=run.wandb_id,
        resume="allow",
        entity=entity,
        group=run.group,
        job_type="train",
        tags=[run.experiment, *tags],
        config=run.config,
        settings=wandb.Settings(console="off"),
    )
    # Lightning hands on an argument that W&B has given up, and W&B says so in every run.
    logger._wandb_init.pop("anonymous", None)
    return logger


def tensorboard_logger(*, run: RunInfo) -> TensorBoardLogger:
    """Log to TensorBoard, below the run folder."""
    return TensorBoardLogger(save_dir=run.folder, name="tensorboard", version="")
