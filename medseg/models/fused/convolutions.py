"""Convolutions of which a CPU has a faster form: drop-in replacements of `nn.Conv2d`, with the same parameters."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from medseg.models.fused.choice import can_fuse
from medseg.models.fused.depthwise import convolve_depthwise
from medseg.models.fused.statistics import Statistics


class PointwiseConv2d(nn.Conv2d):
    """A 1x1 convolution, N x C x H x W -> N x C' x H x W, as the matrix product that it is where that is faster."""

    fused = True
    """Whether to compute in the form of `medseg.models.fused` where that can be."""

    def __init__(self, in_channels: int, out_channels: int, *, bias: bool = True) -> None:
        super().__init__(in_channels, out_channels, 1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """Return the convolved feature."""
        if can_fuse(self, x):
            # PyTorch's convolution of a small feature by one thread takes several times as long.
            return pointwise(x, self.weight.flatten(1), self.bias)
        return super().forward(x)


def pointwise(x: Tensor, weight: Tensor, bias: Tensor | None, out: Tensor | None = None) -> Tensor:
    """Return the 1x1 convolution of N x C x H x W, in the channels-last layout, with a weight C' x C.

    It is written to `out` where that is given: N x C' x H x W, one piece of memory in that layout.
    """
    number, channels, height, width = x.shape
    rows = x.permute(0, 2, 3, 1).reshape(-1, channels)
    if out is None:
        y = rows @ weight.t()
    else:  # autocast leaves such products alone
        y = torch.mm(rows, weight.t().to(rows.dtype), out=out.permute(0, 2, 3, 1).view(-1, len(weight)))
    if bias is not None:
        y += bias  # afterwards: PyTorch's product with a bias fills its whole output with it first
    return y.view(number, height, width, -1).permute(0, 3, 1, 2)


class DepthwiseConv2d(nn.Conv2d):
    """A depth-wise convolution of stride 1, one kernel for each channel; `medseg.models.fused.depthwise` says why.

    N x C x H x W -> N x C x H x W for an odd kernel, whose borders are padded by half of it.

    Args:
        channels: C.
        kernel: its side, or (height, width); odd.
        dilation: of the kernel.
        reflect: whether borders are reflected; zeros otherwise.
    """

    fused = True
    """Whether to compute in the form of `medseg.models.fused` where that can be."""

    def __init__(
        self, channels: int, kernel: int | tuple[int, int], *, dilation: int = 1, reflect: bool = False
    ) -> None:
        height, width = (kernel, kernel) if isinstance(kernel, int) else kernel
        super().__init__(
            channels,
            channels,
            (height, width),
            padding=(dilation * (height // 2), dilation * (width // 2)),
            dilation=dilation,
            groups=channels,
            padding_mode="reflect" if reflect else "zeros",
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the convolved feature."""
        return self.measured(x, wanted=False)[0] if can_fuse(self, x) else super().forward(x)

    def measured(self, x: Tensor, *, wanted: bool) -> tuple[Tensor, Statistics | None]:
        """Return the convolved feature and, where they are wanted, its statistics; where `can_fuse` says yes."""
        return convolve_depthwise(self, x, statistics=wanted)
