"""What happens to an encoder feature on its way to the decoder.

A skip module takes (skip, up), the encoder feature N x C x H x W and the up-sampled decoder feature of the same size
(in most networks of C channels too), and returns the feature to hand over, N x C x H x W. Any of them fits any network
on the skeleton of `ushape.py`. Below, s() is the sigmoid and GAP the mean over all pixels.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from medseg.models.layers import check_choice


class IdentitySkip(nn.Module):
    """The plain skip connection of U-Net: the encoder feature as it is. No parameters."""

    def forward(self, skip: Tensor, up: Tensor) -> Tensor:
        """Return `skip`."""
        return skip


class SE(nn.Module):
    """Squeeze and excitation (Hu et al. 2018, arXiv:1709.01507): skip * s(W2 ReLU(W1 GAP(skip))).

    Args:
        channels: C.
        reduction: the hidden layer has C / reduction channels, at least one.
        bias: of both layers; without in the paper's form, as rishikksh20/ResUnet has it.
    """

    def __init__(self, channels: int, *, reduction: int = 16, bias: bool = False) -> None:
        super().__init__()
        self.weigh = _bottleneck(channels, max(1, channels // reduction), bias=bias)

    def forward(self, skip: Tensor, up: Tensor) -> Tensor:
        """Return `skip`, each channel weighed between 0 and 1."""
        return skip * torch.sigmoid(self.weigh(_spatial_mean(skip)))


class CBAM(nn.Module):
    """Convolutional block attention module (Woo et al. 2018, arXiv:1807.06521): channel, then spatial attention.

    F' = skip * s(MLP(GAP(skip)) + MLP(max over pixels of skip)), the MLP C -> C / 16 -> C shared;
    out = F' * s(BN(conv7x7(cat[max over C, mean over C] of F'))), as Jongchan/attention-module releases it.
    """

    def __init__(self, channels: int, *, reduction: int = 16) -> None:
        super().__init__()
        self.weigh = _bottleneck(channels, max(1, channels // reduction), bias=True)
        self.conv = nn.Conv2d(2, 1, 7, padding=3, bias=False)
        self.norm = nn.BatchNorm2d(1, momentum=0.01)

    def forward(self, skip: Tensor, up: Tensor) -> Tensor:
        """Return `skip`, weighed by channel, then by pixel."""
        channel = self.weigh(_spatial_mean(skip)) + self.weigh(skip.amax((2, 3), keepdim=True))
        feature = skip * torch.sigmoid(channel)
        pooled = torch.cat([feature.amax(1, keepdim=True), feature.mean(1, keepdim=True)], dim=1)
        return feature * torch.sigmoid(self.norm(self.conv(pooled)))


class SCSE(nn.Module):
    """Concurrent spatial and channel squeeze and excitation (Roy et al. 2018, arXiv:1803.02579).

    The element-wise maximum of skip * s(W2 ReLU(W1 GAP(skip))) and skip * s(conv1x1(skip)), as ai-med releases it
    (other libraries add the two).
    """

    def __init__(self, channels: int, *, reduction: int = 2) -> None:
        super().__init__()
        self.weigh = _bottleneck(channels, max(1, channels // reduction), bias=True)
        self.squeeze = nn.Conv2d(channels, 1, 1)

    def forward(self, skip: Tensor, up: Tensor) -> Tensor:
        """Return `skip`, weighed by whichever of channel and pixel attention is larger."""
        by_channel = skip * torch.sigmoid(self.weigh(_spatial_mean(skip)))
        return torch.maximum(by_channel, skip * torch.sigmoid(self.squeeze(skip)))


class RSC(nn.Module):
    """Residual spatial and channel attention of AMSUnet (Yin et al. 2023), F being the skip feature.

    s_s = s(conv1x1 C -> 1 without bias (F)); s_c = s(conv1x1(ReLU(conv1x1(GAP(F))))) through C / 4 channels.

    Args:
        channels: C.
        reading: what becomes of them. `released`: F + (F s_s)(F s_c), as the code has it, with the feature squared;
            `gated`: F + F s_s s_c, which the paper's text can mean; `maps`: F + s_s s_c, the maps alone, multiplied
            and added as a residual, which it can mean too.
    """

    def __init__(self, channels: int, *, reading: str = "released") -> None:
        super().__init__()
        check_choice("reading of RSC", reading, ("released", "gated", "maps"))
        self.spatial = nn.Conv2d(channels, 1, 1, bias=False)
        self.weigh = _bottleneck(channels, max(1, channels // 4), bias=True)
        self.reading = reading

    def forward(self, skip: Tensor, up: Tensor) -> Tensor:
        """Return `skip` and what its attention adds."""
        by_pixel, by_channel = torch.sigmoid(self.spatial(skip)), torch.sigmoid(self.weigh(_spatial_mean(skip)))
        if self.reading == "maps":
            return torch.addcmul(skip, by_pixel, by_channel)
        # Each multiplies a feature first: a product of the two alone would not have the feature's memory layout.
        return skip + skip * by_pixel * (skip * by_channel if self.reading == "released" else by_channel)


class AttentionGate(nn.Module):
    """The gate of Attention U-Net (Oktay et al. 2018, arXiv:1804.03999) at one resolution, as LeeJunHyun releases it.

    psi = s(BN(conv1x1(ReLU(BN(conv1x1(up)) + BN(conv1x1(skip)))))) over C / 2 channels; out = skip * psi.

    Args:
        channels: C.
        up_channels: of the decoder feature; C by default.
        kernel_size: of the convolutions of both features, odd; above 1 they have C / 2 groups, as in MK-UNet.
    """

    def __init__(self, channels: int, up_channels: int | None = None, *, kernel_size: int = 1) -> None:
        super().__init__()
        hidden = max(1, channels // 2)

        def conv_norm(in_channels: int) -> nn.Sequential:
            groups = hidden if kernel_size > 1 else 1
            conv = nn.Conv2d(in_channels, hidden, kernel_size, padding=kernel_size // 2, groups=groups)
            return nn.Sequential(conv, nn.BatchNorm2d(hidden))

        self.from_up = conv_norm(up_channels or channels)
        self.from_skip = conv_norm(channels)
        self.psi = nn.Sequential(nn.Conv2d(hidden, 1, 1), nn.BatchNorm2d(1))

    def forward(self, skip: Tensor, up: Tensor) -> Tensor:
        """Return `skip`, each pixel weighed by the decoder's feature and by that of the skip."""
        return skip * torch.sigmoid(self.psi(torch.relu(self.from_up(up) + self.from_skip(skip))))


class ConvUNeXtGate(nn.Module):
    """The gate of ConvUNeXt (Han et al. 2022), in which the decoder decides what of the encoder feature to keep.

    [g1, g2, g3] = gate(up); s = sigmoid(keep(g1 + skip)) * skip + sigmoid(g2) * tanh(g3); out = mix(s), where gate,
    keep and mix are 1x1 convolutions (Linear layers in the released code, which is the same function).
    5 C^2 + 5 C parameters.

    Args:
        channels: C.
        up_channels: of the decoder feature; C by default.
    """

    def __init__(self, channels: int, up_channels: int | None = None) -> None:
        super().__init__()
        self.gate = nn.Conv2d(up_channels or channels, 3 * channels, 1)
        self.keep = nn.Conv2d(channels, channels, 1)
        self.mix = nn.Conv2d(channels, channels, 1)

    def forward(self, skip: Tensor, up: Tensor) -> Tensor:
        """Return the gated feature, N x C x H x W like both arguments."""
        # Copies: on a CPU, the sigmoid of a part of the channels takes several times as long as that of a whole tensor.
        g1, g2, g3 = (part.clone() for part in self.gate(up).chunk(3, dim=1))
        kept = torch.sigmoid(self.keep(g1 + skip)) * skip
        return self.mix(kept + torch.sigmoid(g2) * torch.tanh(g3))


SKIPS: dict[str, Callable[[int, int], nn.Module]] = {
    "identity": lambda channels, up_channels: IdentitySkip(),
    "se": lambda channels, up_channels: SE(channels),
    "cbam": lambda channels, up_channels: CBAM(channels),
    "scse": lambda channels, up_channels: SCSE(channels),
    "rsc": lambda channels, up_channels: RSC(channels),
    "rsc_gated": lambda channels, up_channels: RSC(channels, reading="gated"),
    "rsc_maps": lambda channels, up_channels: RSC(channels, reading="maps"),
    "attention_gate": AttentionGate,
    "convunext_gate": ConvUNeXtGate,
}
"""The names that a network's `skip` argument takes: name -> (channels, up_channels) -> module."""


def make_skip(name: str, channels: int, up_channels: int | None = None) -> nn.Module:
    """Build the skip module `name`.

    Args:
        name: one of `SKIPS`; `ConfigError` for another one.
        channels: of the encoder feature.
        up_channels: of the up-sampled decoder feature; the same number by default.
    """
    check_choice("skip module", name, SKIPS)
    return SKIPS[name](channels, up_channels or channels)


def _bottleneck(channels: int, hidden: int, *, bias: bool) -> nn.Module:
    """Two layers C -> hidden -> C with a ReLU between, on N x C x 1 x 1."""
    return nn.Sequential(
        nn.Conv2d(channels, hidden, 1, bias=bias), nn.ReLU(), nn.Conv2d(hidden, channels, 1, bias=bias)
    )


def _spatial_mean(x: Tensor) -> Tensor:
    return x.mean((2, 3), keepdim=True)
