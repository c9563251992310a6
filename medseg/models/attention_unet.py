"""Attention U-Net, in the form that 2D papers compare with, LeeJunHyun/Image_Segmentation.

The gate takes both features at one resolution (the authors' 3D code strides the encoder's), up-sampling is nearest
followed by a convolution.

The same function as the released code, proved by golden vectors; written from a description of it (the code has no
licence). The released network takes multiples of 16 only; this one pads its features to any size. Initial weights are
PyTorch's defaults, as there.
"""

from __future__ import annotations

from functools import partial
from itertools import pairwise

from torch import nn

from medseg.models.blocks import Block, DoubleConv, choose_block
from medseg.models.facts import NetworkFacts, Size
from medseg.models.skips import make_skip
from medseg.models.stages import make_encoder_stage, make_stem, smallest_image
from medseg.models.ushape import DecoderStage, UShape


class AttentionUNet(UShape):
    """Attention U-Net; maps N x in_channels x H x W to logits N x num_classes x H x W, H and W at least 16.

    Args:
        in_channels: channels of the image.
        num_classes: number of classes, background included.
        base_channels: channels of the first level; the levels below have 2, 4, 8 and 16 times as many.
        encoder, skip, decoder: parts instead of the default ones (`double_conv`, `attention_gate`, `double_conv`):
            blocks of `medseg.models.blocks.BLOCKS`, a skip module of `medseg.models.skips.SKIPS`.
        deep_supervision: see `UShape`.
    """

    facts = NetworkFacts(
        about="A U-Net whose skip connections pass a gate that the decoder steers.",
        paper='Oktay et al., "Attention U-Net: Learning Where to Look for the Pancreas", MIDL 2018 (arXiv:1804.03999)',
        year=2018,
        code="LeeJunHyun/Image_Segmentation",
        sizes=(
            Size("Attention U-Net", "attention_unet", 34_878_573, 66.425, num_classes=1),
            Size("Attention U-Net 32", "attention_unet_32", 8_726_110, 16.639, publications=("Attention U-Net",)),
        ),
    )

    def __init__(
        self,
        *,
        in_channels: int = 3,
        num_classes: int = 2,
        base_channels: int = 64,
        encoder: str | None = None,
        skip: str | None = None,
        decoder: str | None = None,
        deep_supervision: bool = False,
    ) -> None:
        # The released convolutions keep their bias before the norm.
        own = Block(partial(DoubleConv, bias=True), takes_image=True)
        encode = choose_block("encoder", encoder or "double_conv", double_conv=own)
        decode = choose_block("decoder", decoder or "double_conv", double_conv=own)
        levels = [base_channels * 2**k for k in range(5)]
        super().__init__(
            stem=make_stem(encode, in_channels, levels[0]),
            encoder=[make_encoder_stage(encode, *channels, downsampling="pool") for channels in pairwise(levels)],
            decoder=[
                DecoderStage(
                    up=nn.Sequential(
                        nn.Upsample(scale_factor=2, mode="nearest"),
                        nn.Conv2d(below, channels, 3, padding=1),
                        nn.BatchNorm2d(channels),
                        nn.ReLU(inplace=True),
                    ),
                    skip=make_skip(skip or "attention_gate", channels),
                    fuse=decode(2 * channels, channels),
                    out_channels=channels,
                )
                for below, channels in pairwise(levels[::-1])
            ],
            num_classes=num_classes,
            min_size=smallest_image(4, encode, decode),
            deep_supervision=deep_supervision,
        )
