"""Build the loggers of a run: those that medseg has, Lightning's, and custom classes."""

from __future__ import annotations

import inspect
import logging
import os
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from lightning.fabric.loggers.csv_logs import CSVLogger
from lightning.fabric.loggers.logger import Logger
from omegaconf import DictConfig

from medseg.config.instantiate import instantiate
from medseg.config.targets import find
from medseg.errors import ConfigError, UserError
from medseg.system.files import read_json, write_json
from medseg.training.loggers.mirror import Mirror
from medseg.training.loggers.mlflow import mlflow_logger
from medseg.training.loggers.run_info import RunInfo
from medseg.training.loggers.tensorboard import tensorboard_logger
from medseg.training.loggers.wandb import wandb_logger

__all__ = ["RunInfo", "build_loggers", "check_loggers", "mlflow_logger", "tensorboard_logger", "wandb_logger"]

log = logging.getLogger(__name__)

IDS = "loggers.json"
"""File of a run folder with the ids that loggers gave the run."""

SHORT_ID = 12
"""Of a run's id, the digits that a logger gets as its `version` or `id`."""

QUIET = {"WANDB_ERROR_REPORTING": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
"""Reports of loggers about themselves, which they send in every mode: not unless asked for."""


def check_loggers(cfg: DictConfig) -> None:
    """Check that each entry of the `logger` configuration names a class.

    Raises `ConfigError`.
    """
    for key, node in ((str(key), node) for key, node in cfg.items()):
        if not isinstance(node, DictConfig) or "_target_" not in node:
            raise ConfigError(
                f"logger.{key} needs a class: +logger.{key}._target_=lightning.pytorch.loggers.CSVLogger; "
                f"~logger.{key} leaves it out"
            )


def build_loggers(cfg: DictConfig, run: RunInfo) -> list[Mirror]:
    """Build every logger of the `logger` configuration that is not disabled; none of them can end a training later.

    A class or function that takes `run` gets the `RunInfo`; others get what their signature names: see `arguments_of`.
    What the configuration gives wins.

    Raises `UserError` for a logger that cannot be built, in one line. One whose server or disk refuses is off, with a
    warning.
    """
    for variable, value in QUIET.items():
        os.environ.setdefault(variable, value)
    mirrors = []
    for key, node in ((str(key), node) for key, node in cfg.items()):
        title = f"logger.{key}"
        known = replace(run, logger_id=stored_ids(run.folder).get(key) if run.resumed else None)
        made = find(title, node._target_)
        values = arguments_of(made, key, known)
        given = {name: value for name, value in values.items() if name not in node}
        # What asks a server before there is a logger may hang as well, and its `abandon` ends it.
        abandon = getattr(made, "abandon", None)
        mirror = Mirror(title, partial(make, title, node, given), run=known, save_dir=str(run.folder), abandon=abandon)
        logger = mirror.build()
        if logger is not None:
            mirror = logger if isinstance(logger, Mirror) else mirror
            mirror.on_begin = partial(store_id, run.folder, key)
            mirrors.append(mirror)
    return mirrors


def make(title: str, node: DictConfig, arguments: Mapping[str, Any]) -> Logger | None:
    """Build the logger that a node of the configuration names.

    Args:
        title: key of the node.
        node: the class and the arguments that the configuration gives.
        arguments: further ones.

    Raises `ConfigError` for a class that cannot be built, or is no logger.
    """
    try:
        logger = instantiate(node, _partial_=True)(**arguments)  # Hydra would make a copy of them
    except UserError:
        raise
    except Exception as error:
        raise ConfigError(f"{title}: {type(error).__name__}: {' '.join(str(error).split())}") from error
    if logger is not None and not isinstance(logger, Logger):
        raise ConfigError(
            f"{title}: {node._target_} made a {type(logger).__name__}; a logger must be a subclass of "
            "lightning.pytorch.loggers.Logger"
        )
    return logger


def arguments_of(made: Any, key: str, run: RunInfo) -> dict[str, Any]:
    """Return what a class of loggers gets of a run: of the arguments below, those that its signature names.

    Args:
        made: the class, or a function that returns a logger.
        key: of the logger in the configuration; its files are in a folder of this name in the run folder.
        run: the run.
    """
    folder, short_id = str(run.folder / key), run.id[:SHORT_ID]
    values = {
        "run": run,
        "save_dir": folder,
        "root_dir": folder,
        "name": run.title,
        "run_name": run.title,
        "experiment_name": run.record["experiment"],
        "version": short_id,
        "id": short_id,
        "experiment_key": run.id,  # Comet's, which takes 32 to 50 characters
        **({} if run.logger_id is None else {"run_id": run.logger_id}),
    }
    if isinstance(made, type) and issubclass(made, CSVLogger):
        del values["version"]  # it removes the file of a version that is there; without one it counts them itself
    try:
        names = inspect.signature(made).parameters
    except ValueError:  # of a builtin
        return {}
    return {name: value for name, value in values.items() if name in names}


# The ids that loggers give themselves, such as MLflow's, so that a resumed run goes on under them.


def stored_ids(folder: Path) -> dict[str, str]:
    """Return the ids of a run by the keys of the loggers that gave them; none where the file is damaged."""
    try:
        return {key: value for key, value in read_json(folder / IDS, optional=True).items() if isinstance(value, str)}
    except UserError as error:
        log.warning("%s; the loggers begin new runs", error)
        return {}


def store_id(folder: Path, key: str, logger: Logger) -> None:
    """Keep the `run_id` of a logger that has one in the run folder."""
    run_id = getattr(logger, "run_id", None)
    if isinstance(run_id, str):
        write_json(folder / IDS, {**stored_ids(folder), key: run_id})
