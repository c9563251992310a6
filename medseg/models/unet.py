"""U-Net in the form that ConvUNeXt and AMSUnet compare with.

The structure is that of the modern baseline: 3x3 convolutions padded to keep the size, batch norm, and by default
bilinear up-sampling, which halves the deepest stages. `upsampling=transposed` up-samples with transposed convolutions.
The same function as the baseline's released code, proved by golden vectors; written from a description of it. The
network as the paper published it is `unet2015.py`. Initial weights are PyTorch's defaults, as in the baseline's code.
"""

from __future__ import annotations

from functools import partial
from itertools import pairwise

from torch import nn

from medseg.errors import ConfigError
from medseg.models.blocks import Block, DoubleConv, choose_block
from medseg.models.facts import NetworkFacts, Size
from medseg.models.layers import UPSAMPLINGS, check_choice, make_upsampling
from medseg.models.skips import make_skip
from medseg.models.stages import make_encoder_stage, make_stem, smallest_image
from medseg.models.ushape import DecoderStage, UShape

UNET_PAPER = (
    'Ronneberger, Fischer, Brox, "U-Net: Convolutional Networks for Biomedical Image Segmentation", MICCAI 2015 '
    "(arXiv:1505.04597)"
)


class UNet(UShape):
    """U-Net; maps N x in_channels x H x W to logits N x num_classes x H x W, H and W at least 2^depth (16).

    With a norm that needs more than one pixel, such as `instance`, they are at least twice that.

    Args:
        in_channels: channels of the image.
        num_classes: number of classes, background included.
        base_channels: channels of the first level; every level below has twice as many (the last one as many as the
            one above it, unless up-sampling is transposed). The papers' baseline is 32.
        depth: number of times that the size is halved.
        upsampling: `bilinear` (corners aligned), `nearest`, or `transposed` (2x2 convolution).
        norm, activation: of the convolutions, one of `medseg.models.layers.NORMS` and `ACTIVATIONS`.
        dropout: probability at the end of the contracting path, where the U-Net paper has it.
        encoder, skip, decoder: parts instead of the default ones (`double_conv`, `identity`, `double_conv`): blocks
            of `medseg.models.blocks.BLOCKS`, a skip module of `medseg.models.skips.SKIPS`. Norm and activation are
            those of `double_conv` alone.
        deep_supervision: see `UShape`.
    """

    facts = NetworkFacts(
        about="U-Net in the form that ConvUNeXt and AMSUnet compare with.",
        paper=UNET_PAPER,
        year=2015,
        code="WZMIAOMIAO/deep-learning-for-image-processing",
        sizes=(
            Size("U-Net", "unet", 4_318_434, 10.026, publications=("U-Net base 32 bilinear",)),
            Size("U-Net, transposed convolutions", "unet model.upsampling=transposed", 7_763_074, 12.073),
            Size("U-Net 64", "unet model.base_channels=64", 17_263_042, 39.984),
            Size(
                "U-Net 64, transposed convolutions",
                "unet model.base_channels=64 model.upsampling=transposed",
                31_037_698,
                48.172,
            ),
        ),
    )

    def __init__(
        self,
        *,
        in_channels: int = 3,
        num_classes: int = 2,
        base_channels: int = 32,
        depth: int = 4,
        upsampling: str = "bilinear",
        norm: str = "batch",
        activation: str = "relu",
        dropout: float = 0.0,
        encoder: str | None = None,
        skip: str | None = None,
        decoder: str | None = None,
        deep_supervision: bool = False,
    ) -> None:
        if depth < 1:
            raise ConfigError(f"U-Net's depth must be at least 1, got {depth}")
        check_choice("upsampling", upsampling, UPSAMPLINGS)
        transposed = upsampling == "transposed"
        own = partial(DoubleConv, norm=norm, activation=activation)
        encode = choose_block("encoder", encoder or "double_conv", double_conv=Block(own, takes_image=True))
        # Without transposed convolutions, the first convolution after the concatenation narrows as well.
        narrowing = Block(lambda i, o: own(i, o, None if transposed else i // 2))
        decode = choose_block("decoder", decoder or "double_conv", double_conv=narrowing)
        levels = [base_channels * 2**k for k in range(depth)]
        bottom = 2 * levels[-1] if transposed else levels[-1]
        deepest_norm = norm if encoder in (None, "double_conv") else "batch"
        stages = [
            make_encoder_stage(encode, *channels, downsampling="pool") for channels in pairwise([*levels, bottom])
        ]
        if dropout:
            stages[-1].append(nn.Dropout(dropout))
        # From the deepest level up: channels of the skip connection, of what is made there, of what comes from below.
        skips = levels[::-1]
        made = skips if transposed else [*skips[1:], base_channels]
        below = [bottom, *made[:-1]]
        super().__init__(
            stem=make_stem(encode, in_channels, base_channels),
            encoder=stages,
            decoder=[
                DecoderStage(
                    up=make_upsampling(upsampling, below[k], skips[k]),
                    skip=make_skip(skip or "identity", skips[k]),
                    fuse=decode(2 * skips[k], made[k]),
                    out_channels=made[k],
                )
                for k in range(depth)
            ],
            num_classes=num_classes,
            min_size=smallest_image(depth, encode, decode, norm=deepest_norm, channels=bottom),
            deep_supervision=deep_supervision,
        )
