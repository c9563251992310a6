"""The block of AMSUnet: atrous multi-scale attention with a feed-forward part."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from medseg.errors import ConfigError
from medseg.models.layers import check_choice, depthwise_conv, make_norm

NORM_PLACEMENTS = ("before", "after")
"""Whether a norm stands before attention and feed-forward part each (released) or after."""


class AMS(nn.Module):
    """Atrous multi-scale attention: depth-wise features of several sizes, mixed, weigh the input.

    a = dw(u); b = dilated dw(a); s_k = dw(k x 1)(dw(1 x k)(b)) for each strip kernel k;
    out = conv1x1(a + b + sum of s_k) * u. N x C x H x W -> the same.
    """

    def __init__(
        self, channels: int, *, dilation: int, local_kernel: int, undilated: bool, strip_kernels: Sequence[int]
    ) -> None:
        super().__init__()
        k = local_kernel
        self.local = depthwise_conv(channels, k) if undilated else None
        self.atrous = depthwise_conv(channels, k, dilation=dilation)
        self.strips = nn.ModuleList(
            nn.Sequential(depthwise_conv(channels, (1, s)), depthwise_conv(channels, (s, 1))) for s in strip_kernels
        )
        self.mix = nn.Conv2d(channels, channels, 1)

    def forward(self, u: Tensor) -> Tensor:
        """Return the weighted input, N x C x H x W."""
        a = u if self.local is None else self.local(u)
        b = self.atrous(a)
        scales = b if self.local is None else a + b
        for strip in self.strips:
            scales = scales + strip(b)
        return self.mix(scales) * u


class AMSEBlock(nn.Module):
    """AMSUnet's encoder block (Yin et al. 2023): GELU(x + FFN(BN(Attn(BN(x))))).

    Attn = conv1x1, GELU, `AMS`, conv1x1; FFN = conv1x1 to 4 C, dw3x3, GELU, conv1x1 back to C. The released block has
    one shortcut around all of it, added after the feed-forward part, where the paper's text describes another form.
    N x C x H x W -> the same.

    Args:
        channels: C.
        dilation: of the second local convolution.
        local_kernel: of both local convolutions, odd.
        undilated: keep the first, undilated local convolution.
        strip_kernels: lengths of the strips, odd.
        norm: one of `medseg.models.layers.NORMS`.
        norm_placement: one of `NORM_PLACEMENTS`.
        shortcuts: 1, around the whole block, or 2, one around attention and one around the feed-forward part.
        closing_gelu: apply GELU after the last sum.
    """

    def __init__(
        self,
        channels: int,
        *,
        dilation: int = 1,
        local_kernel: int = 3,
        undilated: bool = True,
        strip_kernels: Sequence[int] = (5, 7, 11),
        norm: str = "batch",
        norm_placement: str = "before",
        shortcuts: int = 1,
        closing_gelu: bool = True,
    ) -> None:
        super().__init__()
        if any(kernel < 1 or kernel % 2 == 0 for kernel in (local_kernel, *strip_kernels)):
            raise ConfigError(
                f"AMSE's kernels must be odd and at least 1, got {local_kernel} and {list(strip_kernels)}"
            )
        if dilation < 1:
            raise ConfigError(f"AMSE's dilation must be at least 1, got {dilation}")
        if shortcuts not in (1, 2):
            raise ConfigError(f"AMSE's shortcuts are 1 or 2, got {shortcuts}")
        check_choice("norm_placement", norm_placement, NORM_PLACEMENTS)
        self.norm1 = make_norm(norm, channels)
        self.attention = nn.Sequential(
            nn.Conv2d(channels, channels, 1),
            nn.GELU(),
            AMS(
                channels,
                dilation=dilation,
                local_kernel=local_kernel,
                undilated=undilated,
                strip_kernels=strip_kernels,
            ),
            nn.Conv2d(channels, channels, 1),
        )
        self.norm2 = make_norm(norm, channels)
        self.ffn = nn.Sequential(
            nn.Conv2d(channels, 4 * channels, 1),
            depthwise_conv(4 * channels, 3),
            nn.GELU(),
            nn.Conv2d(4 * channels, channels, 1),
        )
        self.norm_placement = norm_placement
        self.shortcuts = shortcuts
        self.closing_gelu = closing_gelu

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output, N x C x H x W."""
        before = self.norm_placement == "before"
        y = self.attention(self.norm1(x)) if before else self.norm1(self.attention(x))
        if self.shortcuts == 2:
            x = y = x + y
        y = self.ffn(self.norm2(y)) if before else self.norm2(self.ffn(y))
        return F.gelu(x + y) if self.closing_gelu else x + y
