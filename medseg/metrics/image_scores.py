"""The scores of one image that are made of its masks, and the optional ones, class by class."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from medseg.data.labels import IGNORE_INDEX
from medseg.metrics.counts import count_pixels
from medseg.metrics.mask_pair import MaskPair
from medseg.metrics.measures import MEASURES, Measure

TOLERANCE = 2.0
"""Of the normalised surface distance where none is given, in pixels."""

Score = Callable[[MaskPair], float]


@dataclass(frozen=True)
class ImageScores:
    """Measure images by some scores of the table, and by custom scores.

    Args:
        names: of the optional scores of `MEASURES` to measure beside the others.
        spacing: height and width of a pixel in mm; None where it is not known. With it, distances are measured in mm
            as well.
        tolerance: of the normalised surface distance, in pixels.
        custom: further scores by name.
    """

    names: Collection[str] = ()
    spacing: tuple[float, float] | None = None
    tolerance: float = TOLERANCE
    custom: Mapping[str, Score] = field(default_factory=dict)

    @property
    def chosen(self) -> list[Measure]:
        """What is measured of the table, in its order: what is made of masks, and what is optional."""
        wanted = {*self.names, *(("hd95_mm", "assd_mm") if self.spacing is not None else ())}
        return [each for each in MEASURES.per_image if (each.name in wanted if each.optional else each.of_masks)]

    @property
    def measured(self) -> list[str]:
        """The names of what is measured."""
        return [*(each.name for each in self.chosen), *self.custom]

    def measure(
        self, prediction: np.ndarray, truth: np.ndarray, num_classes: int, instances: np.ndarray | None = None
    ) -> dict[str, NDArray[np.float64]]:
        """Measure each foreground class of an image: name -> num_classes - 1 values, NaN where a class has none.

        Args:
            prediction: class map, H x W integers.
            truth: class map, H x W; pixels of `IGNORE_INDEX` belong to no mask.
            num_classes: the background included.
            instances: the dataset's objects, H x W integers, 0 where there is none; None where it has none.
        """
        if prediction.shape != truth.shape or prediction.ndim != 2:
            raise ValueError(f"two H x W class maps are needed, got {prediction.shape} and {truth.shape}")
        chosen, valid = self.chosen, truth != IGNORE_INDEX
        of_masks: dict[str, Score] = {each.name: each.of_masks for each in chosen if each.of_masks} | {**self.custom}
        values: dict[str, list[float]] = {name: [] for name in of_masks}
        for label in range(1, num_classes):
            true = truth == label
            pair = MaskPair(
                (prediction == label) & valid,
                true,
                spacing=self.spacing,
                instances=None if instances is None else instances * true,
                tolerance=self.tolerance,
            )
            for name, of in of_masks.items():
                values[name].append(float(of(pair)))
        measured = {name: np.array(row, dtype=np.float64) for name, row in values.items()}
        of_counts = {each.name: each.function for each in chosen if each.function}
        if of_counts:
            counts = count_pixels(prediction[None], truth[None], num_classes)[0, 1:]
            measured |= {name: of(counts) for name, of in of_counts.items()}
        return {name: measured[name] for name in self.measured}
