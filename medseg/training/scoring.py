"""Score a network on a split and write the scores: per image, and what is made of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning
import numpy as np

from medseg.data.module import SegmentationDataModule
from medseg.metrics.summary import per_image_rows, summarise
from medseg.runs.folder import write_csv, write_json
from medseg.training.panels import choose_examples, draw_examples, predict
from medseg.training.task import SegmentationTask


def score_split(
    trainer: lightning.Trainer, task: SegmentationTask, datamodule: SegmentationDataModule, split: str
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Predict a split once; return one row per image and foreground class, and the summary.

    Every process of a distributed run returns the same.
    """
    datamodule.evaluated = split
    trainer.test(task, datamodule=datamodule, verbose=False)
    indices, counts, distances = task.tested()
    prepared = datamodule.prepared
    ids = [prepared.ids[index] for index in indices]
    rows = per_image_rows(ids, counts, distances, task.class_names)
    summary = {
        "data": datamodule.dataset.name,
        "prepared": str(prepared.folder),
        "data_identity": prepared.identity,
        "source_identity": prepared.fingerprint["source_identity"],
        "split": split,
        "split_name": datamodule.split,
        "fold": datamodule.fold,
        "evaluation_size": list(prepared.images.shape[1:3]),
        **summarise(counts, distances, task.class_names),
    }
    return rows, summary


def write_scores(folder: Path, rows: list[dict[str, Any]], summary: dict[str, Any]) -> None:
    """Write `per_image.csv` and `summary.json`."""
    write_csv(folder / "per_image.csv", rows)
    write_json(folder / "summary.json", summary)


def draw_test_examples(
    folder: Path,
    trainer: lightning.Trainer,
    task: SegmentationTask,
    datamodule: SegmentationDataModule,
    rows: list[dict[str, Any]],
) -> None:
    """Draw the best, the median and the worst images by Dice, mean over foreground classes."""
    prepared = datamodule.prepared
    by_id: dict[str, list[float]] = {}
    for row in rows:
        by_id.setdefault(row["id"], []).append(row["dice"])
    ids = list(by_id)
    dice = np.array([np.mean(by_id[sample]) for sample in ids])
    position = {sample: index for index, sample in enumerate(prepared.ids)}
    for kind, chosen in choose_examples(dice).items():
        indices = [position[ids[number]] for number in chosen]
        draw_examples(
            folder / f"{kind}.png",
            f"{kind} images by Dice: {datamodule.dataset.title}, {datamodule.evaluated} split",
            [prepared.images[index] for index in indices],
            [prepared.masks[index] for index in indices],
            predict(trainer, task, datamodule, indices),
            [f"{short(ids[number])}  Dice {dice[number]:.3f}" for number in chosen],
        )


def short(sample: str, length: int = 28) -> str:
    """Shorten an id to what fits under a picture; its beginning finds it in `per_image.csv`."""
    return sample if len(sample) <= length else f"{sample[: length - 3]}..."
