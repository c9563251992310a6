"""Whether networks are as sure as they are right: their calibration, and what their confidence tells of an image."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from medseg.errors import UserError
from medseg.metrics.calibration import BINS, at_limit
from medseg.metrics.confidence import rejection_curve, rejection_ratio
from medseg.reporting.cells import Cell
from medseg.reporting.comparison import Comparison
from medseg.reporting.line import Line
from medseg.reporting.statistics import Array
from medseg.runs.packed.archive import with_files
from medseg.runs.run import Run

log = logging.getLogger("medseg")

VALUES = ("ece", "ece_scaled", "brier", "brier_scaled", "temperature")
"""Entries of `calibration` in `summary.json` that are shown."""


@dataclass(frozen=True, eq=False)
class Certainty:
    """How sure a network is of its predictions on a dataset, and whether rightly.

    Args:
        row, column: which.
        values: name of `VALUES` -> that of each seed, the mean over its folds; those that all of them have.
        bins: BINS x 3, of all runs and foreground classes: pixels, the sum of their probabilities, pixels of the class;
            None where it is not known.
        rejection: mean Dice of the k most certain of N images, for k from 1 to N, mean over seeds; None where the
            confidence is not known.
        ratios: rejection ratio of each seed; NaN where all images have the same Dice.
    """

    row: Line
    column: Line
    values: Mapping[str, Array]
    bins: Array | None
    rejection: Array | None
    ratios: Array

    @property
    def reliability(self) -> Array:
        """Mean probability, share of true pixels and number of pixels of each bin that has some, n x 3."""
        if self.bins is None:
            return np.zeros((0, 3))
        pixels, total, true = self.bins[self.bins[:, 0] > 0].T
        return np.column_stack([total / pixels, true / pixels, pixels])

    @property
    def at_limit(self) -> bool:
        """Whether the temperature of a seed is at an end of the range that it was chosen from."""
        return any(map(at_limit, self.values.get("temperature", ())))

    @property
    def without_order(self) -> bool:
        """Whether the confidence is known but, of a seed, all images have the same Dice: no order of them is better."""
        return self.rejection is not None and bool(np.isnan(self.ratios).any())

    def dice_of(self, share: float) -> float | None:
        """Return the mean Dice of a share of the images, the most certain ones; None where it is not known."""
        if self.rejection is None:
            return None
        return float(self.rejection[max(1, round(share * len(self.rejection))) - 1])


def certainty_of(cell: Cell) -> Certainty | None:
    """Return what the finished runs of a cell tell; None where they are of an older version, which told nothing."""
    if cell.sample is None:
        return None
    by_seed = {seed: [run for run in cell.runs if run.finished and run.seed == seed] for seed in cell.sample.seeds}
    runs = [run for several in by_seed.values() for run in several]
    values = {
        name: np.array([np.mean(of) for of in each])
        for name in VALUES
        if all(each := [values_of(several, name) for several in by_seed.values()])
    }
    plain = [stored(run, "reliability").get(1.0) for run in runs]
    known = [bins for bins in plain if bins is not None]
    bins = np.sum(known, axis=0) if len(known) == len(runs) else None
    curves, ratios = [], []
    for seed, dice in zip(cell.sample.seeds, cell.sample.scores.get("dice", ()), strict=False):
        certain = confidence_of(by_seed[seed])
        there = ~np.isnan(dice)
        if all(image in certain for image in cell.sample.ids) and there.any():
            confidence = np.array([certain[image] for image in cell.sample.ids])
            curves.append(rejection_curve(confidence[there], dice[there]))
            ratios.append(rejection_ratio(confidence[there], dice[there]))
    complete = len(curves) == len(by_seed) and len({len(curve) for curve in curves}) == 1
    if not values and bins is None and not complete:
        return None
    return Certainty(
        cell.row,
        cell.column,
        values,
        bins,
        np.mean(curves, axis=0) if complete else None,
        np.array(ratios if complete else [np.nan]),
    )


def confidence_of(runs: list[Run]) -> dict[str, float]:
    """Return the confidence of each image in the runs of a seed, the mean over its folds; empty where one lacks it."""
    of_folds = [stored(run, "confidence") for run in runs]
    if not all(of_folds):
        return {}
    several: dict[str, list[float]] = defaultdict(list)
    for of_fold in of_folds:
        for image, value in of_fold.items():
            several[image].append(value)
    return {image: sum(values) / len(values) for image, values in several.items()}


def stored(run: Run, name: str) -> Mapping[Any, Any]:
    """Return the reliability or the confidence of a run; of a damaged file nothing, but a line in the log."""
    try:
        found: Mapping[Any, Any] = getattr(run, name)
    except UserError as error:
        log.warning("%s", with_files(str(error)))
        found = run.__dict__[name] = {}  # logged once
    return found


def values_of(runs: list[Run], name: str) -> list[float]:
    """Return a value of the runs of a seed; none where one of them lacks it."""
    found = [run.summary.get("calibration", {}).get(name) for run in runs]
    return [] if any(value is None for value in found) else [float(value) for value in found]


def certainties(comparison: Comparison) -> list[Certainty]:
    """Return what is known of the cells of a comparison, dataset by dataset, in the order of the rows."""
    cells = (comparison.cells.get((row, column)) for column in comparison.columns for row in comparison.rows)
    return [known for cell in cells if cell is not None and (known := certainty_of(cell)) is not None]


def ends_of(number: int) -> tuple[float, float]:
    """Return the ends of a bin, counted from 0."""
    return number / BINS, (number + 1) / BINS
