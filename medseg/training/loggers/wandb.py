"""What a W&B run shows of a medseg run beside its curves: sortable summaries, pictures, the table of the test.

Keys, in the order in which a dashboard wants them:

    test/dice, test/iou, test/hd95, ...   scores of the test, means over images (summary, once)
    test/per_image                        table: one row per test image and foreground class
    val/dice.max, val/iou.max             best so far; val/loss.min, train/loss.min the lowest (summary, while it runs)
    val/dice, val/iou, val/loss, train/loss, lr-*   curves
    val/images                            fixed validation images, truth and prediction as mask overlays
    val/panels                            the same as a table: epoch, id, Dice of the image, image with overlays
    best_epoch, parameters, training_seconds        summary
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch.loggers import WandbLogger

from medseg.data.labels import IGNORE_INDEX
from medseg.data.overlay import as_rgb
from medseg.errors import UserError
from medseg.runs.folder import RunFolder
from medseg.training.loggers.mirror import Mirror
from medseg.training.loggers.pictures import ValidationPictures
from medseg.training.loggers.run_info import RunInfo
from medseg.training.loggers.run_logger import RunLogger, means_of_test
from medseg.training.loggers.wandb_login import has_wandb_account
from medseg.training.loggers.wandb_runs import end_service, kill_service, open_run
from medseg.training.scoring import Scores

log = logging.getLogger(__name__)

WANDB_DIGITS = 12
"""Of a run's id that are its id in W&B."""

BEST = {"val/dice": "max", "val/iou": "max", "val/loss": "min", "train/loss": "min"}
"""Of which curves the summary keeps the best, so that runs can be sorted by it."""

TAG = 64
"""Characters of a tag at the most."""

UPLOAD = 1e6
"""Bytes per second that the line is taken to send at least, when the end of an upload is awaited."""


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
        "tags": as_tags([record["experiment"], record["model"], record["data"], *chosen, *tags]),
        "config": run.hyperparameters,
    }
    return Mirror(
        "W&B",
        partial(open_wandb, run.folder, checkpoint=checkpoint, **settings),
        name=project,
        version=settings["id"],
        save_dir=str(run.folder),
        abandon=kill_service,
        run=run,
    )


def as_tags(values: Iterable[Any]) -> list[str]:
    """Return each value once, no longer than W&B allows: it refuses a run for one tag that is too long."""
    return list(dict.fromkeys(str(value)[:TAG] for value in values if value))


class WandbRunLogger(RunLogger, WandbLogger):
    """Lightning's logger, with what a tested run is to be shown by. Every call of it may fail: `Mirror` guards them.

    Args:
        checkpoint: whether the best checkpoint goes along, as an artifact.
        arguments: of `WandbLogger`.
    """

    takes_pictures = True

    def __init__(self, *, checkpoint: bool, **arguments: Any) -> None:
        super().__init__(**arguments)
        # Lightning hands on an argument that W&B has given up, and W&B warns of it in every run.
        self._wandb_init.pop("anonymous", None)
        self.checkpoint = checkpoint

    @property
    def experiment(self) -> Any:
        """The run of W&B. Lightning would log to one that this process has open, such as a notebook's, and end it."""
        if self._experiment is None:
            self._experiment = open_run(**self._wandb_init)
            self._experiment.define_metric("trainer/global_step")
            self._experiment.define_metric("*", step_metric="trainer/global_step", step_sync=True)
        return self._experiment

    def begin(self, run: RunInfo) -> None:
        """Open the run, and have its summary keep the best of the curves; its configuration is sent already."""
        opened = self.experiment
        for name, best in BEST.items():
            opened.define_metric(name, step_metric="trainer/global_step", step_sync=True, summary=best)
        if not opened.offline and opened.url:
            log.info("W&B: %s", opened.url)

    def log_pictures(self, pictures: ValidationPictures) -> None:
        """Show images of the validation with truth and prediction as mask overlays."""
        import wandb

        labels = dict(enumerate(pictures.class_names))
        if any((truth == IGNORE_INDEX).any() for truth in pictures.truths):
            labels |= {IGNORE_INDEX: "ignored"}
        shown: list[wandb.Image] = []
        rows: list[Iterable[Any]] = []
        for name, dice, image, truth, prediction in zip(
            pictures.ids, pictures.dice, pictures.images, pictures.truths, pictures.predictions, strict=True
        ):
            masks = {
                "truth": {"mask_data": truth, "class_labels": labels},
                "prediction": {
                    "mask_data": np.where(truth == IGNORE_INDEX, truth, prediction),
                    "class_labels": labels,
                },
            }
            shown.append(wandb.Image(as_rgb(image), masks=masks, caption=name))
            rows.append([pictures.epoch, name, dice, shown[-1]])
        table = wandb.Table(columns=["epoch", "id", "dice", "image"], data=rows)
        self.log_metrics({"val/images": shown, "val/panels": table})  # type: ignore[dict-item]

    def log_test(self, scores: Scores, run: RunInfo) -> None:
        """Log the scores of the test split: to the summary, and image by image."""
        import wandb

        means = means_of_test(scores)
        self.log_metrics(means)
        rows: list[Iterable[Any]] = [list(row.values()) for row in scores.rows]
        opened = self.experiment
        opened.log({"test/per_image": wandb.Table(columns=list(scores.rows[0]), data=rows)})
        kept = ("best_epoch", "parameters", "training_seconds", "conventions")
        opened.summary.update({key: scores.summary[key] for key in kept if key in scores.summary})
        if self.checkpoint:
            file = RunFolder(run.folder).best_checkpoint
            opened.log_artifact(checkpoint_artifact(opened.name, file, means))
            self.upload_seconds += file.stat().st_size / UPLOAD

    def end(self, exit_code: int) -> None:
        """Finish the run, and wait until all of it is written or sent, and W&B's service has ended."""
        self.experiment.finish(exit_code=exit_code)
        end_service(exit_code)


def open_wandb(folder: Path, *, checkpoint: bool, **arguments: Any) -> WandbRunLogger:
    """Return the logger of a run folder.

    Args:
        folder: of the run.
        checkpoint: as in `WandbRunLogger`.
        arguments: of `wandb.init`.
    """
    keep_files_in(folder / "wandb" / "cache")
    import wandb

    settings = wandb.Settings(console="off", silent=True)
    return WandbRunLogger(checkpoint=checkpoint, save_dir=folder, resume="allow", settings=settings, **arguments)


def keep_files_in(folder: Path) -> None:
    """Have W&B keep its cache, and files on their way, in `folder` where the home folder cannot be written."""
    from wandb import env

    usual = {env.CACHE_DIR: Path(env.get_cache_dir()), env.DATA_DIR: Path(env.get_data_dir())}
    closed = [variable for variable, path in usual.items() if not is_writable(path)]
    if closed:
        log.warning("%s cannot be written: W&B keeps its files in %s instead", usual[closed[0]], folder)
        os.environ.update({variable: str(folder.absolute()) for variable in closed})


def is_writable(folder: Path) -> bool:
    """Whether a folder is there, or can be made, and takes files."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK)


wandb_logger.abandon = kill_service  # type: ignore[attr-defined] # the check of the account asks the server


def checkpoint_artifact(run: str, file: Path, scores: Mapping[str, float]) -> Any:
    """Make an artifact of a checkpoint, with the scores of its test."""
    import wandb

    artifact = wandb.Artifact(run, type="model", metadata=dict(scores))
    artifact.add_file(str(file))
    return artifact
