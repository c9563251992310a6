"""The block of ConvUNeXt."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from medseg.errors import ConfigError
from medseg.models.layers import check_choice, depthwise_conv, make_norm

CLOSINGS = ("after_add", "before_add", "none")
"""Where a block's last activation stands: after the sum (released), before it on the branch, or nowhere (ConvNeXt)."""


class ConvUNeXtBlock(nn.Module):
    """ConvUNeXt's block (Han et al. 2022): a ConvNeXt block with batch norm, closed by a norm and an activation.

    out = GELU(x + BN(project(GELU(expand(BN(depthwise(x))))))), the depth-wise convolution with reflected borders,
    the hidden layer 4 C wide. The 1x1 convolutions are Linear layers on channels-last data in the released code,
    which is the same function. N x C x H x W -> the same; H and W must exceed half the kernel.

    Args:
        channels: C.
        kernel_size: of the depth-wise convolution, odd.
        norm: one of `medseg.models.layers.NORMS`.
        closing: one of `CLOSINGS`.
    """

    def __init__(self, channels: int, *, kernel_size: int = 7, norm: str = "batch", closing: str = "after_add") -> None:
        super().__init__()
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise ConfigError(f"ConvUNeXt's kernel_size must be odd and at least 1, got {kernel_size}")
        check_choice("closing", closing, CLOSINGS)
        self.depthwise = depthwise_conv(channels, kernel_size, reflect=True)
        self.norm1 = make_norm(norm, channels)
        self.expand = nn.Conv2d(channels, 4 * channels, 1)
        self.project = nn.Conv2d(4 * channels, channels, 1)
        self.norm2 = make_norm(norm, channels)
        self.closing = closing

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output, N x C x H x W."""
        y = self.norm1(self.depthwise(x))
        y = self.norm2(self.project(F.gelu(self.expand(y))))
        if self.closing == "after_add":
            return F.gelu(x + y)
        return x + (F.gelu(y) if self.closing == "before_add" else y)
