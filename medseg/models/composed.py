"""A U-shaped network of freely chosen parts, not from a paper.

The frame is that of U-Net, ConvUNeXt and AMSUnet: widths c, 2 c, 4 c, 8 c, ... and the deepest two
levels alike, so that every decoder stage joins two features of the same width.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from medseg.errors import ConfigError
from medseg.models.blocks import choose_block
from medseg.models.facts import NetworkFacts
from medseg.models.layers import make_upsampling
from medseg.models.skips import make_skip
from medseg.models.stages import make_encoder_stage, make_stem, smallest_image
from medseg.models.ushape import DecoderStage, UShape


class ComposedUShape(UShape):
    """A composed network; maps N x in_channels x H x W to logits N x num_classes x H x W, H and W at least `min_size`.

    Args:
        in_channels: channels of the image.
        num_classes: number of classes, background included.
        base_channels: channels of the first level; every level below has twice as many, the deepest as many as the
            one above it.
        depths: number of encoder blocks after each halving of the size; their number is the number of halvings.
        encoder, decoder: the blocks, one of `medseg.models.blocks.BLOCKS`.
        skip: the module on the skip connections, one of `medseg.models.skips.SKIPS`.
        downsampling: `pool`, the maximum, or `conv`, a norm and a strided convolution.
        upsampling: `bilinear` (corners aligned), `nearest`, or `transposed` (2x2 convolution).
        deep_supervision: see `UShape`.
    """

    facts = NetworkFacts(
        about="A U-shaped network of freely chosen parts: any encoder block, skip module and decoder block."
    )

    def __init__(
        self,
        *,
        in_channels: int = 3,
        num_classes: int = 2,
        base_channels: int = 32,
        depths: Sequence[int] = (1, 1, 1, 1),
        encoder: str = "double_conv",
        skip: str = "identity",
        decoder: str = "double_conv",
        downsampling: str = "pool",
        upsampling: str = "bilinear",
        deep_supervision: bool = False,
    ) -> None:
        if not depths or min(depths) < 1:
            raise ConfigError(f"depths are numbers of blocks, at least one each, got {list(depths)}")
        encode = choose_block("encoder", encoder)
        decode = choose_block("decoder", decoder)
        levels = [base_channels * 2**k for k in range(len(depths))]
        skips = levels[::-1]
        made = [*skips[1:], base_channels]
        super().__init__(
            stem=make_stem(encode, in_channels, base_channels),
            encoder=[
                make_encoder_stage(encode, *channels, downsampling=downsampling, depth=depth)
                for channels, depth in zip(pairwise([*levels, levels[-1]]), depths, strict=True)
            ],
            decoder=[
                DecoderStage(
                    up=make_upsampling(upsampling, channels, channels),
                    skip=make_skip(skip, channels),
                    fuse=decode(2 * channels, out_channels),
                    out_channels=out_channels,
                )
                for channels, out_channels in zip(skips, made, strict=True)
            ],
            num_classes=num_classes,
            min_size=smallest_image(len(depths), encode, decode),
            deep_supervision=deep_supervision,
        )
