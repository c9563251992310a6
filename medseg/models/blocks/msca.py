"""The block of SegNeXt's encoder MSCAN: multi-scale convolutional attention."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from medseg.models.layers import depthwise_conv


class MSCA(nn.Module):
    """Multi-scale convolutional attention: a = dw5x5(u); out = conv1x1(a + sum of strips of a) * u.

    The strips are dw(k x 1)(dw(1 x k)(a)) for k of 7, 11 and 21. N x C x H x W -> the same.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.local = depthwise_conv(channels, 5)
        self.strips = nn.ModuleList(
            nn.Sequential(depthwise_conv(channels, (1, k)), depthwise_conv(channels, (k, 1))) for k in (7, 11, 21)
        )
        self.mix = nn.Conv2d(channels, channels, 1)

    def forward(self, u: Tensor) -> Tensor:
        """Return the weighted input, N x C x H x W."""
        a = self.local(u)
        scales = a
        for strip in self.strips:
            scales = scales + strip(a)
        return self.mix(scales) * u


class DropPath(nn.Module):
    """Stochastic depth: in training, leave a branch out for a whole sample with probability `rate`."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        """Return `x` with some samples set to 0 and the others scaled up to keep the mean; in evaluation `x`."""
        if not self.training or self.rate == 0:
            return x
        keep = torch.rand(x.shape[0], 1, 1, 1, device=x.device) >= self.rate
        return x * (keep / (1 - self.rate)).to(x.dtype)


class MSCABlock(nn.Module):
    """A block of MSCAN (Guo et al. 2022, arXiv:2209.08575): attention and feed-forward part, each with a shortcut.

    y = BN(x); x = x + s1 * (conv1x1(MSCA(GELU(conv1x1(y)))) + y); x = x + s2 * FFN(BN(x)), s1 and s2 learnt per
    channel from 0.01, FFN = conv1x1 to r C, dw3x3, GELU, conv1x1 back to C. N x C x H x W -> the same.

    Args:
        channels: C.
        mlp_ratio: r.
        drop_path: rate of stochastic depth on both branches, at least 0 and less than 1.
    """

    def __init__(self, channels: int, *, mlp_ratio: int = 4, drop_path: float = 0.0) -> None:
        super().__init__()
        hidden = mlp_ratio * channels
        self.norm1 = nn.BatchNorm2d(channels)
        self.attention = nn.Sequential(
            nn.Conv2d(channels, channels, 1), nn.GELU(), MSCA(channels), nn.Conv2d(channels, channels, 1)
        )
        self.norm2 = nn.BatchNorm2d(channels)
        self.ffn = nn.Sequential(
            nn.Conv2d(channels, hidden, 1),
            nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden),
            nn.GELU(),
            nn.Conv2d(hidden, channels, 1),
        )
        self.scale1 = nn.Parameter(torch.full((channels, 1, 1), 1e-2))
        self.scale2 = nn.Parameter(torch.full((channels, 1, 1), 1e-2))
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output, N x C x H x W."""
        y = self.norm1(x)
        x = x + self.drop_path(self.scale1 * (self.attention(y) + y))
        return x + self.drop_path(self.scale2 * self.ffn(self.norm2(x)))
