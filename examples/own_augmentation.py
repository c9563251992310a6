"""An augmentation: an albumentations transform that darkens the corners."""

from __future__ import annotations

from typing import Any

import albumentations
import numpy as np


class Vignette(albumentations.ImageOnlyTransform):
    """Darken an image towards its corners, as a lens does.

    Args:
        strength: highest loss of brightness in the corners, 0 to 1.
        p: probability that an image is changed.
    """

    def __init__(self, strength: float = 0.5, p: float = 0.5) -> None:
        super().__init__(p=p)
        self.strength = strength

    def get_params(self) -> dict[str, float]:
        """Draw the strength; only from `py_random`, which medseg seeds."""
        return {"drawn": self.py_random.uniform(0, self.strength)}

    def apply(
        self, img: np.ndarray, drawn: float = 0, **params: Any
    ) -> np.ndarray:
        """Return the changed image, H x W x C uint8."""
        rows, columns = (np.linspace(-1, 1, side) for side in img.shape[:2])
        distance = (rows[:, None] ** 2 + columns**2) / 2
        factor = 1 - drawn * distance
        return (img * factor[..., None]).round().astype(np.uint8)
