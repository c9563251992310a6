"""A metric: Dice of the bands along the borders."""

from __future__ import annotations

import numpy as np
from scipy import ndimage


class BoundaryDice:
    """Dice of the pixels within `width` of the border of each mask.

    The inside of large objects does not count. 1 if both masks are empty.

    Args:
        width: of the band inside the border, pixels.
    """

    higher_is_better = True
    unit = ""  # a fraction of 1

    def __init__(self, width: int = 2) -> None:
        self.width = width

    def __call__(self, prediction: np.ndarray, truth: np.ndarray) -> float:
        """Compare two masks, H x W bool."""
        first, second = self.band(prediction), self.band(truth)
        total = int(first.sum() + second.sum())
        return 2 * int((first & second).sum()) / total if total else 1.0

    def band(self, mask: np.ndarray) -> np.ndarray:
        """Return the pixels of a mask that are near its border."""
        return mask & ~ndimage.binary_erosion(mask, iterations=self.width)
