from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf

from medseg.data.labels import IGNORE_INDEX
from medseg.errors import ConfigError
from medseg.metrics.custom import as_scores, describe
from medseg.metrics.image_scores import ImageScores
from medseg.training.build import build_metrics

DICE = {
    "_target_": "torchmetrics.segmentation.DiceScore",
    "num_classes": 2,
    "include_background": False,
    "input_format": "index",
}


def masks() -> tuple[np.ndarray, np.ndarray]:
    """Predicted and true class maps of four images with three classes, some pixels ignored."""
    rng = np.random.default_rng(0)
    predictions, truths = rng.integers(0, 3, (2, 4, 16, 16), np.uint8)
    truths[:, :2] = IGNORE_INDEX
    return predictions, truths


def test_a_metric_of_torchmetrics_scores_image_by_image_and_class_by_class() -> None:
    metrics = build_metrics(OmegaConf.create({"their_dice": DICE}))
    predictions, truths = masks()
    scores = ImageScores(custom=as_scores(metrics))
    measured = [scores.measure(*each, num_classes=3) for each in zip(predictions, truths, strict=True)]
    assert list(measured[0]) == ["hd95", "assd", "their_dice"]
    values = np.stack([image["their_dice"] for image in measured])
    assert values.shape == (4, 2)
    for n, (prediction, truth) in enumerate(zip(predictions[:, 2:], truths[:, 2:], strict=True)):
        for label in (1, 2):
            both = np.sum((prediction == label) & (truth == label))
            total = np.sum(prediction == label) + np.sum(truth == label)
            assert values[n, label - 1] == pytest.approx(2 * both / total)


def test_the_example_of_torchmetrics_is_built_and_described() -> None:
    file = Path(__file__).resolve().parents[2] / "examples" / "conf" / "metrics" / "kappa.yaml"
    metrics = build_metrics(OmegaConf.load(file))
    half = np.arange(64).reshape(8, 8) < 32
    assert metrics["kappa"](half, half) == 1
    assert metrics["kappa"](~half, half) == -1
    assert describe(metrics) == {"kappa": {"higher_is_better": True, "unit": ""}}


def test_the_direction_of_a_metric_is_that_of_torchmetrics() -> None:
    node = OmegaConf.create({"wrong": {"_target_": "torchmetrics.classification.BinaryHammingDistance"}})
    metrics = build_metrics(node)
    assert describe(metrics)["wrong"]["higher_is_better"] is False


def test_a_metric_of_several_values_is_refused() -> None:
    node = OmegaConf.create({"matrix": {"_target_": "torchmetrics.classification.BinaryConfusionMatrix"}})
    with pytest.raises(ConfigError, match=r"metrics\.matrix fails on masks"):
        build_metrics(node)
