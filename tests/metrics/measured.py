"""Scores of class maps, as `ImageScores` measures them."""

from __future__ import annotations

import numpy as np

from medseg.metrics import ImageScores


def surface_distances(pred: np.ndarray, target: np.ndarray, num_classes: int) -> np.ndarray:
    """HD95 and ASSD of each foreground class, (num_classes - 1) x 2."""
    measured = ImageScores().measure(pred, target, num_classes)
    return np.stack([measured["hd95"], measured["assd"]], axis=1)
