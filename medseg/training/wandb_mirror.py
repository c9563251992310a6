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

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import WandbLogger

from medseg.metrics import count_pixels, headline
from medseg.runs.folder import RunFolder
from medseg.training.scoring import Scores

BEST = {"val/dice": "max", "val/iou": "max", "val/loss": "min", "train/loss": "min"}
"""Of which curves the summary keeps the best, so that runs can be sorted by it."""


class RunLogger(WandbLogger):
    """Lightning's logger, with what a tested run is to be shown by.

    Args:
        checkpoint: whether the best checkpoint goes along, as an artifact.
        arguments: of `WandbLogger`.
    """

    def __init__(self, *, checkpoint: bool, **arguments: Any) -> None:
        super().__init__(**arguments)
        # Lightning hands on an argument that W&B has given up, and W&B says so in every run.
        self._wandb_init.pop("anonymous", None)
        self.checkpoint = checkpoint

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

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        for logger in wandb_loggers(trainer):
            for name, best in BEST.items():
                logger.experiment.define_metric(name, step_metric="trainer/global_step", step_sync=True, summary=best)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        loggers = wandb_loggers(trainer)
        if not (loggers and trainer.is_global_zero and self.is_due(trainer.current_epoch + 1, trainer.max_epochs or 1)):
            return
        import wandb

        from medseg.training.panels import predict

        datamodule: Any = trainer.datamodule  # type: ignore[attr-defined]
        prepared = datamodule.prepared
        indices = datamodule.indices["val"]
        chosen = indices[np.unique(np.linspace(0, len(indices) - 1, min(self.count, len(indices))).astype(int))]
        predicted = predict(trainer, pl_module, datamodule, chosen)
        labels = dict(enumerate(prepared.class_names))
        images: list[wandb.Image] = []
        rows: list[Iterable[Any]] = []
        for index, prediction in zip(chosen, predicted, strict=True):
            truth = np.asarray(prepared.masks[index])
            masks = {
                "truth": {"mask_data": truth, "class_labels": labels},
                "prediction": {"mask_data": prediction, "class_labels": labels},
            }
            pixels = np.asarray(prepared.images[index]).squeeze()
            image = wandb.Image(pixels, masks=masks, caption=prepared.ids[index])
            dice = headline(count_pixels(prediction[None], truth[None], len(labels)))["dice"]
            images.append(image)
            rows.append([trainer.current_epoch + 1, prepared.ids[index], float(dice), image])
        table = wandb.Table(columns=["epoch", "id", "dice", "image"], data=rows)
        for logger in loggers:
            logger.log_metrics({"val/images": images, "val/panels": table})  # type: ignore[dict-item]

    def is_due(self, epoch: int, max_epochs: int) -> bool:
        """Whether this epoch, counted from 1, is one of `times` epochs spread evenly up to the last one."""
        every = max(1, max_epochs // self.times)
        return epoch == max_epochs or (max_epochs - epoch) % every == 0


def wandb_loggers(trainer: Trainer) -> list[WandbLogger]:
    """Return the loggers of a trainer that log to W&B."""
    return [logger for logger in trainer.loggers if isinstance(logger, WandbLogger)]
