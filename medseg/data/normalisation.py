"""How the values of an image are normalised before a network sees them; nothing else normalises them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def normalise(images: Tensor, mean: Sequence[float] | Tensor, std: Sequence[float] | Tensor) -> Tensor:
    """Return `(images / 255 - mean) / std`, float32, ... x C x H x W.

    Args:
        images: ... x C x H x W, values 0..255 of any type.
        mean, std: C values, of images in 0..1.
    """
    mean, std = (torch.as_tensor(values, device=images.device).view(-1, 1, 1) for values in (mean, std))
    return (images.float() / 255 - mean) / std
