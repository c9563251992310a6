"""Mirrors of the local files: Weights & Biases, TensorBoard. The run folder stays the source of truth."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger, TensorBoardLogger
from omegaconf import DictConfig

from medseg.config.instantiate import instantiate
from medseg.errors import UserError
from medseg.training.mirror import Mirror
from medseg.training.wandb_login import has_wandb_account
from medseg.training.wandb_mirror import abandon_wandb, open_wandb

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


def build_loggers(cfg: DictConfig, run: RunInfo) -> list[Mirror]:
    """Build every logger of the `logger` configuration that is not disabled; none of them can end a training."""
    mirrors = []
    for title, node in cfg.items():
        logger: Logger | None = instantiate(node, _partial_=True)(run=run)
        if logger is not None:
            mirrors.append(logger if isinstance(logger, Mirror) else Mirror(str(title), partial(the, logger)))
    return mirrors


def the(logger: Logger) -> Logger:
    """Return a logger that is built already."""
    return logger


def wandb_logger(
    *,
    run: RunInfo,
    mode: str,
    project: str,
    entity: str | None = None,
    tags: Sequence[str] = (),
    checkpoint: bool = False,
) -> Mirror | None:
    """Log to W&B: one run per medseg run, those of an experiment in one group, resumed under the same id.

    The run has the name of its folder. Its tags are the experiment, the network, the dataset, protocol and budget; its
    configuration has, beside the composed one, what it was made of under `run`: `run.setting` is what the seeds of a
    setting share.

    Args:
        run: the run.
        mode: `offline` writes below the run folder, for `medseg wandb-sync`; `online` sends, with the account of
            `wandb login` or WANDB_API_KEY; `disabled` does neither, and there is no logger. W&B's other names of
            these, `dryrun` and `run`, are understood.
        project, entity: as in W&B.
        tags: further ones.
        checkpoint: whether the best checkpoint is logged as an artifact.

    Raises `UserError` for `online` without an account.
    """
    mode = {"dryrun": "offline", "run": "online"}.get(mode, mode)
    if mode == "disabled":
        return None
    # W&B's reports about itself, which it sends in every mode.
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
    if mode == "offline":
        # Nothing to read there: the folder is ours. Online, W&B says what it does not take any more.
        os.environ.setdefault("WANDB_SILENT", "true")
    if mode == "online" and not has_wandb_account():
        raise UserError("logger.wandb.mode=online needs an account: run `wandb login` or set WANDB_API_KEY first")
    record = dict(run.record)
    chosen = [record["choices"].get(group) for group in ("protocol", "budget")]
    settings = {
        "name": record["name"],
        "project": project,
        "mode": mode,
        "id": run.id[:WANDB_DIGITS],
        "entity": entity,
        "group": record["experiment"],
        "job_type": "tune" if record.get("trial") else "train",
        "tags": list(
            dict.fromkeys(filter(None, [record["experiment"], record["model"], record["data"], *chosen, *tags]))
        ),
        "config": {**run.config, "run": record},
    }
    return Mirror(
        "W&B",
        partial(open_wandb, run.folder, checkpoint=checkpoint, **settings),
        name=project,
        version=settings["id"],
        save_dir=str(run.folder),
        abandon=abandon_wandb,
        pictures=True,
    )


def tensorboard_logger(*, run: RunInfo) -> Mirror:
    """Log to TensorBoard, below the run folder."""
    make = partial(TensorBoardLogger, save_dir=run.folder, name="tensorboard", version="")
    return Mirror("TensorBoard", make, name="tensorboard", save_dir=str(run.folder))
