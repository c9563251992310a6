"""A trial of a tuning: it ends early where it is behind the others, and is neither tested nor kept as a network."""

from __future__ import annotations

import logging
import math
import shutil
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback

from medseg.config.tuning import is_trial
from medseg.errors import UserError
from medseg.runs.folder import RunFolder
from medseg.runs.tuning import dice_of_epochs
from medseg.system.files import read_json

log = logging.getLogger(__name__)

FIRST_PART = 1 / 3
"""Part of the epochs in which no trial is pruned: a high learning rate begins worse, and may end better."""

FEWEST = 2
"""Other trials that a median needs."""


def trial_callbacks(tuning: Mapping[str, Any] | None, folder: RunFolder) -> list[Callback]:
    """Return what a trial has beside the callbacks of any run; nothing for other runs."""
    if tuning is None or not is_trial(tuning) or tuning.get("pruning") is None:
        return []
    return [MedianPruning(folder, str(tuning["trial"]))]


class MedianPruning(Callback):
    """End a trial after an epoch where its best validation Dice so far is below the median of the other trials.

    Of the others, those count that have come to this epoch; they are read from their folders, also while they run. So
    trials that run one after another always end alike, and trials that run at the same time see what there is.

    Args:
        folder: of the trial.
        code: what the trials that are compared share, as in their `run.json`.
    """

    def __init__(self, folder: RunFolder, code: str) -> None:
        self.folder, self.code = folder, code

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        behind = trainer.is_global_zero and self.is_behind(trainer.current_epoch + 1, trainer.max_epochs or 1)
        behind = trainer.strategy.broadcast(behind)
        if trainer.is_global_zero and behind != bool(self.folder.status.get("pruned")):
            self.folder.set_state("running", pruned=behind)
        if behind:
            log.info("pruned: the validation Dice is below the median of the other trials at this epoch")
            trainer.should_stop = True

    def is_behind(self, epochs: int, max_epochs: int) -> bool:
        """Tell whether the trial is to end after so many of its epochs."""
        if epochs <= FIRST_PART * max_epochs or epochs >= max_epochs:
            return False
        here = best_after(self.folder, epochs)
        others = [best for folder in self.others() if (best := best_after(folder, epochs)) is not None]
        return len(others) >= FEWEST and (-1.0 if here is None else here) < statistics.median(others)

    def others(self) -> list[RunFolder]:
        """Return the folders of the trials that this one is compared with."""
        paths: list[Path] = sorted(self.folder.path.absolute().parent.glob("*/run.json"))
        folders = [RunFolder(path.parent) for path in paths if path.parent.name != self.folder.path.name]
        return [folder for folder in folders if code_of(folder) == self.code]


def code_of(folder: RunFolder) -> Any:
    """Return what the trials of a setting share; None where a run is no trial, or its file is damaged."""
    try:
        return read_json(folder.record, optional=True).get("trial")
    except UserError:
        return None


def best_after(folder: RunFolder, epochs: int) -> float | None:
    """Return the highest validation Dice of the first epochs of a run; None where it has fewer, or no score."""
    try:
        scores = dice_of_epochs(folder)
    except UserError:  # a damaged file of another trial
        return None
    reached = [score for score in scores[:epochs] if not math.isnan(score)]
    return max(reached) if len(scores) >= epochs and reached else None


def end_trial(folder: RunFolder, diverged: str = "") -> None:
    """Record that a trial has ended, and remove its weights, which nothing uses.

    Args:
        folder: of the trial.
        diverged: why its loss is not finite; empty where it is.
    """
    pruned = bool(folder.status.get("pruned")) and not diverged
    remark = f"diverged: {diverged}" if diverged else "pruned: below the median of the other trials" if pruned else ""
    folder.set_state("trained", remark=remark, pruned=pruned, diverged=bool(diverged), untested=True)
    shutil.rmtree(folder.last_checkpoint.parent, ignore_errors=True)
    log.info("the trial has ended%s", f": {remark}" if remark else "")
