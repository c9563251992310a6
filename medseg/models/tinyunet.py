"""TinyU-Net: a U-Net of few parameters, whose blocks cascade 3x3 depth-wise convolutions.

The same function as the released code (ChenJunren-Lab/TinyU-Net, MIT), proved by a golden vector; written from a
description of it. Initial weights are PyTorch's defaults, as there. Differences: the widths are an argument, where the
released ones are fixed; the released network takes multiples of 16 only, this one pads its features to any size.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from medseg.errors import ConfigError
from medseg.models.blocks import Block, choose_block
from medseg.models.facts import NetworkFacts, Size
from medseg.models.layers import depthwise_conv
from medseg.models.skips import make_skip
from medseg.models.stages import make_encoder_stage, make_stem, smallest_image
from medseg.models.ushape import DecoderStage, UShape

BRANCHES = 8
"""Receptive fields of a CMRF block: that of a pixel, and those of one to seven convolutions."""


class CMRFBlock(nn.Module):
    """TinyU-Net's cascade of multiple receptive fields, N x in x H x W -> N x out x H x W.

    GELU(BN(conv1x1)) to out / 8 channels, of which E are the even and O the odd ones; d1 = BN(dw3x3(O)),
    d2 = BN(dw3x3(d1)), ..., d7; out = GELU(BN(conv1x1(cat[E + O, d1, ..., d7]))), plus the input where `in` = `out`.
    The nine batch norms have an epsilon of 1e-3 and a momentum of 0.03.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output, a multiple of 16; `ConfigError` for another number.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        if out_channels % (2 * BRANCHES):
            raise ConfigError(f"TinyU-Net's block needs a multiple of {2 * BRANCHES} channels, got {out_channels}")
        super().__init__()
        half = out_channels // (2 * BRANCHES)
        self.squeeze = _conv_norm(nn.Conv2d(in_channels, 2 * half, 1, bias=False), nn.GELU())
        self.cascade = nn.ModuleList(_conv_norm(depthwise_conv(half, 3, bias=False)) for _ in range(BRANCHES - 1))
        self.expand = _conv_norm(nn.Conv2d(BRANCHES * half, out_channels, 1, bias=False), nn.GELU())
        self.is_residual = in_channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output, N x out x H x W."""
        squeezed = self.squeeze(x)
        even, odd = squeezed[:, 0::2], squeezed[:, 1::2]
        features = [even + odd]
        for layer in self.cascade:
            odd = layer(odd)
            features.append(odd)
        y = self.expand(torch.cat(features, dim=1))
        return x + y if self.is_residual else y


class TinyUNet(UShape):
    """TinyU-Net; maps N x in_channels x H x W to logits N x num_classes x H x W, H and W at least 16.

    Args:
        in_channels: channels of the image.
        num_classes: number of classes, background included.
        channels: of the four levels, of size H to H / 8; multiples of 16. Below them the features are pooled once more
            and go straight up.
        encoder, skip, decoder: parts instead of the default ones (`cmrf`, `identity`, `cmrf`): blocks of
            `medseg.models.blocks.BLOCKS`, a skip module of `medseg.models.skips.SKIPS`.
        deep_supervision: see `UShape`.
    """

    facts = NetworkFacts(
        about="A small U-Net whose blocks cascade depth-wise convolutions over an eighth of the channels.",
        paper='Chen, Chen, Wang, Cheng, Zhang, Chen, "TinyU-Net: Lighter Yet Better U-Net with Cascaded '
        'Multi-receptive Fields", MICCAI 2024 (doi:10.1007/978-3-031-72114-4_60)',
        year=2024,
        code="ChenJunren-Lab/TinyU-Net",
        sizes=(Size("TinyU-Net", "tinyunet", 481_105, 1.561, num_classes=1),),
        claims={"3 times fewer than UNeXt": "UNeXt"},
    )

    def __init__(
        self,
        *,
        in_channels: int = 3,
        num_classes: int = 2,
        channels: Sequence[int] = (64, 128, 256, 512),
        encoder: str | None = None,
        skip: str | None = None,
        decoder: str | None = None,
        deep_supervision: bool = False,
    ) -> None:
        if len(channels) != 4:
            raise ConfigError(f"TinyU-Net's channels are four numbers, one per level, got {list(channels)}")
        own = Block(CMRFBlock, takes_image=True)
        encode = choose_block("encoder", encoder or "cmrf", cmrf=own)
        decode = choose_block("decoder", decoder or "cmrf", cmrf=own)
        levels = [make_encoder_stage(encode, *pair, downsampling="pool") for pair in pairwise(channels)]
        super().__init__(
            stem=make_stem(encode, in_channels, channels[0]),
            encoder=[*levels, nn.MaxPool2d(2)],
            decoder=[
                DecoderStage(
                    up=nn.Upsample(scale_factor=2, mode="bicubic", align_corners=False),
                    skip=make_skip(skip or "identity", here, below),
                    fuse=decode(below + here, here),
                    out_channels=here,
                    up_first=True,
                )
                for below, here in pairwise([channels[-1], *channels[::-1]])
            ],
            num_classes=num_classes,
            min_size=smallest_image(4, encode, decode),
            deep_supervision=deep_supervision,
        )


def _conv_norm(conv: nn.Conv2d, *activation: nn.Module) -> nn.Sequential:
    """Return a convolution, the network's batch norm and perhaps an activation."""
    return nn.Sequential(conv, nn.BatchNorm2d(conv.out_channels, eps=1e-3, momentum=0.03), *activation)
