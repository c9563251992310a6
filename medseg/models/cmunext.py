"""CMUNeXt.

The same function as the released code (FengheTan9/CMUNeXt, MIT), proved by a golden vector; written from a description
of it. Initial weights are PyTorch's defaults, as there. The released network takes multiples of 16 only; this one pads
its features to any size.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import pairwise

from torch import nn

from medseg.errors import ConfigError
from medseg.models.blocks import Block, CMUNeXtBlock, choose_block, widening
from medseg.models.blocks.cmunext import SkipFusion
from medseg.models.facts import NetworkFacts, Size
from medseg.models.skips import make_skip
from medseg.models.stages import smallest_image
from medseg.models.ushape import DecoderStage, UShape


class CMUNeXt(UShape):
    """CMUNeXt; maps N x in_channels x H x W to logits N x num_classes x H x W, H and W at least 16.

    Args:
        in_channels: channels of the image.
        num_classes: number of classes, background included.
        channels: of the five levels.
        depths: number of blocks at the five levels.
        kernels: size of the depth-wise kernels at the five levels, odd.
        encoder, skip, decoder: parts instead of the default ones (`cmunext`, `identity`, `fusion`): blocks of
            `medseg.models.blocks.BLOCKS`, a skip module of `medseg.models.skips.SKIPS`.
        deep_supervision: see `UShape`.
    """

    facts = NetworkFacts(
        about="A light U-shaped network of large depth-wise kernels and a grouped skip fusion.",
        paper='Tang et al., "CMUNeXt: An Efficient Medical Image Segmentation Network based on Large Kernel and Skip '
        'Fusion", ISBI 2024 (arXiv:2308.01239)',
        year=2024,
        code="FengheTan9/CMUNeXt",
        sizes=(
            Size("CMUNeXt-S", "cmunext_s", 417_505, 1.012, num_classes=1),
            Size("CMUNeXt", "cmunext", 3_149_185, 7.231, num_classes=1),
            Size("CMUNeXt-L", "cmunext_l", 8_286_721, 16.853, num_classes=1),
        ),
    )

    def __init__(
        self,
        *,
        in_channels: int = 3,
        num_classes: int = 2,
        channels: Sequence[int] = (16, 32, 128, 160, 256),
        depths: Sequence[int] = (1, 1, 1, 3, 1),
        kernels: Sequence[int] = (3, 3, 7, 7, 7),
        encoder: str | None = None,
        skip: str | None = None,
        decoder: str | None = None,
        deep_supervision: bool = False,
    ) -> None:
        if not len(channels) == len(depths) == len(kernels) == 5:
            raise ConfigError(
                f"CMUNeXt's channels, depths and kernels are five numbers each, one per level, got {list(channels)}, "
                f"{list(depths)}, {list(kernels)}"
            )
        if min(depths) < 1:
            raise ConfigError(f"CMUNeXt's depths are at least 1, got {list(depths)}")
        if any(kernel < 1 or kernel % 2 == 0 for kernel in kernels):
            raise ConfigError(f"CMUNeXt's kernels must be odd and at least 1, got {list(kernels)}")
        encode = [
            choose_block("encoder", encoder or "cmunext", cmunext=widening(partial(CMUNeXtBlock, kernel_size=kernel)))
            for kernel in kernels
        ]
        decode = choose_block("decoder", decoder or "fusion", fusion=Block(SkipFusion))

        def stage(level: int, before: int, *first: nn.Module) -> nn.Module:
            # The blocks work at the width of the level above; the convolution that closes the stage widens.
            blocks = (encode[level](before, before) for _ in range(depths[level]))
            return nn.Sequential(*first, *blocks, conv_norm_relu(before, channels[level]))

        super().__init__(
            stem=stage(0, channels[0], conv_norm_relu(in_channels, channels[0])),
            encoder=[stage(level, channels[level - 1], nn.MaxPool2d(2)) for level in range(1, 5)],
            decoder=[
                DecoderStage(
                    up=nn.Sequential(
                        nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False), conv_norm_relu(below, here)
                    ),
                    skip=make_skip(skip or "identity", here),
                    fuse=decode(2 * here, here),
                    out_channels=here,
                )
                for below, here in pairwise(channels[::-1])
            ],
            num_classes=num_classes,
            min_size=smallest_image(4, encode[-1], decode),
            deep_supervision=deep_supervision,
        )


def conv_norm_relu(in_channels: int, out_channels: int) -> nn.Sequential:
    """Return 3x3 convolution, batch norm, ReLU, N x in x H x W -> N x out x H x W."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 3, padding=1), nn.BatchNorm2d(out_channels), nn.ReLU(inplace=True)
    )
