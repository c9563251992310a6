"""Score a network on a split and write the scores: per image, what is made of them, and what was predicted."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import lightning
import numpy as np
from omegaconf import DictConfig

from medseg.data.module import SegmentationDataModule
from medseg.data.prepared.resize import resize_image, resize_mask
from medseg.metrics.calibration import Calibration, calibration_rows, summarise_calibration
from medseg.metrics.custom import Metric, as_scores, describe, without_infinite
from medseg.metrics.image_scores import TOLERANCE, ImageScores
from medseg.metrics.summary import per_image_rows, summarise
from medseg.runs.folder import CALIBRATION, CONFIDENCE, PER_IMAGE, PREPARED_SIZE
from medseg.runs.predictions import write_predictions, write_probabilities
from medseg.system.files import write_csv, write_json
from medseg.trained.network import FLIPS
from medseg.training.build import build_metrics
from medseg.training.image_scorer import ImageScorer, Scored, ScoredImage
from medseg.training.panels import choose_examples, draw_examples
from medseg.training.task import SegmentationTask


@dataclass(frozen=True)
class Options:
    """What is measured of a split, and what is kept.

    Attributes:
        metrics: custom scores.
        names: optional scores to measure; None for those that fit the dataset.
        tolerance: of the normalised surface distance, in pixels; None for `TOLERANCE`, or that of an earlier test.
        keep_probabilities: keep the probabilities of each image, at 8 bits.
        flips: dimensions to flip the images along; the probabilities are averaged over all of them.
    """

    metrics: Mapping[str, Metric]
    names: Sequence[str] | None = None
    tolerance: float | None = None
    keep_probabilities: bool = False
    flips: Sequence[Sequence[int]] = ((),)

    @classmethod
    def from_config(cls, cfg: DictConfig) -> Options:
        """Return the options of a configuration. Raises `ConfigError`."""
        return cls(
            build_metrics(cfg.metrics),
            None if cfg.scores is None else tuple(cfg.scores),
            None if cfg.nsd_tolerance is None else float(cfg.nsd_tolerance),
            keep_probabilities=bool(cfg.get("save_probabilities")),
            flips=FLIPS if cfg.get("tta") else FLIPS[:1],
        )


@dataclass(frozen=True)
class Scores:
    """The scores of a split.

    Attributes:
        rows: one per image and foreground class, at native size.
        prepared_rows: the same at the prepared size.
        summary: their statistics, and what was scored.
        ids: of the N images.
        tested: what was made of them, N.
        calibration: rows of `calibration.csv`.
        confidence: rows of `confidence.csv`.
    """

    rows: list[dict[str, Any]]
    prepared_rows: list[dict[str, Any]]
    summary: dict[str, Any]
    ids: list[str]
    tested: list[ScoredImage]
    calibration: list[dict[str, Any]] = field(default_factory=list)
    confidence: list[dict[str, Any]] = field(default_factory=list)

    def with_facts(self, **facts: Any) -> Scores:
        """Return the scores with further entries in their summary."""
        return replace(self, summary={**self.summary, **facts})


def score_split(
    trainer: lightning.Trainer,
    task: SegmentationTask,
    datamodule: SegmentationDataModule,
    options: Options,
    temperature: float | None = None,
) -> Scores:
    """Predict the test split of a data module once and score it.

    `temperature`: of the network; its calibration is then also measured with it, and nothing else.
    Every process of a distributed run returns the same.
    """
    prepared, dataset = datamodule.prepared, datamodule.dataset
    measured = ImageScores(
        dataset.scores if options.names is None else options.names,
        datamodule.spacing,
        options.tolerance or TOLERANCE,
        as_scores(options.metrics),
    )
    scorer = ImageScorer(prepared, measured, keep_probabilities=options.keep_probabilities, temperature=temperature)
    tested = task.test(trainer, datamodule, scorer, options.flips)
    ids = [prepared.ids[image.index] for image in tested]
    native = joined([image.native for image in tested], options.metrics)
    as_prepared = joined([image.prepared for image in tested], options.metrics)
    summary: dict[str, Any] = {
        "data": dataset.name,
        "prepared": os.path.realpath(prepared.folder),
        "data_identity": prepared.identity,
        "source_identity": prepared.fingerprint["source_identity"],
        "split": datamodule.test_split,
        "split_name": datamodule.split,
        "fold": datamodule.fold,
        "evaluation_size": list(datamodule.input_size),
        "patches": datamodule.patches,
        "tta": len(options.flips) > 1,
        "spacing": None if measured.spacing is None else list(measured.spacing),
        "nsd_tolerance": measured.tolerance,
        **summarise(*native, task.class_names),
        PREPARED_SIZE: summarise(*as_prepared, task.class_names),
        "not_finite": [id_ for id_, image in zip(ids, tested, strict=True) if not image.finite],
        "reachable_dice": float(np.mean([prepared.samples[image.index].reachable for image in tested])),
        "own_metrics": describe(options.metrics),
    }
    sums = [Calibration.sum(images) for images in zip(*(image.calibration for image in tested), strict=True)]
    calibrated = dict(zip([1.0] if temperature is None else [1.0, temperature], sums, strict=True))
    absent = summary["absent"]
    summary[CALIBRATION] = summarise_calibration(calibrated, task.class_names, absent)
    return Scores(
        per_image_rows(ids, *native, task.class_names),
        per_image_rows(ids, *as_prepared, task.class_names),
        summary,
        ids,
        tested,
        calibration_rows(calibrated, task.class_names),
        confidence_rows(ids, tested, [name in absent for name in task.class_names[1:]]),
    )


def confidence_rows(ids: Sequence[str], tested: Sequence[ScoredImage], absent: Sequence[bool]) -> list[dict[str, Any]]:
    """Return the id and the confidence of each image: the mean over the foreground classes that occur in the split."""
    there = ~np.array(absent) | all(absent)
    return [
        {"id": id_, "confidence": float(image.confidence[there].mean())} for id_, image in zip(ids, tested, strict=True)
    ]


def joined(images: Sequence[Scored], metrics: Mapping[str, Metric]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return the counts of N images, N x num_classes x 4, and their other scores, name -> N x foreground classes."""
    counts = np.stack([image.counts for image in images])
    measured = {name: np.stack([image.measured[name] for image in images]) for name in images[0].measured}
    return counts, {
        name: without_infinite(name, values) if name in metrics else values for name, values in measured.items()
    }


def write_scores(folder: Path, scores: Scores) -> None:
    """Write the scores of the images at both sizes, the predictions, and `summary.json`."""
    write_csv(folder / f"{PER_IMAGE}.csv", scores.rows)
    write_csv(folder / f"{PREPARED_SIZE}.csv", scores.prepared_rows)
    write_csv(folder / f"{CALIBRATION}.csv", scores.calibration)
    write_csv(folder / f"{CONFIDENCE}.csv", scores.confidence)
    write_predictions(folder / "predictions.npz", scores.ids, (image.class_map for image in scores.tested))
    small = (image.small_class_map for image in scores.tested)
    write_predictions(folder / f"{PREPARED_SIZE}.npz", scores.ids, small)
    kept = [image.probabilities for image in scores.tested if image.probabilities is not None]
    if kept:
        write_probabilities(folder / "probabilities.npz", scores.ids, kept)
    write_json(folder / "summary.json", scores.summary)


def draw_test_examples(folder: Path, datamodule: SegmentationDataModule, scores: Scores) -> None:
    """Draw the best, the median and the worst images of a test by Dice, mean over foreground classes."""
    by_id: dict[str, list[float]] = {}
    for row in scores.rows:
        by_id.setdefault(row["id"], []).extend([] if row["dice"] is None else [row["dice"]])
    dice = np.array([np.mean(by_id[id_] or [1.0]) for id_ in scores.ids])
    for kind, chosen in choose_examples(dice).items():
        images, truths, predictions = shown(datamodule, [scores.tested[number] for number in chosen])
        draw_examples(
            folder / f"{kind}.png",
            f"{kind} images by Dice: {datamodule.dataset.title}, {datamodule.test_split} split",
            images,
            truths,
            predictions,
            [f"{shorten(scores.ids[number])}  Dice {dice[number]:.3f}" for number in chosen],
        )


LONGEST = 512
"""Longest side of an image in a picture of examples, pixels."""


def shown(
    datamodule: SegmentationDataModule, tested: Sequence[ScoredImage]
) -> tuple[list[np.ndarray], list[np.ndarray], list[np.ndarray]]:
    """Return images, true and predicted class maps in the shape of the native images, none larger than `LONGEST`."""
    prepared = datamodule.prepared
    images, truths, predictions = [], [], []
    for each in tested:
        truth, predicted = prepared.native_masks[each.index], each.class_map
        factor = min(1.0, LONGEST / max(truth.shape))
        size = (max(1, round(truth.shape[0] * factor)), max(1, round(truth.shape[1] * factor)))
        images.append(resize_image(np.asarray(prepared.images[each.index]), size))
        truths.append(resize_mask(truth, size))
        predictions.append(resize_mask(predicted, size))
    return images, truths, predictions


def shorten(sample: str, length: int = 28) -> str:
    """Shorten an id to what fits under a picture; its beginning finds it in `per_image.csv`."""
    return sample if len(sample) <= length else f"{sample[: length - 3]}..."
