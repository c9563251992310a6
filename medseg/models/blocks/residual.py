"""The pre-activation residual block of ResUNet."""

from __future__ import annotations

from torch import Tensor, nn

from medseg.models.layers import make_norm


class ResidualBlock(nn.Module):
    """Pre-activation residual block (Zhang, Liu, Wang 2018, arXiv:1711.10684) as rishikksh20/ResUnet releases it.

    out = conv3(ReLU(N(conv3_s(ReLU(N(x)))))) + N(conv3_s(x)), N the norm and s the stride: the shortcut is a 3x3
    convolution with a norm too, where the paper has the identity. N x in x H x W -> N x out x ceil(H/s) x ceil(W/s).
    """

    def __init__(self, in_channels: int, out_channels: int, *, stride: int = 1, norm: str = "batch") -> None:
        super().__init__()
        self.main = nn.Sequential(
            make_norm(norm, in_channels),
            nn.ReLU(),
            nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1),
            make_norm(norm, out_channels),
            nn.ReLU(),
            nn.Conv2d(out_channels, out_channels, 3, padding=1),
        )
        self.shortcut = nn.Sequential(
            nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1), make_norm(norm, out_channels)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return main path plus shortcut, without an activation after the sum."""
        return self.main(x) + self.shortcut(x)
