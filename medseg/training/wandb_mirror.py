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
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import WandbLogger

from medseg.data.labels import IGNORE_INDEX
from medseg.data.overlay import as_rgb
from medseg.metrics import count_pixels, headline
from medseg.runs.folder import RunFolder
from medseg.training.mirror import Mirror
from medseg.training.scoring import Scores

log = logging.getLogger(__name__)

BEST = {"val/dice": "max", "val/iou": "max", "val/loss": "min", "train/loss": "min"}
"""Of which curves the summary keeps the best, so that runs can be sorted by it."""


UPLOAD = 1e6
"""Bytes per second that the line is taken to send at least, when the end of an upload is awaited."""


class RunLogger(WandbLogger):
    """Lightning's logger, with what a tested run is to be shown by. Every call of it may fail: `Mirror` guards them.

    Args:
        checkpoint: whether the best checkpoint goes along, as an artifact.
        arguments: of `WandbLogger`.
    """

    def __init__(self, *, checkpoint: bool, **arguments: Any) -> None:
        super().__init__(**arguments)
        # Lightning hands on an argument that W&B has given up, and W&B says so in every run.
        self._wandb_init.pop("anonymous", None)
        self.checkpoint = checkpoint
        self.upload_seconds = 0.0
        """How much longer the end may take for what is to be sent."""

    def begin(self) -> None:
        """Open the run, and have its summary keep the best of the curves."""
        run = self.experiment
        for name, best in BEST.items():
            run.define_metric(name, step_metric="trainer/global_step", step_sync=True, summary=best)
        if run.url:
            log.info("W&B: %s", run.url)

    def log_pictures(
        self,
        epoch: int,
        ids: Sequence[str],
        images: Sequence[np.ndarray],
        truths: Sequence[np.ndarray],
        predictions: Sequence[np.ndarray],
        class_names: Sequence[str],
    ) -> None:
        """Show images of the validation with truth and prediction as mask overlays.

        Args:
            epoch: counted from 1.
            ids: of the images.
            images: H x W x C uint8.
            truths, predictions: class maps H x W uint8.
            class_names: background first.
        """
        import wandb

        labels = dict(enumerate(class_names))
        shown_labels = labels | {IGNORE_INDEX: "ignored"} if any((t == IGNORE_INDEX).any() for t in truths) else labels
        shown: list[wandb.Image] = []
        rows: list[Iterable[Any]] = []
        for name, image, truth, prediction in zip(ids, images, truths, predictions, strict=True):
            masks = {
                "truth": {"mask_data": truth, "class_labels": shown_labels},
                "prediction": {
                    "mask_data": np.where(truth == IGNORE_INDEX, truth, prediction),
                    "class_labels": shown_labels,
                },
            }
            shown.append(wandb.Image(as_rgb(image), masks=masks, caption=name))
            dice = headline(count_pixels(prediction[None], truth[None], len(labels)))["dice"]
            rows.append([epoch, name, None if math.isnan(dice) else dice, shown[-1]])
        table = wandb.Table(columns=["epoch", "id", "dice", "image"], data=rows)
        self.log_metrics({"val/images": shown, "val/panels": table})  # type: ignore[dict-item]

    def log_test(self, scores: Scores, folder: RunFolder) -> None:
        """Log the scores of the test split: to the summary, and image by image."""
        import wandb

        means = {name: values["mean"] for name, values in scores.summary["headline"].items()}
        self.log_metrics({f"test/{name}": value for name, value in means.items() if value is not None})
        rows: list[Iterable[Any]] = [list(row.values()) for row in scores.rows]
        run = self.experiment
        run.log({"test/per_image": wandb.Table(columns=list(scores.rows[0]), data=rows)})
        kept = ("best_epoch", "parameters", "training_seconds", "conventions")
        run.summary.update({key: scores.summary[key] for key in kept if key in scores.summary})
        if self.checkpoint:
            run.log_artifact(checkpoint_artifact(run.name, folder.best_checkpoint, means))
            self.upload_seconds += folder.best_checkpoint.stat().st_size / UPLOAD

    def end(self, exit_code: int) -> None:
        """Finish the run, and wait until all of it is written or sent, and W&B's service has ended."""
        import wandb

        self.experiment.finish(exit_code=exit_code)
        wandb.teardown(exit_code)


def open_wandb(folder: Path, *, checkpoint: bool, **arguments: Any) -> RunLogger:
    """Open the W&B run of a run folder.

    Args:
        folder: of the run.
        checkpoint: as in `RunLogger`.
        arguments: of `wandb.init`.
    """
    keep_files_in(folder / "wandb" / "cache")
    import wandb

    settings = wandb.Settings(console="off", silent=True)
    logger = RunLogger(checkpoint=checkpoint, save_dir=folder, resume="allow", settings=settings, **arguments)
    logger.begin()
    return logger


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


def abandon_wandb() -> None:
    """Kill the service of W&B that this process has started, so that nothing waits for it, and forget the run."""
    import wandb
    from wandb.sdk import wandb_setup
    from wandb.sdk.lib import module

    # W&B's own end waits for its service, however long that takes; there is no public way round it.
    setup = wandb_setup._singleton
    service = setup._connection if setup is not None else None
    if service is not None and service._proc is not None:
        service._proc._process.kill()
    module.unset_globals()  # type: ignore[no-untyped-call]
    with suppress(Exception):  # it has nobody to say goodbye to
        wandb.teardown()


def checkpoint_artifact(run: str, file: Path, scores: Mapping[str, float | None]) -> Any:
    """Make an artifact of a checkpoint, with the scores of its test."""
    import wandb

    artifact = wandb.Artifact(run, type="model", metadata={f"test/{name}": value for name, value in scores.items()})
    artifact.add_file(str(file))
    return artifact


class ValidationImages(Callback):
    """Show a few fixed validation images, with truth and prediction as mask overlays.

    Args:
        count: how many images, spread over the validation split.
        times: how often in a run, the last epoch included.
    """

    def __init__(self, count: int = 6, times: int = 5) -> None:
        self.count = count
        self.times = times

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        mirrors = [logger for logger in trainer.loggers if isinstance(logger, Mirror) and logger.takes_pictures]
        if not (mirrors and trainer.is_global_zero and self.is_due(trainer.current_epoch + 1, trainer.max_epochs or 1)):
            return
        from medseg.training.panels import predict

        datamodule: Any = trainer.datamodule  # type: ignore[attr-defined]
        prepared = datamodule.prepared
        indices = datamodule.indices["val"]
        chosen = indices[np.unique(np.linspace(0, len(indices) - 1, min(self.count, len(indices))).astype(int))]
        predicted = predict(trainer, pl_module, datamodule, chosen)
        for mirror in mirrors:
            mirror.log_pictures(
                trainer.current_epoch + 1,
                [prepared.ids[index] for index in chosen],
                [np.asarray(prepared.images[index]) for index in chosen],
                [np.asarray(prepared.masks[index]) for index in chosen],
                predicted,
                prepared.class_names,
            )

    def is_due(self, epoch: int, max_epochs: int) -> bool:
        """Whether this epoch, counted from 1, is one of `times` epochs spread evenly up to the last one."""
        every = max(1, max_epochs // self.times)
        return epoch == max_epochs or (max_epochs - epoch) % every == 0
