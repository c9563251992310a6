"""What MLflow shows of a run.

experiment   the experiment of the run, so a sweep is one
run name     network, data and seed, such as unet-kvasir-seed0
parameters   the option of each group, the seed, what was given or is no default
metrics      curves with their steps, test/dice and the other test scores, best_epoch, parameters, training_seconds
tags         network, data, protocol, budget, commit, run (name of the run folder), trial (of a tuning), and the user's
artifacts    config.yaml, test/summary.json, images/*.png
"""

from __future__ import annotations

import errno
import importlib.util
import logging
import os
import re
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

from filelock import FileLock
from lightning.pytorch.loggers import MLFlowLogger

from medseg.errors import UserError
from medseg.runs.environment import git_commit
from medseg.runs.folder import RunFolder
from medseg.training.loggers.mirror import PATIENCE, Mirror
from medseg.training.loggers.run_info import RunInfo
from medseg.training.loggers.run_logger import RunLogger
from medseg.training.scoring import Scores

log = logging.getLogger(__name__)

DATABASE, ARTIFACTS = "mlflow.db", "mlartifacts"
"""Where runs are kept without a server, below runs_dir."""

RETRIES = "3"
"""Of a request that a server does not answer: 12 s. MLflow's 7 would take longer than a mirror waits."""

UPLOAD = 1e6
"""Bytes per second that the line is taken to send at least, when the end of an upload is awaited."""

STATUS = {0: "FINISHED", 130: "KILLED"}
"""MLflow's, by the exit code of the run; of others it has failed."""


def mlflow_logger(
    *, run: RunInfo, tracking_uri: str | None = None, tags: Mapping[str, Any] | None = None, checkpoint: bool = False
) -> Mirror:
    """Log to MLflow: one run per medseg run, those of an experiment in one of MLflow's, resumed under the same id.

    Args:
        run: the run.
        tracking_uri: of a server, a database or a folder; None for a SQLite database below runs_dir.
        tags: further ones.
        checkpoint: whether the best checkpoint is logged as an artifact.

    Raises `UserError` where MLflow is not installed.
    """
    if importlib.util.find_spec("mlflow") is None:
        raise UserError("logger=mlflow needs MLflow: pip install 'medseg[mlflow]'")
    make = partial(open_mlflow, run, tracking_uri, dict(tags or {}), checkpoint=checkpoint)
    return Mirror("MLflow", make, name=str(run.record["experiment"]), save_dir=str(run.folder), run=run)


class MLflowRunLogger(RunLogger, MLFlowLogger):
    """Lightning's logger, with what a tested run is to be shown by. Every call of it may fail: `Mirror` guards them.

    Args:
        folder: of the run.
        checkpoint: whether the best checkpoint goes along, as an artifact.
        arguments: of `MLFlowLogger`.
    """

    def __init__(self, *, folder: Path, checkpoint: bool, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.folder = RunFolder(folder)
        self.checkpoint = checkpoint

    def begin(self, run: RunInfo) -> None:
        """Begin the run with its parameters, or go on with it; they are the same then, and MLflow takes no others."""
        if self.run_id == run.logger_id:
            self.experiment.update_run(self.run_id, status="RUNNING")
        else:
            self.log_hyperparams({re.sub(r"[^\w\-. /:]", "_", key): value for key, value in run.settings.items()})
        self.log_file(self.folder.config)

    def log_test(self, scores: Scores, run: RunInfo) -> None:
        """Log the scores of the test split, and what is known of the training."""
        super().log_test(scores, run)
        facts = {key: scores.summary.get(key) for key in ("best_epoch", "parameters", "training_seconds")}
        self.log_metrics({key: float(value) for key, value in facts.items() if value is not None}, 0)
        if self.checkpoint:
            self.upload_seconds = self.folder.best_checkpoint.stat().st_size / UPLOAD

    def end(self, exit_code: int) -> None:
        """Log the files that the run has left, and end it."""
        self.log_file(self.folder.summary, "test")
        for file in sorted(self.folder.images.glob("*.png")):
            self.log_file(file, "images")
        if self.checkpoint and exit_code == 0:
            self.log_file(self.folder.best_checkpoint, "checkpoints")
        self.experiment.set_terminated(self.run_id, STATUS.get(exit_code, "FAILED"))

    def log_file(self, file: Path, folder: str | None = None) -> None:
        """Log a file as an artifact, where it is there."""
        if file.is_file():
            self.experiment.log_artifact(self.run_id, str(file), folder)


def open_mlflow(
    run: RunInfo, tracking_uri: str | None, tags: Mapping[str, Any], *, checkpoint: bool
) -> MLflowRunLogger:
    """Return the logger of a run, whose experiment is there; the run is begun or looked up with the first call.

    Args:
        run: the run.
        tracking_uri, tags, checkpoint: as of `mlflow_logger`.
    """
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", RETRIES)
    experiment, artifacts = str(run.record["experiment"]), None
    runs_dir = run.folder.absolute().parents[len(Path(experiment).parts)]  # of runs_dir/paper/comparison/RUN
    if tracking_uri is None:
        tracking_uri = f"sqlite:///{runs_dir / DATABASE}"
        artifacts = (runs_dir / ARTIFACTS / experiment).as_uri()
    check_database(tracking_uri)
    from mlflow.exceptions import MlflowException
    from mlflow.tracking import MlflowClient

    for name in ("mlflow", "alembic"):  # what they log of the tables of a new database
        logging.getLogger(name).setLevel(logging.WARNING)
    with FileLock(runs_dir / f".{DATABASE}.lock", timeout=PATIENCE):  # jobs of a sweep begin at the same time
        client = MlflowClient(tracking_uri)
        if client.get_experiment_by_name(experiment) is None:
            try:
                client.create_experiment(experiment, artifact_location=artifacts)
            except MlflowException:  # a sweep on another machine was faster
                if client.get_experiment_by_name(experiment) is None:
                    raise
    return MLflowRunLogger(
        folder=run.folder,
        checkpoint=checkpoint,
        experiment_name=experiment,
        run_name=run.title,
        tracking_uri=tracking_uri,
        tags={**tags_of(run), **{str(key): str(value) for key, value in tags.items()}},
        run_id=known_run(client, run.logger_id),
    )


def check_database(tracking_uri: str) -> None:
    """Open the file of a SQLite database, which is made where there is none; MLflow would try for 100 s.

    Args:
        tracking_uri: what is logged to; anything but the file of a SQLite database is not looked at.

    Raises `OSError` where that is not possible.
    """
    scheme, _, name = tracking_uri.partition(":///")
    file = Path(name.partition("?")[0])
    if scheme.partition("+")[0] != "sqlite" or not name or name.startswith((":memory:", "file:")):
        return
    if file.is_dir():
        raise IsADirectoryError(errno.EISDIR, "the database of MLflow cannot be opened", str(file))
    try:
        with closing(sqlite3.connect(file, timeout=PATIENCE / 4)) as connection:
            connection.execute("PRAGMA schema_version").fetchone()
    except sqlite3.Error as error:
        raise OSError(errno.EIO, f"the database of MLflow cannot be opened: {error}", str(file)) from error
    if not os.access(file, os.W_OK):
        raise PermissionError(errno.EACCES, "the database of MLflow cannot be written", str(file))


def known_run(client: Any, run_id: str | None) -> str | None:
    """Return the id of an interrupted run if MLflow still has it, else None."""
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST, ErrorCode

    if run_id is None:
        return None
    try:
        if client.get_run(run_id).info.lifecycle_stage == "active":
            return run_id
    except MlflowException as error:
        if error.error_code != ErrorCode.Name(RESOURCE_DOES_NOT_EXIST):
            raise
    log.warning("MLflow does not have the run %s any more; it begins another one", run_id)
    return None


def tags_of(run: RunInfo) -> dict[str, str]:
    """Return the tags that every run has."""
    record, choices = run.record, run.record["choices"]
    tags = {
        "network": record["model"],
        "data": record["data"],
        "protocol": choices.get("protocol"),
        "budget": choices.get("budget"),
        "commit": git_commit(),
        "run": record["name"],
        "trial": record.get("trial"),
    }
    return {key: str(value) for key, value in tags.items() if value is not None}
