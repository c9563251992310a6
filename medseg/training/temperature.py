"""The temperature of a trained network, chosen on its validation images."""

from __future__ import annotations

from dataclasses import dataclass

import lightning
import numpy as np
from numpy.typing import NDArray

from medseg.data.module import SegmentationDataModule
from medseg.data.prepared.dataset import PreparedDataset
from medseg.metrics.calibration import Temperature, fit_temperature
from medseg.training.task import SegmentationTask

PIXELS = 2**18
"""Most pixels of the whole validation split, as many of each image: all of them may be more than memory holds."""


@dataclass(frozen=True)
class SampledPixels:
    """Some pixels of an image.

    Attributes:
        index: position in the prepared data.
        probabilities: of all classes, K x n.
        labels: the true classes, n uint8; 255 is ignored.
    """

    index: int
    probabilities: NDArray[np.float32]
    labels: NDArray[np.uint8]


class PixelSampler:
    """Takes pixels of images at random, the same ones of an image wherever and whenever it comes.

    Args:
        prepared: the data with the true masks.
        pixels: most of an image.
    """

    def __init__(self, prepared: PreparedDataset, pixels: int) -> None:
        self.prepared, self.pixels = prepared, pixels
        self.sampled: list[SampledPixels] = []

    def add(self, index: int, probabilities: NDArray[np.float32]) -> None:
        """Take pixels of an image by its class probabilities at the prepared size, K x h x w."""
        labels = np.asarray(self.prepared.masks[index]).ravel()
        chosen = np.arange(labels.size)
        if labels.size > self.pixels:
            chosen = np.random.default_rng(index).choice(labels.size, self.pixels, replace=False)
        flat = probabilities.reshape(len(probabilities), -1)
        self.sampled.append(SampledPixels(index, flat[:, chosen], labels[chosen]))

    def results(self) -> list[SampledPixels]:
        """Return what was taken, image by image."""
        return self.sampled


def fit_on_validation(
    trainer: lightning.Trainer, task: SegmentationTask, datamodule: SegmentationDataModule
) -> Temperature | None:
    """Predict the validation images once more and choose the temperature by them, the same on every process.

    None where there are no validation images, or all their pixels are ignored.
    """
    images = len(datamodule.indices["val"])
    if not images:
        return None
    sampler = PixelSampler(datamodule.prepared, max(1, PIXELS // images))
    tested, datamodule.test_split = datamodule.test_split, "val"
    try:
        sampled = task.test(trainer, datamodule, sampler)
    finally:
        datamodule.test_split = tested
    return fit_temperature(
        np.concatenate([image.probabilities for image in sampled], axis=1),
        np.concatenate([image.labels for image in sampled]),
    )
