"""The block of ConvUNeXt."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from medseg.errors import ConfigError
from medseg.models.fused import (
    DepthwiseConv2d,
    PointwiseConv2d,
    banded,
    can_fuse,
    fold,
    fold_into,
    pointwise,
    scale_and_shift,
    uses_batch,
)
from medseg.models.layers import check_choice, make_norm

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

    fused = True
    """Whether to compute in the form of `medseg.models.fused` where that can be."""

    def __init__(self, channels: int, *, kernel_size: int = 7, norm: str = "batch", closing: str = "after_add") -> None:
        super().__init__()
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise ConfigError(f"ConvUNeXt's kernel_size must be odd and at least 1, got {kernel_size}")
        check_choice("closing", closing, CLOSINGS)
        self.depthwise = DepthwiseConv2d(channels, kernel_size, reflect=True)
        self.norm1 = make_norm(norm, channels)
        self.expand = PointwiseConv2d(channels, 4 * channels)
        self.project = PointwiseConv2d(4 * channels, channels)
        self.norm2 = make_norm(norm, channels)
        self.closing = closing

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output, N x C x H x W."""
        if can_fuse(self, x, self.norm1, self.norm2):
            return self._fused(x)
        return self._close(x, self.norm2(self.project(F.gelu(self.expand(self.norm1(self.depthwise(x)))))))

    def _close(self, x: Tensor, y: Tensor) -> Tensor:
        if self.closing == "after_add":
            return F.gelu(x + y)
        return x + (F.gelu(y) if self.closing == "before_add" else y)

    def _fused(self, x: Tensor) -> Tensor:
        channels, hidden = x.shape[1], self.expand.out_channels
        y, measured = self.depthwise.measured(x, wanted=uses_batch(self.norm1))
        first = scale_and_shift(self.norm1, measured)
        if not uses_batch(self.norm2):  # nothing to wait for

            def rest(x: Tensor, y: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor) -> Tensor:
                return self._close(x, pointwise(F.gelu(pointwise(y, w1, b1)), w2.flatten(1), b2))

            vectors = (*fold(self.expand, *first), *fold_into(self.project, *scale_and_shift(self.norm2, None)))
            return banded(rest, (x, y), vectors, channels=hidden)[0]
        y, measured = banded(
            lambda y, weight, bias: F.gelu(pointwise(y, weight, bias)),
            (y,),
            fold(self.expand, *first),
            channels=hidden,
            last=self.project,
            statistics=True,
        )
        second = scale_and_shift(self.norm2, measured)
        return banded(lambda x, y, c, d: self._close(x, torch.addcmul(d, y, c)), (x, y), second, channels=channels)[0]
