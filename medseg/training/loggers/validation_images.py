"""A few fixed images of the validation, shown by the loggers that take pictures."""

from __future__ import annotations

from typing import Any

import numpy as np
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback

from medseg.training.loggers.mirror import Mirror
from medseg.training.loggers.pictures import ValidationPictures


class ValidationImages(Callback):
    """Show a few fixed validation images with truth and prediction.

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
        pictures = ValidationPictures(
            trainer.current_epoch + 1,
            trainer.global_step,
            [prepared.ids[index] for index in chosen],
            [np.asarray(prepared.images[index]) for index in chosen],
            [np.asarray(prepared.masks[index]) for index in chosen],
            predict(trainer, pl_module, datamodule, chosen),
            prepared.class_names,
        )
        for mirror in mirrors:
            mirror.log_pictures(pictures)

    def is_due(self, epoch: int, max_epochs: int) -> bool:
        """Whether this epoch, counted from 1, is one of `times` epochs spread evenly up to the last one."""
        every = max(1, max_epochs // self.times)
        return epoch == max_epochs or (max_epochs - epoch) % every == 0
