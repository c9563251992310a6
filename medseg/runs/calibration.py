"""What the files of a run's test show of its probabilities: `calibration.csv` and `confidence.csv`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medseg.metrics.calibration import BINS
from medseg.system.files import damaged, numbers, read_table

Reliability = Mapping[float, NDArray[np.float64]]
"""Temperature, 1 for the predictions as they are -> BINS x 3, of all foreground classes together: pixels, the sum of
their probabilities, pixels of the class."""

MOST_PIXELS = 2**53
"""No split has as many."""


def read_reliability(file: Path) -> Reliability:
    """Read `calibration.csv`; empty where there is none. Raises `UserError` where it is damaged."""
    found: dict[float, NDArray[np.float64]] = {}
    try:
        header, rows = read_table(file)
        columns = {
            name: numbers(cells)
            for name, cells in zip(header, zip(*rows, strict=True), strict=False)
            if name != "class"
        }
        needed = ("temperature", "bin", "pixels", "mean_probability", "share_true")
        for temperature, number, pixels, probability, share in zip(*(columns[name] for name in needed), strict=True):
            if not 1 <= number <= BINS or not 0 <= pixels < MOST_PIXELS or not np.isfinite(temperature):
                raise ValueError(f"bin {number:g} with {pixels:g} pixels")
            sums = pixels * np.array([1, probability, share]) if pixels else np.zeros(3)
            if not ((sums >= 0) & (sums <= pixels)).all():
                raise ValueError(f"bin {number:g} has a share that is none")
            found.setdefault(temperature, np.zeros((BINS, 3)))[int(number) - 1] += sums
    except (ValueError, KeyError) as error:
        if not file.exists():
            return {}
        raise damaged(file, error) from None
    return found


def read_confidence(file: Path) -> dict[str, float]:
    """Read `confidence.csv`: image -> confidence; empty where there is none. Raises `UserError` where it is damaged."""
    try:
        header, rows = read_table(file)
        columns = dict(zip(header, zip(*rows, strict=True), strict=False))
        found = dict(zip(columns["id"], numbers(columns["confidence"]), strict=True))
        if not all(0 <= value <= 1 for value in found.values()):
            raise ValueError("a confidence that is not from 0 to 1")
    except (ValueError, KeyError) as error:
        if not file.exists():
            return {}
        raise damaged(file, error) from None
    return found
