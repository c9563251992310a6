"""Score a network on a split and write the scores: per image, what is made of them, and what was predicted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import lightning
import numpy as np

from medseg.data.module import SegmentationDataModule
from medseg.metrics.custom import Metric, describe, measure
from medseg.metrics.summary import per_image_rows, summarise
from medseg.runs.predictions import write_predictions
from medseg.system.files import write_csv, write_json
from medseg.training.panels import choose_examples, draw_examples
from medseg.training.task import SegmentationTask


@dataclass(frozen=True)
class Scores:
    """The scores of a split.

    Attributes:
        rows: one per image and foreground class.
        summary: their statistics, and what was scored.
        ids: of the N images.
        indices: positions of the images in the prepared data, N.
        class_maps: predicted, N x H x W uint8.
    """

    rows: list[dict[str, Any]]
    summary: dict[str, Any]
    ids: list[str]
    indices: np.ndarray
    class_maps: np.ndarray

    def with_facts(self, **facts: Any) -> Scores:
        """Return the scores with further entries in their summary."""
        return replace(self, summary={**self.summary, **facts})


def score_split(
    trainer: lightning.Trainer,
    task: SegmentationTask,
    datamodule: SegmentationDataModule,
    metrics: Mapping[str, Metric],
) -> Scores:
    """Predict the test split of a data module once and score it, by medseg's scores and by `metrics`, the user's own.

    Every process of a distributed run returns the same.
    """
    trainer.test(task, datamodule=datamodule, verbose=False)
    indices, counts, distances, class_maps = task.test_results()
    prepared = datamodule.prepared
    ids = [prepared.ids[index] for index in indices]
    values = measure(metrics, class_maps, [prepared.masks[index] for index in indices], len(task.class_names))
    rows = per_image_rows(ids, counts, distances, task.class_names, values)
    summary = {
        "data": datamodule.dataset.name,
        "prepared": str(prepared.folder),
        "data_identity": prepared.identity,
        "source_identity": prepared.fingerprint["source_identity"],
        "split": datamodule.test_split,
        "split_name": datamodule.split,
        "fold": datamodule.fold,
        "evaluation_size": list(prepared.images.shape[1:3]),
        **summarise(counts, distances, task.class_names, values),
        "own_metrics": describe(metrics),
    }
    return Scores(rows, summary, ids, indices, class_maps)


def write_scores(folder: Path, scores: Scores) -> None:
    """Write `per_image.csv`, `predictions.npz` and `summary.json`."""
    write_csv(folder / "per_image.csv", scores.rows)
    write_predictions(folder / "predictions.npz", scores.ids, scores.class_maps)
    write_json(folder / "summary.json", scores.summary)


def draw_test_examples(folder: Path, datamodule: SegmentationDataModule, scores: Scores) -> None:
    """Draw the best, the median and the worst images of a test by Dice, mean over foreground classes."""
    prepared = datamodule.prepared
    by_id: dict[str, list[float]] = {}
    for row in scores.rows:
        by_id.setdefault(row["id"], []).append(row["dice"])
    dice = np.array([np.mean(by_id[id_]) for id_ in scores.ids])
    for kind, chosen in choose_examples(dice).items():
        draw_examples(
            folder / f"{kind}.png",
            f"{kind} images by Dice: {datamodule.dataset.title}, {datamodule.test_split} split",
            prepared.images[scores.indices[chosen]],
            prepared.masks[scores.indices[chosen]],
            scores.class_maps[chosen],
            [f"{shorten(scores.ids[number])}  Dice {dice[number]:.3f}" for number in chosen],
        )


def shorten(sample: str, length: int = 28) -> str:
    """Shorten an id to what fits under a picture; its beginning finds it in `per_image.csv`."""
    return sample if len(sample) <= length else f"{sample[: length - 3]}..."
