"""What happens to an encoder feature on its way to the decoder.

A skip module takes (skip, up), the encoder feature and the up-sampled decoder feature, both N x C x H x W, and
returns the feature to hand over, N x C x H x W. Any of them fits any network on the skeleton of `ushape.py`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from medseg.errors import ConfigError


class IdentitySkip(nn.Module):
    """The plain skip connection of U-Net: the encoder feature as it is. No parameters."""

    def __init__(self, channels: int) -> None:
        super().__init__()

    def forward(self, skip: Tensor, up: Tensor) -> Tensor:
        """Return `skip`."""
        return skip


class ConvUNeXtGate(nn.Module):
    """The gate of ConvUNeXt (Han et al. 2022), in which the decoder decides what of the encoder feature to keep.

    [g1, g2, g3] = gate(up); s = sigmoid(keep(g1 + skip)) * skip + sigmoid(g2) * tanh(g3); out = mix(s), where gate,
    keep and mix are 1x1 convolutions (Linear layers in the released code, which is the same function).
    5 C^2 + 5 C parameters.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gate = nn.Conv2d(channels, 3 * channels, 1)
        self.keep = nn.Conv2d(channels, channels, 1)
        self.mix = nn.Conv2d(channels, channels, 1)

    def forward(self, skip: Tensor, up: Tensor) -> Tensor:
        """Return the gated feature, N x C x H x W like both arguments."""
        g1, g2, g3 = self.gate(up).chunk(3, dim=1)
        kept = torch.sigmoid(self.keep(g1 + skip)) * skip
        return self.mix(kept + torch.sigmoid(g2) * torch.tanh(g3))


SKIPS: dict[str, type[nn.Module]] = {"identity": IdentitySkip, "convunext_gate": ConvUNeXtGate}
"""The names that a network's `skip` argument takes."""


def make_skip(name: str, channels: int) -> nn.Module:
    """Build the skip module `name` for features of `channels` channels; raises `ConfigError` for an unknown name."""
    if name not in SKIPS:
        raise ConfigError(f"unknown skip module '{name}': choose one of {', '.join(SKIPS)}")
    return SKIPS[name](channels)
