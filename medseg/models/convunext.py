"""ConvUNeXt: a U-Net of large-kernel ConvNeXt blocks with gated skip connections.

Han, Jian, Wang, "ConvUNeXt: An efficient convolution neural network for medical image segmentation",
Knowledge-Based Systems 253:109512, 2022 (doi 10.1016/j.knosys.2022.109512). What it changes in U-Net: 7x7 depth-wise
blocks with an inverted bottleneck, stage depths 1:1:1:3:1, down-sampling by a strided convolution after a norm, and a
gate through which the decoder filters the encoder feature. 3,505,730 parameters with 3 channels and 2 classes;
7.12 GMAC at 256 x 256.

The same function as the released code, proved by golden vectors; written from a description of it (the code has no
licence). Differences: 1x1 convolutions in place of Linear layers on permuted data; the logits are returned as they
are, not in a dict; the released option of transposed convolutions is left out, since it cannot run there.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from medseg.errors import ConfigError
from medseg.models.blocks import ConvUNeXtBlock
from medseg.models.skips import make_skip
from medseg.models.ushape import DecoderStage, UShape


class ConvUNeXt(UShape):
    """ConvUNeXt; maps N x in_channels x H x W to logits N x num_classes x H x W, H and W at least 64.

    Args:
        in_channels: channels of the image.
        num_classes: number of classes, background included.
        base_channels: channels of the first level; the levels below have 2, 4, 8 and 8 times as many.
        kernel_size: of the depth-wise convolutions, odd. The borders are reflected, so the deepest level must be
            larger than half a kernel: `min_size` is 16 * (kernel_size // 2 + 1).
        depths: number of blocks in the four encoder stages after the stem.
        skip: the module on the skip connections, one of `medseg.models.skips.SKIPS`.
    """

    def __init__(
        self,
        *,
        in_channels: int = 3,
        num_classes: int = 2,
        base_channels: int = 32,
        kernel_size: int = 7,
        depths: Sequence[int] = (1, 1, 3, 1),
        skip: str = "convunext_gate",
    ) -> None:
        if kernel_size % 2 == 0:
            raise ConfigError(f"ConvUNeXt's kernel_size must be odd, got {kernel_size}")
        if len(depths) != 4:
            raise ConfigError(f"ConvUNeXt's depths are four numbers, one per encoder stage, got {list(depths)}")
        c = base_channels
        down = [c, 2 * c, 4 * c, 8 * c, 8 * c]
        up = [8 * c, 4 * c, 2 * c, c, c]
        super().__init__(
            stem=nn.Sequential(
                nn.Conv2d(in_channels, c, 7, padding=3, padding_mode="reflect"),
                nn.BatchNorm2d(c),
                nn.GELU(),
                ConvUNeXtBlock(c, kernel_size=kernel_size),
            ),
            encoder=[
                nn.Sequential(
                    nn.BatchNorm2d(down[k]),
                    nn.Conv2d(down[k], down[k + 1], 2, stride=2),
                    *(ConvUNeXtBlock(down[k + 1], kernel_size=kernel_size) for _ in range(depths[k])),
                )
                for k in range(4)
            ],
            decoder=[
                DecoderStage(
                    up=nn.Sequential(
                        nn.BatchNorm2d(up[k]), nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)
                    ),
                    skip=make_skip(skip, up[k]),
                    fuse=nn.Sequential(
                        nn.Conv2d(2 * up[k], up[k + 1], 1), ConvUNeXtBlock(up[k + 1], kernel_size=kernel_size)
                    ),
                )
                for k in range(4)
            ],
            head=nn.Conv2d(c, num_classes, 1),
            min_size=16 * (kernel_size // 2 + 1),
        )
