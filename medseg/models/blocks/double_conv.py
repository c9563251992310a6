"""U-Net's block."""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from medseg.models.fused import can_fuse, fold_into, scale_and_shift, uses_batch
from medseg.models.layers import make_activation, make_norm


class DoubleConv(nn.Sequential):
    """U-Net's block: twice 3x3 convolution, norm, activation; N x in x H x W -> N x out x H x W.

    Args:
        in_channels, out_channels: of the block.
        mid_channels: between the two convolutions; the output's by default.
        norm, activation: one of `medseg.models.layers.NORMS` and `ACTIVATIONS`.
        bias: of the convolutions; by default only where no norm follows, which would undo it.
    """

    fused = True
    """Whether to compute in the form of `medseg.models.fused` where that can be: in inference."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        mid_channels: int | None = None,
        *,
        norm: str = "batch",
        activation: str = "relu",
        bias: bool | None = None,
    ) -> None:
        mid_channels = mid_channels or out_channels
        bias = norm == "none" if bias is None else bias
        super().__init__(
            nn.Conv2d(in_channels, mid_channels, 3, padding=1, bias=bias),
            make_norm(norm, mid_channels),
            make_activation(activation),
            nn.Conv2d(mid_channels, out_channels, 3, padding=1, bias=bias),
            make_norm(norm, out_channels),
            make_activation(activation),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output."""
        conv1, norm1, activate1, conv2, norm2, activate2 = self
        if torch.is_grad_enabled() or not can_fuse(self, x, norm1, norm2) or uses_batch(norm1) or uses_batch(norm2):
            return cast(Tensor, super().forward(x))  # type: ignore[no-untyped-call]
        # A norm with fixed statistics is a scale and a shift of each channel, which the convolution can have in it.
        for conv, norm, activate in ((conv1, norm1, activate1), (conv2, norm2, activate2)):
            weight, bias = fold_into(cast(nn.Conv2d, conv), *scale_and_shift(norm, None))
            x = activate(F.conv2d(x, weight, bias, padding=1))
        return x
