"""UNet++, in the form of 4uiiurz1/pytorch-nested-unet.

The same function as that code, proved by golden vectors; written from a description of it. Differences: up-sampled
features are padded to the skip connection's size, so that any size is taken, where the released code takes multiples
of 16; with deep supervision only the last output is returned in evaluation, the one that the released code scores.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from medseg.models.blocks import DoubleConv
from medseg.models.facts import NetworkFacts, Size
from medseg.models.layers import bilinear_upsampling, check_size, pad_to

LEVELS = 5


class UNetPlusPlus(nn.Module):
    """UNet++; maps N x in_channels x H x W to logits N x num_classes x H x W, H and W at least 16.

    Node i_j is the j-th on level i, its features H / 2^i high. Nodes i_0 are the encoder; the others take
    cat[i_0, ..., i_(j-1), up(i+1_(j-1))]. In training, a single image must have more than one pixel left on the
    deepest level, that is 32 in one direction, or its batch norm has nothing to average over.

    Args:
        in_channels: channels of the image.
        num_classes: number of classes, background included.
        base_channels: channels of the first level; every level below has twice as many.
        deep_supervision: give each of the nodes 0_1, 0_2, 0_3 and 0_4 a head, and return the logits of all four, in
            this order, while training; in evaluation those of 0_4.
    """

    facts = NetworkFacts(
        about="A U-Net whose skip connections are filled with convolutions, each fed by all before it on its level.",
        paper='Zhou, Siddiquee, Tajbakhsh, Liang, "UNet++: A Nested U-Net Architecture for Medical Image Segmentation",'
        " DLMIA 2018 (arXiv:1807.10165)",
        year=2018,
        code="4uiiurz1/pytorch-nested-unet",
        sizes=(
            Size("UNet++", "unetpp", 9_163_329, 34.486, num_classes=1),
            Size("UNet++, deep supervision", "unetpp model.deep_supervision=true", 9_163_428, 34.486, num_classes=1),
        ),
    )

    encoder_parts = tuple(f"nodes.{i}_0" for i in range(LEVELS))
    """See `medseg.models.encoder`."""

    min_size = 2 ** (LEVELS - 1)
    """Smallest height and width that the network takes, in pixels."""

    def __init__(
        self, *, in_channels: int = 3, num_classes: int = 2, base_channels: int = 32, deep_supervision: bool = False
    ) -> None:
        super().__init__()
        channels = [base_channels * 2**i for i in range(LEVELS)]
        self.nodes = nn.ModuleDict()
        for i in range(LEVELS):
            self.nodes[f"{i}_0"] = DoubleConv(channels[i - 1] if i else in_channels, channels[i], bias=True)
        for j in range(1, LEVELS):
            for i in range(LEVELS - j):
                self.nodes[f"{i}_{j}"] = DoubleConv(j * channels[i] + channels[i + 1], channels[i], bias=True)
        self.down = nn.MaxPool2d(2)
        self.up = bilinear_upsampling()
        self.deep_supervision = deep_supervision
        if deep_supervision:
            self.heads = nn.ModuleList(nn.Conv2d(base_channels, num_classes, 1) for _ in range(1, LEVELS))
        else:
            self.head = nn.Conv2d(base_channels, num_classes, 1)

    def forward(self, image: Tensor) -> Tensor | list[Tensor]:
        """Return the logits of images N x in_channels x H x W; raises `UserError` for images below `min_size`."""
        check_size(self, image, self.min_size)
        levels = [[self.nodes["0_0"](image)]]
        for i in range(1, LEVELS):
            levels.append([self.nodes[f"{i}_0"](self.down(levels[-1][0]))])
        for j in range(1, LEVELS):
            for i in range(LEVELS - j):
                below = pad_to(self.up(levels[i + 1][j - 1]), levels[i][0].shape[-2:])
                levels[i].append(self.nodes[f"{i}_{j}"](torch.cat([*levels[i], below], dim=1)))
        outputs = levels[0][1:]
        if not self.deep_supervision:
            return self.head(outputs[-1])
        if not self.training:
            return self.heads[-1](outputs[-1])
        return [head(x) for head, x in zip(self.heads, outputs, strict=True)]
