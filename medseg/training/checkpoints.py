"""How a training writes its checkpoints, and what of an earlier state Lightning has to be given back."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning import Trainer
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor

from medseg.trained.files import write_checkpoint


class CheckpointFiles(TorchCheckpointIO):
    """Write checkpoints whole, beside their final name and never through a folder for temporary files."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        write_checkpoint(checkpoint, Path(path))


class MovableCheckpoint(ModelCheckpoint):
    """One checkpoint file, written at the end of an epoch; it holds no path of the machine.

    Lightning forgets the best score when the folder is not where it was; a run that was moved has to keep it. Where no
    epoch has a score, as in a validation without foreground, the file is that of the newest epoch.
    """

    def __init__(self, folder: Path, **arguments: Any) -> None:
        super().__init__(folder, save_on_train_epoch_end=True, enable_version_counter=False, **arguments)

    def check_monitor_top_k(self, trainer: Trainer, current: Tensor | None = None) -> bool:
        if current is not None and current.isnan() and all(score.isinf() for score in self.best_k_models.values()):
            return True  # Lightning keeps a missing score as an infinite one
        return super().check_monitor_top_k(trainer, current)

    def state_dict(self) -> dict[str, Any]:
        return {**in_folder(super().state_dict(), Path()), "dirpath": ""}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict({**in_folder(state_dict, Path(str(self.dirpath))), "dirpath": self.dirpath})
        self.current_score = state_dict["current_score"]  # Lightning writes it and does not read it again


def in_folder(state: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Return the state of a `ModelCheckpoint` with its files in another folder."""

    def moved(path: str) -> str:
        return str(folder / Path(path).name) if path else path

    return {
        **state,
        **{name: moved(state[name]) for name in ("best_model_path", "last_model_path", "kth_best_model_path")},
        "best_k_models": {moved(path): score for path, score in state["best_k_models"].items()},
    }
