"""What an interrupted training goes on from, and in which precision."""

from __future__ import annotations

import logging

from medseg.acceleration.precision import pick_precision
from medseg.errors import UserError
from medseg.runs.folder import RunFolder
from medseg.trained.checkpoint import Checkpoint
from medseg.training.callbacks import SELECTION

log = logging.getLogger(__name__)


def choose_precision(wanted: str, accelerator: str, resume: Checkpoint | None) -> tuple[str, str]:
    """Return Lightning's precision and why; a training that goes on keeps the one that it began with."""
    precision, reason = pick_precision(wanted, accelerator)
    if wanted != "auto" or resume is None:
        return precision, reason
    if resume.metadata.precision == precision:
        return precision, f"as the run began; {reason}"
    return resume.metadata.precision, f"as the run began; here it would be {precision}: {reason}"


def checkpoint_to_resume(folder: RunFolder) -> Checkpoint | None:
    """Return the checkpoint from which an interrupted run goes on; None where there is none.

    That is the last one, or the best one, of an earlier epoch, where the last one is damaged. Files that a killed
    process has left half written are removed.

    Raises `UserError` before any training where the run cannot be finished from what there is.
    """
    checkpoints = folder.last_checkpoint.parent
    for partial in checkpoints.glob(".*.partial"):
        partial.unlink(missing_ok=True)
    if not folder.last_checkpoint.exists() and not folder.best_checkpoint.exists():
        if folder.metrics.is_file():
            log.warning("%s: its checkpoints are gone; the run begins anew", folder.path)
        return None
    last, reason = None, ""
    try:
        last = Checkpoint.read(folder.last_checkpoint)
        if not is_validated(last):  # so there is no best epoch yet
            return last
    except UserError as error:
        reason = str(error)
    try:
        best = Checkpoint.read(folder.best_checkpoint)
    except UserError as error:
        anew = "repeat the command with force=true to begin the run anew"
        raise UserError(f"{error}; the test needs the best epoch, so {anew}") from None
    if last is None:
        log.warning("%s; training goes on from %s, epoch %d", reason, best.file, best.content["epoch"] + 1)
    return last or best


def is_validated(checkpoint: Checkpoint) -> bool:
    """Tell whether a training had a best epoch when it wrote its last checkpoint."""
    states = checkpoint.content.get("callbacks", {}).values()
    return any(state.get("best_model_path") for state in states if state.get("monitor") == SELECTION)
