"""Mirrored borders of any width: beyond its edge pixels an image is seen in a mirror that stands on them."""

from __future__ import annotations

import torch
from torch import Tensor

from medseg.models.layers import larger


def mirror_pad(image: Tensor, top: int, bottom: int, left: int, right: int) -> Tensor:
    """Pad the last two dimensions, ... x H x W -> ... x (top + H + bottom) x (left + W + right), by mirroring.

    The edge pixels are not repeated: 1 2 3 becomes 3 2 [1 2 3] 2 1. An image smaller than its border is mirrored again
    and again, as numpy's "reflect" does it, where PyTorch's refuses a border as wide as the image; a single pixel is
    repeated. Any H, W and amounts of at least 1 and 0 pixels; differentiable.
    """
    for dimension, before, after in ((-2, top, bottom), (-1, left, right)):
        if before or after:
            image = image.index_select(dimension, _mirrored(image.shape[dimension], before, after, image.device))
    return image


def _mirrored(size: int, before: int, after: int, device: torch.device) -> Tensor:
    """Return for every position of the padded dimension the position 0 <= k < size that is seen there."""
    period = larger(2 * (size - 1), 1)  # there and back; both ends are passed once
    position = torch.arange(-before, size + after, device=device)
    position = position.remainder(torch.full_like(position, period))
    return torch.minimum(position, period - position)
