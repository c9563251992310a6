"""What counts where the output of a network is not finite."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def without_nan(probabilities: NDArray[np.float32]) -> tuple[NDArray[np.float32], bool]:
    """Return probabilities in which pixels without finite ones are certain background, and whether there were any.

    Numbers that are too large for their type become infinite, and their softmax NaN. A network is not better for giving
    no answer, so these pixels stay in every score.

    Args:
        probabilities: of all classes, the background first, K x h x w.
    """
    if np.isfinite(probabilities.sum()):
        return probabilities, False
    missing = ~np.isfinite(probabilities).all(axis=0)
    background = np.zeros((len(probabilities), 1, 1), probabilities.dtype)
    background[0] = 1
    return np.where(missing, background, probabilities), True
