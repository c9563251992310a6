"""What happens beside training in every run: curves in a file, a line per epoch, checkpoints, pictures for loggers."""

from __future__ import annotations

import logging
import math
import sys
import time
from collections.abc import Mapping
from typing import Any

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, LearningRateMonitor, RichProgressBar

from medseg.errors import UserError
from medseg.runs.folder import RunFolder
from medseg.system.files import read_csv, write_csv
from medseg.system.signals import install_signal_handlers
from medseg.training.checkpoints import MovableCheckpoint
from medseg.training.loggers.validation_images import ValidationImages

log = logging.getLogger(__name__)

SELECTION = "val/dice"
"""What selects the best epoch: the mean over validation images of the foreground Dice."""


def core_callbacks(folder: RunFolder, *, loggers: bool) -> list[Callback]:
    """Return what every run has, whatever the configuration adds."""
    checkpoints = folder.best_checkpoint.parent
    callbacks: list[Callback] = [
        Interruptible(),
        EpochRows(folder),
        # Both at the end of an epoch, so that a resumed run begins with the next one.
        MovableCheckpoint(checkpoints, filename=folder.best_checkpoint.stem, monitor=SELECTION, mode="max"),
        MovableCheckpoint(checkpoints, filename=folder.last_checkpoint.stem),
    ]
    if loggers:
        callbacks += [LearningRateMonitor(logging_interval="step"), ValidationImages()]
    if sys.stderr.isatty():
        callbacks.append(RichProgressBar(console_kwargs={"stderr": True}))
    return callbacks


class Interruptible(Callback):
    """Interrupt training at once where it is told to end, in every process.

    Lightning's handler waits for the other processes in the middle of what they are doing.
    """

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        install_signal_handlers()

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        install_signal_handlers()


class EpochRows(Callback):
    """Write `metrics.csv`, one row per epoch, and print the same on the console.

    The rows are in the checkpoint as well, so a resumed run has those of all epochs, whatever became of the file. An
    epoch without validation has empty cells for it, and so has one without a score.
    """

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder
        self.rows: list[dict[str, Any]] = []
        self.started = 0.0
        self.validated = False
        self.warned = False

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.rows = list(state_dict["rows"])

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not self.rows or not trainer.is_global_zero:
            return
        try:
            there = len(read_csv(self.folder.metrics))
        except UserError as error:
            log.warning("%s; it is written again from the checkpoint", error)
        else:
            if there < len(self.rows):
                log.warning(
                    "%s has %d of %d epochs; it is written again from the checkpoint",
                    self.folder.metrics,
                    there,
                    len(self.rows),
                )
        write_csv(self.folder.metrics, self.rows)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.started = time.perf_counter()
        self.validated = False

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.validated = True

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # Lightning keeps the scores of the last validation, in whatever epoch it was.
        measured = {
            name: float(value)
            for name, value in trainer.callback_metrics.items()
            if self.validated or not name.startswith("val/")
        }
        if math.isnan(measured.get(SELECTION, 0.0)) and not self.warned:
            self.warned = True
            log.warning(
                "epoch %d has no validation Dice: no validation image has foreground, and none was predicted; "
                "where no epoch has one, the last is tested",
                trainer.current_epoch + 1,
            )
        first, *further = trainer.optimizers[0].param_groups
        row = {
            "epoch": trainer.current_epoch,
            "step": trainer.global_step,
            "lr": first["lr"],
            **{f"lr/{group['name']}": group["lr"] for group in further if "name" in group},
            **{name: cell(measured.get(name)) for name in ("train/loss", "val/loss", "val/dice", "val/iou")},
            "seconds": round(time.perf_counter() - self.started, 3),
        }
        self.rows.append(row)
        if trainer.is_global_zero:
            write_csv(self.folder.metrics, self.rows)
            self.folder.set_state("running", epoch=trainer.current_epoch + 1, max_epochs=trainer.max_epochs)
            log.info("%s", epoch_line(row, trainer.max_epochs))


def cell(value: float | None) -> float | str:
    """Return a score as a cell of `metrics.csv`: empty where the epoch has none."""
    return "" if value is None or math.isnan(value) else value


def epoch_line(row: Mapping[str, Any], max_epochs: int | None) -> str:
    """Say what an epoch came to, in one line."""
    shown = [f"{name} {row[name]:.4f}" for name in ("train/loss", "val/loss", "val/dice", "val/iou") if row[name] != ""]
    return f"epoch {row['epoch'] + 1}/{max_epochs}  {'  '.join(shown)}  lr {row['lr']:.2g}  {row['seconds']:.1f} s"
