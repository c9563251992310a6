"""The parts of CMUNeXt."""

from __future__ import annotations

from torch import Tensor, nn

from medseg.models.layers import depthwise_conv


class CMUNeXtBlock(nn.Module):
    """CMUNeXt's block (Tang et al. 2023, arXiv:2308.01239): large depth-wise kernel, then an inverted bottleneck.

    x = BN(GELU(dw(x))) + x; out = BN(GELU(project(BN(GELU(expand(x)))))): the norm follows the activation, and there
    is no residual around the point-wise pair. N x C x H x W -> the same.
    """

    def __init__(self, channels: int, *, kernel_size: int = 7) -> None:
        super().__init__()
        self.depthwise = nn.Sequential(
            depthwise_conv(channels, kernel_size),
            nn.GELU(),
            nn.BatchNorm2d(channels),
        )
        self.pointwise = nn.Sequential(
            nn.Conv2d(channels, 4 * channels, 1),
            nn.GELU(),
            nn.BatchNorm2d(4 * channels),
            nn.Conv2d(4 * channels, channels, 1),
            nn.GELU(),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output, N x C x H x W."""
        return self.pointwise(self.depthwise(x) + x)


class SkipFusion(nn.Sequential):
    """CMUNeXt's skip fusion of cat[skip, up], N x in x H x W -> N x out x H x W, `in` even.

    A 3x3 convolution in two groups, so that encoder and decoder feature are first treated apart, then an inverted
    bottleneck 2 `in` wide; each convolution is followed by GELU and batch norm.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(
            nn.Conv2d(in_channels, in_channels, 3, padding=1, groups=2),
            nn.GELU(),
            nn.BatchNorm2d(in_channels),
            nn.Conv2d(in_channels, 2 * in_channels, 1),
            nn.GELU(),
            nn.BatchNorm2d(2 * in_channels),
            nn.Conv2d(2 * in_channels, out_channels, 1),
            nn.GELU(),
            nn.BatchNorm2d(out_channels),
        )
