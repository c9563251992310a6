"""DCSAU-Net: a U-Net of ResNeSt's split-attention bottlenecks after a stem of large depth-wise kernels.

The same function as the released code (xq141839/DCSAU-Net, Apache-2.0), proved by a golden vector; written from a
description of it. Differences: every network has separate stages, where all networks of the released code in one
process share them; any number of channels, where the released code has 3; no dropout and no average pooling of one
pixel, which are in the released code and do nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from medseg.errors import ConfigError
from medseg.models.facts import NetworkFacts, Size
from medseg.models.layers import bilinear_upsampling
from medseg.models.skips import IdentitySkip
from medseg.models.ushape import DecoderStage, UShape

EXPANSION = 4
"""Output channels of a bottleneck per channel inside."""

LEAST_HIDDEN = 32
"""Fewest channels between the two layers that weigh the halves in a split attention."""


class PrimaryFeatureConservation(nn.Module):
    """DCSAU-Net's stem (PFC): 7x7 convolution, residual depth-wise 7x7, 1x1. N x in x H x W -> N x out x H x W.

    In each of the three, the activation is before the norm.

    Args:
        in_channels, out_channels: in and out.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()

        def conv_relu_norm(channels: int, kernel: int, groups: int = 1) -> nn.Sequential:
            return nn.Sequential(
                nn.Conv2d(channels, out_channels, kernel, padding=kernel // 2, groups=groups),
                nn.ReLU(inplace=True),
                nn.BatchNorm2d(out_channels),
            )

        self.input = conv_relu_norm(in_channels, 7)
        self.depthwise = conv_relu_norm(out_channels, 7, groups=out_channels)
        self.pointwise = conv_relu_norm(out_channels, 1)

    def forward(self, image: Tensor) -> Tensor:
        """Return the feature of an image."""
        x = self.input(image)
        return self.pointwise(x + self.depthwise(x))


class SplitAttention(nn.Module):
    """A weighted sum of two halves, the second computed of both; N x C x H x W -> the same.

    A 3x3 convolution gives halves u and v; v is then a 3x3 convolution of u + v. The weights of u and v, one per
    channel that add up to 1, come from the mean of u + v over all pixels.

    Args:
        channels: C, even.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.split = _conv_norm_relu(channels, 2 * channels, 3, groups=2)
        self.second = _conv_norm_relu(channels, channels, 3, groups=2)
        hidden = max(channels // 2, LEAST_HIDDEN)
        self.weigh = nn.Sequential(
            nn.Conv2d(channels, hidden, 1),
            nn.BatchNorm2d(hidden),
            nn.ReLU(inplace=True),
            nn.Conv2d(hidden, 2 * channels, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the weighted sum, N x C x H x W."""
        u, v = self.split(x).chunk(2, dim=1)
        v = self.second(u + v)
        weights = self.weigh((u + v).mean((2, 3), keepdim=True)).unflatten(1, (2, -1)).softmax(dim=1)
        return weights[:, 0] * u + weights[:, 1] * v


class SplitAttentionBottleneck(nn.Module):
    """ResNeSt's bottleneck: x + conv1x1(split attention(conv1x1(x))), N x in x H x W -> N x 4 width x H x W.

    Args:
        in_channels: in.
        width: channels of the split attention, even.
        pool: average 3 x 3 pixels behind the split attention; those outside the feature are 0.
    """

    def __init__(self, in_channels: int, width: int, *, pool: bool = False) -> None:
        super().__init__()
        out_channels = EXPANSION * width
        self.squeeze = _conv_norm_relu(in_channels, width, 1)
        self.attention = SplitAttention(width)
        self.pool = nn.AvgPool2d(3, stride=1, padding=1) if pool else nn.Identity()
        self.expand = _conv_norm(width, out_channels)
        self.shortcut = nn.Identity() if in_channels == out_channels else _conv_norm(in_channels, out_channels)
        self.activation = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output, N x 4 width x H x W."""
        return self.activation(self.expand(self.pool(self.attention(self.squeeze(x)))) + self.shortcut(x))


class DCSAUNet(UShape):
    """DCSAU-Net; maps N x in_channels x H x W to logits N x num_classes x H x W, H and W at least 16.

    A batch of one image cannot be trained: the batch norms of the split attentions have one value per channel alone.

    Args:
        in_channels: channels of the image.
        num_classes: number of classes, background included.
        stem_channels: channels of the first level.
        encoder_widths: channels of the split attentions in the four stages of the encoder, from the second level down,
            even; a stage returns four times as many.
        decoder_widths: the same of the decoder, from the deepest stage up.

    Raises `ConfigError` for other widths.
    """

    facts = NetworkFacts(
        about="A U-Net of split-attention bottlenecks, behind a stem that keeps the features of the image.",
        paper='Xu, Ma, He, Duan, "DCSAU-Net: A deeper and more compact split-attention U-Net for medical image '
        'segmentation", Computers in Biology and Medicine 154, 2023 (arXiv:2202.00972)',
        year=2023,
        code="xq141839/DCSAU-Net",
        sizes=(Size("DCSAU-Net", "dcsaunet", 2_598_785, 6.564, num_classes=1),),
    )

    def __init__(
        self,
        *,
        in_channels: int = 3,
        num_classes: int = 2,
        stem_channels: int = 64,
        encoder_widths: Sequence[int] = (32, 64, 128, 128),
        decoder_widths: Sequence[int] = (64, 32, 16, 16),
    ) -> None:
        for widths in (encoder_widths, decoder_widths):
            if len(widths) != 4 or any(width < 2 or width % 2 for width in widths):
                raise ConfigError(f"DCSAU-Net's widths are four even numbers, one per stage, got {list(widths)}")
        levels = [stem_channels, *(EXPANSION * width for width in encoder_widths)]
        stem = PrimaryFeatureConservation(in_channels, stem_channels)
        # Its first stage and its last one have no pooling.
        encoder = [
            nn.Sequential(nn.MaxPool2d(2), *_stage(channels, width, pool=k > 0))
            for k, (channels, width) in enumerate(zip(levels[:-1], encoder_widths, strict=True))
        ]
        decoder = []
        below = [levels[-1], *(EXPANSION * width for width in decoder_widths)]
        for k, (skip, width) in enumerate(zip(levels[-2::-1], decoder_widths, strict=True)):
            fuse = nn.Sequential(*_stage(skip + below[k], width, pool=k < 3))
            decoder.append(
                DecoderStage(up=bilinear_upsampling(), skip=IdentitySkip(), fuse=fuse, out_channels=below[k + 1])
            )
        for part in (*encoder, *decoder):
            part.apply(_initialise)
        super().__init__(stem=stem, encoder=encoder, decoder=decoder, num_classes=num_classes, min_size=16)


def _stage(in_channels: int, width: int, *, pool: bool) -> tuple[nn.Module, nn.Module]:
    """Return the two bottlenecks of a stage; `pool` is of the first."""
    return (
        SplitAttentionBottleneck(in_channels, width, pool=pool),
        SplitAttentionBottleneck(EXPANSION * width, width),
    )


def _conv_norm(in_channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(in_channels, out_channels, 1, bias=False), nn.BatchNorm2d(out_channels))


def _conv_norm_relu(in_channels: int, out_channels: int, kernel: int, groups: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel, padding=kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
    )


def _initialise(module: nn.Module) -> None:
    """Draw weights as the released code does, by the fan-out over all groups; biases as PyTorch does."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
