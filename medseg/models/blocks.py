"""The blocks that encoder and decoder stages are made of: N x C x H x W in, the same H and W out."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class DoubleConv(nn.Sequential):
    """U-Net's block: twice 3x3 convolution without bias, batch norm, ReLU. `mid_channels` defaults to the output's."""

    def __init__(self, in_channels: int, out_channels: int, mid_channels: int | None = None) -> None:
        mid_channels = mid_channels or out_channels
        super().__init__(
            nn.Conv2d(in_channels, mid_channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(mid_channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(mid_channels, out_channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
        )


class ConvUNeXtBlock(nn.Module):
    """ConvUNeXt's block (Han et al. 2022): a ConvNeXt block with batch norm, closed by a norm and an activation.

    out = GELU(x + BN(project(GELU(expand(BN(depthwise(x))))))), the depth-wise convolution with reflected borders,
    the hidden layer 4 C wide. The 1x1 convolutions are Linear layers on channels-last data in the released code,
    which is the same function.
    """

    def __init__(self, channels: int, *, kernel_size: int = 7) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(
            channels, channels, kernel_size, padding=kernel_size // 2, padding_mode="reflect", groups=channels
        )
        self.norm1 = nn.BatchNorm2d(channels)
        self.expand = nn.Conv2d(channels, 4 * channels, 1)
        self.project = nn.Conv2d(4 * channels, channels, 1)
        self.norm2 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map N x C x H x W to the same shape; H and W must exceed half the kernel."""
        y = self.expand(self.norm1(self.depthwise(x)))
        y = self.norm2(self.project(F.gelu(y)))
        return F.gelu(x + y)
