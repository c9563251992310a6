"""Mirrors of the local files: Weights & Biases, TensorBoard. The run folder stays the source of truth."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger, TensorBoardLogger, WandbLogger
from omegaconf import DictConfig

from medseg import config
from medseg.account import has_wandb_account
from medseg.errors import ConfigError, UserError

WANDB_DIGITS = 12
"""Of a run's id that are its id in W&B."""


@dataclass(frozen=True)
class RunInfo:
    """What a logger is told about a run.

    Args:
        folder: of the run.
        record: what it is, as `run.json` says it.
        id: of the run, the same when it is resumed; that of W&B is its beginning.
        config: the composed configuration, resolved.
    """

    folder: Path
    record: Mapping[str, Any]
    id: str
    config: dict[str, Any]


def build_loggers(cfg: DictConfig, run: RunInfo) -> list[Logger]:
    """Build every logger of the `logger` configuration."""
    return [config.instantiate(node, _partial_=True)(run=run) for node in cfg.values()]


def wandb_logger(
    *,
    run: RunInfo,
    mode: str,
    project: str,
    entity: str | None = None,
    tags: Sequence[str] = (),
    checkpoint: bool = False,
) -> WandbLogger:
    """Log to W&B: one run per medseg run, those of an experiment in one group, resumed under the same id.

    The run has the name of its folder. Its tags are the experiment, the network, the dataset, protocol and budget; its
    configuration has, beside the composed one, what it was made of under `run`: `run.setting` is what the seeds of a
    setting share.

    Args:
        run: the run.
        mode: `offline` writes below the run folder, for `medseg.wandb_sync`; `online` sends, with the account of
            `wandb login` or WANDB_API_KEY.
        project, entity: as in W&B.
        tags: further ones.
        checkpoint: whether the best checkpoint is logged as an artifact.

    Raises `ConfigError` for another mode, `UserError` for `online` without an account.
    """
    if mode not in ("offline", "online"):
        raise ConfigError(f"logger.wandb.mode is {mode!r}; it must be offline or online (logger=csv goes without W&B)")
    if mode == "offline":
        # Nothing to read there: the folder is ours. Online, W&B says where to look.
        os.environ.setdefault("WANDB_SILENT", "true")
    import wandb

    from medseg.training.wandb_mirror import RunLogger

    if mode == "online" and not has_wandb_account():
        raise UserError("logger.wandb.mode=online needs an account: run `wandb login` or set WANDB_API_KEY first")
    os.environ["WANDB_MODE"] = mode
    record = dict(run.record)
    chosen = [record["choices"].get(group) for group in ("protocol", "budget")]
    return RunLogger(
        checkpoint=checkpoint,
        name=record["name"],
        save_dir=run.folder,
        project=project,
        offline=mode == "offline",
        id=run.id[:WANDB_DIGITS],
        resume="allow",
        entity=entity,
        group=record["experiment"],
        job_type="train",
        tags=list(dict.fromkeys(filter(None, [record["experiment"], record["model"], record["data"], *chosen, *tags]))),
        config={**run.config, "run": record},
        settings=wandb.Settings(console="off"),
    )


def tensorboard_logger(*, run: RunInfo) -> TensorBoardLogger:
    """Log to TensorBoard, below the run folder."""
    return TensorBoardLogger(save_dir=run.folder, name="tensorboard", version="")
