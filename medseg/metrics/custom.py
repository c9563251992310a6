"""The user's metrics, beside the scores of medseg: callables that compare two masks, and metrics of torchmetrics.

A metric is called with the prediction and the truth of one foreground class of one image, both H x W bool, and returns
a number, NaN where the image has none. It may have two attributes: `higher_is_better` (true without it) and `unit`
(none without it, for a fraction of 1). Pixels that are ignored are in neither mask.

A `torchmetrics.Metric` gets the same masks as 1 x H x W int64 tensors of 0 and 1, and must compute one number.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
import torchmetrics
from numpy.typing import NDArray

from medseg.errors import ConfigError
from medseg.metrics.image_scores import Score
from medseg.metrics.mask_pair import MaskPair
from medseg.metrics.measures import MEASURES

log = logging.getLogger(__name__)

Metric = Callable[[NDArray[np.bool_], NDArray[np.bool_]], float]


class TorchMetric:
    """A `torchmetrics.Metric` as a metric of single images: reset, updated and computed for each.

    Args:
        metric: takes predicted and true labels of two classes, and computes a scalar.
    """

    def __init__(self, metric: torchmetrics.Metric) -> None:
        self.metric = metric
        self.higher_is_better = metric.higher_is_better is not False  # None where torchmetrics does not know

    def __call__(self, prediction: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float:
        """Compare two masks, H x W bool."""
        self.metric.reset()
        self.metric.update(*(torch.from_numpy(mask.astype(np.int64))[None] for mask in (prediction, truth)))
        return float(self.metric.compute())


def as_metric(metric: Any) -> Metric:
    """Return a metric that can be called with two masks: a `torchmetrics.Metric` is wrapped, others are as they are."""
    return TorchMetric(metric) if isinstance(metric, torchmetrics.Metric) else metric


TAKEN = {*MEASURES, "id", "class", "tp", "fp", "fn", "tn", "background_tp"}


def check_metrics(metrics: Mapping[str, Any]) -> None:
    """Call each metric once, with masks of every kind, before hours are spent on a training.

    Raises `ConfigError` for a name that is taken or invalid, for a metric that fails, and for an infinite value.
    """
    empty, some = np.zeros((8, 8), dtype=bool), np.zeros((8, 8), dtype=bool)
    some[2:5, 2:6] = True
    for name, metric in metrics.items():
        if name in TAKEN or not re.fullmatch(r"[A-Za-z]\w*", name):
            raise ConfigError(f"metrics.{name}: the name is taken, or is none; use letters, digits and _")
        for prediction, truth in ((some, some), (some, empty), (empty, some), (empty, empty)):
            what = f"masks with {truth.sum()} true and {prediction.sum()} predicted pixels of 8 x 8"
            try:
                value = float(metric(prediction, truth))
            except Exception as error:
                raise ConfigError(f"metrics.{name} fails on {what}: {type(error).__name__}: {error}") from error
            if np.isinf(value):
                raise ConfigError(f"metrics.{name} is infinite on {what}; return NaN where an image has no value")


def as_scores(metrics: Mapping[str, Metric]) -> dict[str, Score]:
    """Return metrics as scores of mask pairs. They are called one at a time: a metric may have a state."""
    lock = threading.Lock()

    def of(metric: Metric) -> Score:
        def score(pair: MaskPair) -> float:
            with lock:
                return float(metric(pair.prediction, pair.truth))

        return score

    return {name: of(metric) for name, metric in metrics.items()}


def without_infinite(name: str, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Replace infinite values by NaN: one of them would be the mean of all images."""
    infinite = np.isinf(values)
    if infinite.any():
        log.warning("metrics.%s: %d infinite values of %d are left out", name, infinite.sum(), values.size)
    return np.where(infinite, np.nan, values)


def describe(metrics: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Say what a reader of the scores has to know of each metric."""
    return {
        name: {
            "higher_is_better": bool(getattr(metric, "higher_is_better", True)),
            "unit": str(getattr(metric, "unit", "")),
        }
        for name, metric in metrics.items()
    }
