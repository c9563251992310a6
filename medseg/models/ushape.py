"""The skeleton that U-Net, ConvUNeXt and their relatives share.

    image -> stem -> encoder[0] -> ... -> encoder[n-1]
               |         |                    |
             skip      skip                   |
               v         v                    v
    logits <- head <- decoder[n-1] <- ... <- decoder[0]

A network is a choice of parts. Every part is a plain module with a plain signature:

- stem: N x in_channels x H x W -> N x c0 x H x W;
- encoder stage: N x c x H x W -> N x c' x ceil-or-floor(H/2) x (W/2);
- decoder stage: a `DecoderStage`, made of
    - up: the feature from below -> about twice its size,
    - skip: (encoder feature, up-sampled feature), both of one size -> what is handed over,
    - fuse: the two, concatenated -> N x c'' x H x W;
- head: N x c'' x H x W -> logits.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from medseg.errors import UserError


def pad_to(x: Tensor, size: torch.Size | tuple[int, int]) -> Tensor:
    """Zero-pad the last two dimensions of `x` to `size`, the odd pixel going to the right and to the bottom."""
    dy, dx = size[0] - x.shape[-2], size[1] - x.shape[-1]
    if dy == 0 and dx == 0:  # F.pad would copy the feature for nothing
        return x
    return F.pad(x, (dx // 2, dx - dx // 2, dy // 2, dy - dy // 2))


class DecoderStage(nn.Module):
    """One level of the decoder: up-sample, pad to the encoder feature, pass that through the skip module, fuse.

    Args:
        up: up-sampling, N x c x h x w -> N x c' x 2h x 2w.
        skip: takes (encoder feature, up-sampled feature), both at the encoder feature's size, returns the feature
            that is concatenated.
        fuse: takes `cat[skip, up]` along the channels.
    """

    def __init__(self, *, up: nn.Module, skip: nn.Module, fuse: nn.Module) -> None:
        super().__init__()
        self.up = up
        self.skip = skip
        self.fuse = fuse

    def forward(self, x: Tensor, feature: Tensor) -> Tensor:
        """Map N x c x h x w from below and N x c' x H x W from the encoder to N x c'' x H x W."""
        x = pad_to(self.up(x), feature.shape[-2:])
        return self.fuse(torch.cat([self.skip(feature, x), x], dim=1))


class UShape(nn.Module):
    """A U-shaped network: stem, encoder stages, as many decoder stages, head (see the top of this file).

    Maps N x in_channels x H x W to logits N x num_classes x H x W, for any H and W of at least `min_size` pixels.
    """

    min_size: int
    """Smallest height and width that the network takes, in pixels."""

    def __init__(
        self,
        *,
        stem: nn.Module,
        encoder: Sequence[nn.Module],
        decoder: Sequence[DecoderStage],
        head: nn.Module,
        min_size: int,
    ) -> None:
        super().__init__()
        self.stem = stem
        self.encoder = nn.ModuleList(encoder)
        self.decoder = nn.ModuleList(decoder)
        self.head = head
        self.min_size = min_size

    def forward(self, image: Tensor) -> Tensor:
        """Return the logits, N x num_classes x H x W, of images N x in_channels x H x W.

        Raises `UserError` for an image below `min_size`.
        """
        height, width = image.shape[-2:]
        if height < self.min_size or width < self.min_size:
            raise UserError(
                f"{type(self).__name__} needs images of at least {self.min_size} x {self.min_size} pixels, "
                f"got {height} x {width} (height x width): use larger images or another network"
            )
        x = self.stem(image)
        features = []
        for stage in self.encoder:
            features.append(x)
            x = stage(x)
        for stage in self.decoder:
            x = stage(x, features.pop())
        return self.head(x)
