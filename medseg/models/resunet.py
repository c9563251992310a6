"""ResUNet, as rishikksh20/ResUnet releases it: the size is halved three times only, the shortcuts are 3x3 convolutions.

AMSUnet's paper counts another ResUNet, whose configuration is not public.

The same function as the released code, proved by golden vectors; written from a description of it (the code has no
licence). It returns logits where the released network ends in a sigmoid, and takes any size where that one takes
multiples of 8. Initial weights are PyTorch's defaults, as there.
"""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from medseg.models.blocks import ResidualBlock, choose_block
from medseg.models.facts import NetworkFacts, Size
from medseg.models.skips import make_skip
from medseg.models.stages import make_encoder_stage, make_stem, smallest_image
from medseg.models.ushape import DecoderStage, UShape


class ResUNet(UShape):
    """ResUNet; maps N x in_channels x H x W to logits N x num_classes x H x W, H and W at least 8.

    Args:
        in_channels: channels of the image.
        num_classes: number of classes, background included.
        base_channels: channels of the first level; the levels below have 2, 4 and 8 times as many.
        encoder, skip, decoder: parts instead of the default ones (`residual`, `identity`, `residual`): blocks of
            `medseg.models.blocks.BLOCKS`, a skip module of `medseg.models.skips.SKIPS`. An encoder of other blocks
            halves the size by max pooling.
        deep_supervision: see `UShape`.
    """

    facts = NetworkFacts(
        about="A U-Net of pre-activation residual blocks that down-sample by their stride.",
        paper='Zhang, Liu, Wang, "Road Extraction by Deep Residual U-Net", IEEE Geoscience and Remote Sensing Letters '
        "15(5), 2018 (arXiv:1711.10684)",
        year=2018,
        code="rishikksh20/ResUnet",
        sizes=(
            Size("ResUNet", "resunet", 13_043_009, 71.098, num_classes=1, publications=("Residual U-Net",)),
            Size(
                "ResUNet 32",
                "resunet_32",
                3_265_185,
                17.832,
                num_classes=1,
                publications=("ResUNet", "ResU-Net", "Residual U-Net"),
            ),
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
        encode = choose_block("encoder", encoder or "residual")
        decode = choose_block("decoder", decoder or "residual")
        levels = [base_channels * 2**k for k in range(4)]
        residual = encoder in (None, "residual")
        super().__init__(
            stem=ResidualStem(in_channels, levels[0]) if residual else make_stem(encode, in_channels, levels[0]),
            encoder=[
                ResidualBlock(*channels, stride=2)
                if residual
                else make_encoder_stage(encode, *channels, downsampling="pool")
                for channels in pairwise(levels)
            ],
            decoder=[
                DecoderStage(
                    up=nn.ConvTranspose2d(below, below, 2, stride=2),
                    skip=make_skip(skip or "identity", channels, up_channels=below),
                    fuse=decode(below + channels, channels),
                    out_channels=channels,
                    up_first=True,
                )
                for below, channels in pairwise(levels[::-1])
            ],
            num_classes=num_classes,
            min_size=smallest_image(3, encode, decode),
            deep_supervision=deep_supervision,
        )


class ResidualStem(nn.Module):
    """ResUNet's first block: a residual block without the norm and activation before its first convolution."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.main = nn.Sequential(
            nn.Conv2d(in_channels, out_channels, 3, padding=1),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(),
            nn.Conv2d(out_channels, out_channels, 3, padding=1),
        )
        self.shortcut = nn.Conv2d(in_channels, out_channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map N x in x H x W to N x out x H x W."""
        return self.main(x) + self.shortcut(x)
