"""U-Net in the form that ConvUNeXt and AMSUnet compare with.

Ronneberger, Fischer, Brox, "U-Net: Convolutional Networks for Biomedical Image Segmentation", 2015
(arXiv:1505.04597). The structure is that of the modern baseline: 3x3 convolutions padded to keep the size, batch
norm, and by default bilinear up-sampling, which halves the deepest stages (4,318,434 parameters with 3 channels and
2 classes; 10.03 GMAC at 256 x 256). `bilinear=False` up-samples with transposed convolutions (7,763,074; 12.07 GMAC).
The same function as the baseline's released code, proved by golden vectors; written from a description of it.
"""

from __future__ import annotations

from torch import nn

from medseg.models.blocks import DoubleConv
from medseg.models.skips import make_skip
from medseg.models.ushape import DecoderStage, UShape


class UNet(UShape):
    """U-Net; maps N x in_channels x H x W to logits N x num_classes x H x W, H and W at least 16.

    Args:
        in_channels: channels of the image.
        num_classes: number of classes, background included.
        base_channels: channels of the first level; the levels below have 2, 4, 8 and 16 times as many (the last one
            8 times when `bilinear`). The papers' baseline is 32.
        bilinear: up-sample bilinearly (corners aligned) instead of with a 2x2 transposed convolution.
        skip: the module on the skip connections, one of `medseg.models.skips.SKIPS`.
    """

    def __init__(
        self,
        *,
        in_channels: int = 3,
        num_classes: int = 2,
        base_channels: int = 32,
        bilinear: bool = True,
        skip: str = "identity",
    ) -> None:
        c = base_channels
        down = [c, 2 * c, 4 * c, 8 * c, 8 * c if bilinear else 16 * c]
        up = [down[4], 4 * c, 2 * c, c, c] if bilinear else [down[4], 8 * c, 4 * c, 2 * c, c]
        super().__init__(
            stem=DoubleConv(in_channels, c),
            encoder=[nn.Sequential(nn.MaxPool2d(2), DoubleConv(down[k], down[k + 1])) for k in range(4)],
            decoder=[
                _decoder_stage(up[k], up[k + 1], skip_channels=down[3 - k], bilinear=bilinear, skip=skip)
                for k in range(4)
            ],
            head=nn.Conv2d(c, num_classes, 1),
            min_size=16,
        )


def _decoder_stage(
    in_channels: int, out_channels: int, *, skip_channels: int, bilinear: bool, skip: str
) -> DecoderStage:
    # Both ways hand `skip_channels` channels from below to the concatenation; only the bilinear one narrows its
    # first convolution to half of it.
    up: nn.Module
    if bilinear:
        up = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)
        fuse = DoubleConv(2 * skip_channels, out_channels, mid_channels=skip_channels)
    else:
        up = nn.ConvTranspose2d(in_channels, skip_channels, 2, stride=2)
        fuse = DoubleConv(2 * skip_channels, out_channels)
    return DecoderStage(up=up, skip=make_skip(skip, skip_channels), fuse=fuse)
