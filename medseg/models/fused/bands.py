"""Bands of features: some rows of an image, or a few images, at a time."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

import torch

VALUES = 2**20
"""Values of the widest feature in a band, 4 MiB in float32; twice as many in a band with a halo.

Measured from 2**17 to 2**22: smaller bands take more operations, larger ones more memory.
"""

HALOS = 6
"""How many times as high as its halo a band is, at least."""


@dataclass(frozen=True)
class Band:
    """Some rows of one image, or several whole images: `images` and `rows` are ranges, the end not included."""

    images: tuple[int, int]
    rows: tuple[int, int]

    def widened(self, halo: int, height: int) -> Band:
        """Return the band with `halo` more rows above and below, as far as the image goes."""
        return Band(self.images, (max(0, self.rows[0] - halo), min(height, self.rows[1] + halo)))

    def of(self, x: torch.Tensor) -> torch.Tensor:
        """Return this band of a feature N x C x H x W, without a copy."""
        return x[self.images[0] : self.images[1], :, self.rows[0] : self.rows[1]]


def cut(number: int, height: int, width: int, channels: int, halo: int = 0) -> list[Band]:
    """Cut features of `number` images into bands.

    Args:
        number, height, width: N, H and W of the features.
        channels: of the widest feature that is made of a band.
        halo: rows above and below a band that are computed with it; a band has several times as many.
    """
    pixels = max(1, (2 if halo else 1) * VALUES // channels, HALOS * halo * width)
    if height * width <= pixels:
        together = min(number, pixels // (height * width))
        return [Band((n, min(n + together, number)), (0, height)) for n in range(0, number, together)]
    rows = ceil(height / ceil(height * width / pixels))
    return [Band((n, n + 1), (top, min(top + rows, height))) for n in range(number) for top in range(0, height, rows)]
