"""Images of the validation with their truth and prediction, as loggers are given them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from medseg.metrics import count_pixels, headline


@dataclass(frozen=True)
class ValidationPictures:
    """What the network predicts for some validation images.

    Args:
        epoch: counted from 1.
        step: optimizer steps so far.
        ids: of the images.
        images: H x W x C uint8 each.
        truths, predictions: class maps, H x W uint8 each; 255 in a truth is ignored.
        class_names: background first.
    """

    epoch: int
    step: int
    ids: Sequence[str]
    images: Sequence[np.ndarray]
    truths: Sequence[np.ndarray]
    predictions: Sequence[np.ndarray]
    class_names: Sequence[str]

    @property
    def dice(self) -> list[float | None]:
        """Mean Dice of each image over the foreground classes, 0 to 1; None where it is not defined."""
        scores = [
            headline(count_pixels(prediction[None], truth[None], len(self.class_names)))["dice"]
            for truth, prediction in zip(self.truths, self.predictions, strict=True)
        ]
        return [None if math.isnan(score) else score for score in scores]
