"""U-Net's block."""

from __future__ import annotations

from torch import nn

from medseg.models.layers import make_activation, make_norm


class DoubleConv(nn.Sequential):
    """U-Net's block: twice 3x3 convolution, norm, activation; N x in x H x W -> N x out x H x W.

    Args:
        in_channels, out_channels: of the block.
        mid_channels: between the two convolutions; the output's by default.
        norm, activation: one of `medseg.models.layers.NORMS` and `ACTIVATIONS`.
        bias: of the convolutions; by default only where no norm follows, which would undo it.
    """

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
