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
- head: a 1x1 convolution, N x c'' x H x W -> logits.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from medseg.errors import ConfigError
from medseg.models.layers import check_size, crop_to, pad_to


class DecoderStage(nn.Module):
    """One level of the decoder: up-sample, fit to the encoder feature, pass that through the skip module, fuse.

    Args:
        up: up-sampling, N x c x h x w -> N x c' x 2h x 2w.
        skip: takes (encoder feature, up-sampled feature), both at the encoder feature's size, returns the feature
            that is concatenated.
        fuse: takes `cat[skip, up]` along the channels.
        out_channels: channels that `fuse` returns.
        up_first: concatenate `cat[up, skip]` instead.
        crop: cut the encoder feature to the up-sampled one, as U-Net 2015 does, instead of padding the latter.
    """

    def __init__(
        self,
        *,
        up: nn.Module,
        skip: nn.Module,
        fuse: nn.Module,
        out_channels: int,
        up_first: bool = False,
        crop: bool = False,
    ) -> None:
        super().__init__()
        self.up = up
        self.skip = skip
        self.fuse = fuse
        self.out_channels = out_channels
        self.up_first = up_first
        self.crop = crop

    def forward(self, x: Tensor, feature: Tensor) -> Tensor:
        """Map N x c x h x w from below and N x c' x H x W from the encoder to N x c'' x H x W."""
        x = self.up(x)
        if self.crop:
            feature = crop_to(feature, x.shape[-2:])
        else:
            x = pad_to(x, feature.shape[-2:])
        feature = self.skip(feature, x)
        return self.fuse(torch.cat([x, feature] if self.up_first else [feature, x], dim=1))


class UShape(nn.Module):
    """A U-shaped network: stem, encoder stages, as many decoder stages, head (see the top of this file).

    Maps N x in_channels x H x W to logits N x num_classes x H x W, for any H and W of at least `min_size` pixels.
    With deep supervision it returns a list of such logits while training, one for each decoder stage, the deepest
    first, bilinearly resized to H x W; the last one is the output of the network.

    Args:
        stem, encoder, decoder: the parts.
        num_classes: of the head, and of the heads of deep supervision.
        min_size: smallest height and width that the parts take, in pixels.
        deep_supervision: give the other decoder stages a head too (used in training only).
    """

    encoder_parts = ("stem", "encoder")
    """See `medseg.models.encoder`."""

    min_size: int
    """Smallest height and width that the network takes, in pixels."""

    def __init__(
        self,
        *,
        stem: nn.Module,
        encoder: Sequence[nn.Module],
        decoder: Sequence[DecoderStage],
        num_classes: int,
        min_size: int,
        deep_supervision: bool = False,
    ) -> None:
        super().__init__()
        if num_classes < 1:
            raise ConfigError(f"num_classes must be at least 1, got {num_classes}")
        self.stem = stem
        self.encoder = nn.ModuleList(encoder)
        self.decoder = nn.ModuleList(decoder)
        # At the size of the stage; only the logits are resized.
        self.auxiliary_heads = nn.ModuleList(
            nn.Conv2d(stage.out_channels, num_classes, 1) for stage in (decoder[:-1] if deep_supervision else [])
        )
        self.head = nn.Conv2d(decoder[-1].out_channels, num_classes, 1)
        self.min_size = min_size

    def forward(self, image: Tensor) -> Tensor | list[Tensor]:
        """Return the logits of images N x in_channels x H x W; raises `UserError` for images below `min_size`."""
        check_size(self, image, self.min_size)
        outputs = self.decode(image)
        logits = self.head(outputs[-1])
        if not (self.training and self.auxiliary_heads):
            return logits
        auxiliary = [head(x) for head, x in zip(self.auxiliary_heads, outputs, strict=False)]
        size = logits.shape[-2:]
        return [*(F.interpolate(each, size, mode="bilinear", align_corners=False) for each in auxiliary), logits]

    def decode(self, image: Tensor) -> list[Tensor]:
        """Return what each decoder stage makes of images N x in_channels x H x W, the deepest first."""
        x = self.stem(image)
        features = []
        for stage in self.encoder:
            features.append(x)
            x = stage(x)
        outputs = []
        for stage in self.decoder:
            x = stage(x, features.pop())
            outputs.append(x)
        return outputs
