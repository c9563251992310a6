"""A callback that notes when a training makes its first step, what it waits for, and what evaluation takes."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.profilers import SimpleProfiler

from medseg.errors import UserError
from medseg.system.files import write_json

NEXT = "[_TrainingEpochLoop].train_dataloader_next"
"""Lightning's name for fetching a batch from the training loader."""

LOADER_SECONDS = 5.0
"""The loader alone is measured for an epoch, or as long."""


class TrainingWatch(Callback):
    """Write to a JSON file what happens in a training and the test after it.

    first_step: Unix time of the end of the first training step.
    epoch_seconds, waiting_seconds, epoch_images: of the last epoch, from its first to its last step, in the loader's
        `next` in it, and the images trained on. On a GPU, fetching runs beside what was queued there, so that this is
        the most that it can wait.
    loader_images, loader_seconds: of the training loader after training, with nothing else at work.
    validation, test: seconds, network_seconds (of the calls of the network in it) and images; of the last epoch's
        validation, and of the test without what comes before and after its batches.
    test_ended: Unix time of the end of its batches.

    Args:
        file: to be written at the end of the test.
        barrier: a folder that trainings share which wait for each other before every epoch but the first; a file `over`
            in it: one of them has failed.
        count: how many they are.
    """

    def __init__(self, file: str, barrier: str | None = None, count: int = 1) -> None:
        self.file = Path(file)
        self.barrier = None if barrier is None else Path(barrier)
        self.count = count
        self.figures: dict[str, Any] = {}
        self.profiler = SimpleProfiler()
        self.evaluating = False
        self.network_seconds, self.images = 0.0, 0
        self.started = self.called = 0.0
        self.fetched = 0

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if stage == "fit":
            trainer.profiler = self.profiler
            network = pl_module.network
            network.register_forward_pre_hook(self.before_network)
            network.register_forward_hook(self.after_network)

    def before_network(self, network: torch.nn.Module, inputs: Any) -> None:
        """Note when the network begins with a batch of an evaluation."""
        if self.evaluating:
            self.called = now()

    def after_network(self, network: torch.nn.Module, inputs: tuple[torch.Tensor, ...], outputs: Any) -> None:
        """Note how long that took."""
        if self.evaluating:
            self.network_seconds += now() - self.called
            self.images += len(inputs[0])

    # Training.
    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.barrier is not None and trainer.current_epoch > 0:
            self.wait_for_others(self.barrier / f"epoch{trainer.current_epoch}")
        self.figures["epoch_images"] = 0
        self.started = now()
        self.fetched = len(self.profiler.recorded_durations[NEXT])

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if "first_step" not in self.figures:
            now()
            self.figures["first_step"] = time.time()
        self.figures["epoch_images"] += len(batch["index"])
        if trainer.is_last_batch or batch_idx + 1 == trainer.num_training_batches:
            self.figures["epoch_seconds"] = now() - self.started
            self.figures["waiting_seconds"] = sum(self.profiler.recorded_durations[NEXT][self.fetched :])

    def wait_for_others(self, epoch: Path) -> None:
        """Wait until all trainings have begun an epoch. Raises `UserError` where one has failed."""
        epoch.mkdir(exist_ok=True)
        (epoch / str(os.getpid())).touch()
        while len(list(epoch.iterdir())) < self.count:
            if (epoch.parent / "over").exists():
                raise UserError("another of the trainings that share the device failed")
            time.sleep(0.01)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        started, images = time.perf_counter(), 0
        for batch in trainer.train_dataloader:
            images += len(batch["index"])
            if time.perf_counter() - started > LOADER_SECONDS:
                break
        self.figures |= {"loader_images": images, "loader_seconds": time.perf_counter() - started}

    # Evaluation.
    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.begin_evaluation()

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.figures["validation"] = self.end_evaluation()

    def on_test_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.begin_evaluation()

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.figures |= {"test": self.end_evaluation(), "test_ended": time.time()}
        write_json(self.file, self.figures)

    def begin_evaluation(self) -> None:
        """Begin to count."""
        self.evaluating, self.network_seconds, self.images, self.started = True, 0.0, 0, now()

    def end_evaluation(self) -> Mapping[str, float]:
        """Return what was counted."""
        self.evaluating = False
        return {
            "seconds": now() - self.started,
            "network_seconds": self.network_seconds,
            "images": self.images,
        }


def now() -> float:
    """Return seconds of a clock, once the device has done what was asked of it."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()
