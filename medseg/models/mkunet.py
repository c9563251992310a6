"""MK-UNet: a light U-shaped network of depth-wise convolutions with several kernels, and of attention in its decoder.

The same function as the released code (SLDGroup/MK-UNet, BSD-3-Clause), proved by golden vectors; written from a
description of it. Differences: images of any size are padded to multiples of 32 and the logits cropped; an image of one
channel is taken as it is, where the released code repeats it to three. The released network has the heads of deep
supervision and never trains them, so that its counts include them; this one has them with `deep_supervision` only, and
then returns their logits. The released code has T, S and the base size as classes, M and L in a comment.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from medseg.errors import ConfigError
from medseg.models.facts import NetworkFacts, Size
from medseg.models.layers import check_size, depthwise_conv, pad_to, pad_to_multiple
from medseg.models.skips import AttentionGate

REDUCTIONS = (16, 16, 16, 8, 4)
"""Of the hidden layer of channel attention, the deepest level first."""


class MultiKernelBlock(nn.Module):
    """MK-UNet's inverted residual with several kernels (MKIR), N x in x H x W -> N x out x H x W.

    x to e = expansion * in channels by conv1x1, BN, ReLU6; then the sum over the kernels k of ReLU6(BN(dw k x k)), each
    of the same feature; channel shuffle in gcd(e, out) groups; conv1x1, BN; plus x, by a conv1x1 where `in` != `out`.
    No convolution has a bias.

    Args:
        in_channels, out_channels: channels of input and output.
        kernels: sizes of the depth-wise kernels, odd.
        expansion: e / in.
    """

    def __init__(
        self, in_channels: int, out_channels: int, *, kernels: Sequence[int] = (1, 3, 5), expansion: int = 2
    ) -> None:
        super().__init__()
        hidden = expansion * in_channels
        self.expand = nn.Sequential(
            nn.Conv2d(in_channels, hidden, 1, bias=False), nn.BatchNorm2d(hidden), nn.ReLU6(inplace=True)
        )
        self.branches = nn.ModuleList(
            nn.Sequential(depthwise_conv(hidden, kernel, bias=False), nn.BatchNorm2d(hidden), nn.ReLU6(inplace=True))
            for kernel in kernels
        )
        self.shuffle = nn.ChannelShuffle(math.gcd(hidden, out_channels))
        self.project = nn.Sequential(nn.Conv2d(hidden, out_channels, 1, bias=False), nn.BatchNorm2d(out_channels))
        self.shortcut = (
            nn.Identity() if in_channels == out_channels else nn.Conv2d(in_channels, out_channels, 1, bias=False)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output, N x out x H x W."""
        expanded = self.expand(x)
        first, *others = self.branches
        y = first(expanded)
        for branch in others:
            y = y + branch(expanded)
        return self.shortcut(x) + self.project(self.shuffle(y))


class ChannelAttention(nn.Module):
    """x * sigmoid(f(mean of x over pixels) + f(maximum of x over pixels)), N x C x H x W -> the same.

    f = conv1x1 to C / reduction channels, at least one; ReLU; conv1x1 to C. No biases.
    """

    def __init__(self, channels: int, reduction: int) -> None:
        super().__init__()
        hidden = max(1, channels // reduction)
        self.weigh = nn.Sequential(
            nn.Conv2d(channels, hidden, 1, bias=False), nn.ReLU(), nn.Conv2d(hidden, channels, 1, bias=False)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return `x`, each channel weighed between 0 and 1."""
        weights = self.weigh(x.mean((2, 3), keepdim=True)) + self.weigh(x.amax((2, 3), keepdim=True))
        return x * torch.sigmoid(weights)


class SpatialAttention(nn.Module):
    """x * sigmoid(conv7x7(cat[mean over C, maximum over C] of x)) without a bias, N x C x H x W -> the same, any C."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 1, 7, padding=3, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return `x`, each pixel weighed between 0 and 1."""
        pooled = torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], dim=1)
        return x * torch.sigmoid(self.conv(pooled))


class MKUNet(nn.Module):
    """MK-UNet; maps N x in_channels x H x W to logits N x num_classes x H x W, H and W at least 32.

    Encoder: five times blocks and 2x2 max pooling; skip connections are the pooled features. Decoder: five times
    channel attention, the spatial attention that all levels share, a block, bilinear up-sampling, ReLU, and on the
    first four levels the addition of the gated skip connection. In training, a single image must be larger than
    32 x 32: its one pixel on the deepest level is nothing to average over for a batch norm.

    Args:
        in_channels: channels of the image.
        num_classes: number of classes, background included.
        channels: of the five levels, of size H / 2 to H / 32.
        depths: number of blocks of the encoder's stages.
        kernels: sizes of the depth-wise kernels of every block, odd.
        expansion: of the channels within a block.
        gate_kernel: size of the gates' kernels, odd; above 1 they are grouped, two channels each, so that the channels
            of the first four levels must be even.
        deep_supervision: give decoder stages 2, 3 and 4 a head too, and return the logits of these and of the network,
            in this order, while training; in evaluation the last ones.
    """

    facts = NetworkFacts(
        about="A very light U-shaped network of multi-kernel depth-wise blocks, with attention in its decoder.",
        paper='Rahman, Marculescu, "MK-UNet: Multi-kernel Lightweight CNN for Medical Image Segmentation", ICCV '
        "Workshops 2025 (arXiv:2509.18493)",
        year=2025,
        code="SLDGroup/MK-UNet",
        sizes=tuple(
            size
            for name, model, parameters, released, gmacs in (
                ("MK-UNet", "mkunet", 315_451, 315_566, 0.278),
                ("MK-UNet-T", "mkunet_t", 27_353, 27_384, 0.0496),
                ("MK-UNet-S", "mkunet_s", 92_991, 93_050, 0.1044),
                ("MK-UNet-M", "mkunet_m", 1_149_939, 1_150_166, 0.883),
                ("MK-UNet-L", "mkunet_l", 3_757_667, 3_758_118, 3.065),
            )
            for size in (
                Size(name, model, parameters, gmacs, num_classes=1),
                Size(f"{name}, as released", f"{model} model.deep_supervision=true", released, gmacs, num_classes=1),
            )
        ),
        claims={"4.7 times fewer than UNeXt": "UNeXt"},
    )

    encoder_parts = ("encoder",)
    """See `medseg.models.encoder`."""

    min_size = 32
    """Smallest height and width that the network takes, in pixels."""

    def __init__(
        self,
        *,
        in_channels: int = 3,
        num_classes: int = 2,
        channels: Sequence[int] = (16, 32, 64, 96, 160),
        depths: Sequence[int] = (1, 1, 1, 1, 1),
        kernels: Sequence[int] = (1, 3, 5),
        expansion: int = 2,
        gate_kernel: int = 3,
        deep_supervision: bool = False,
    ) -> None:
        _check_arguments(channels, depths, [*kernels], expansion, gate_kernel)
        super().__init__()

        def block(before: int, after: int) -> nn.Module:
            return MultiKernelBlock(before, after, kernels=kernels, expansion=expansion)

        c1, c2, c3, c4, c5 = channels
        self.encoder = nn.ModuleList(
            nn.Sequential(block(before, after), *(block(after, after) for _ in range(depth - 1)))
            for (before, after), depth in zip(pairwise([in_channels, *channels]), depths, strict=True)
        )
        self.pool = nn.MaxPool2d(2)
        self.channel_attention = nn.ModuleList(map(ChannelAttention, channels[::-1], REDUCTIONS))
        self.spatial_attention = SpatialAttention()
        self.decoder = nn.ModuleList(block(before, after) for before, after in pairwise([c5, c4, c3, c2, c1, c1]))
        self.up = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)
        self.gates = nn.ModuleList(AttentionGate(c, kernel_size=gate_kernel) for c in (c4, c3, c2, c1))
        self.apply(_initialise)
        self.auxiliary_heads = nn.ModuleList(
            nn.Conv2d(c, num_classes, 1) for c in ((c3, c2, c1) if deep_supervision else ())
        )
        self.head = nn.Conv2d(c1, num_classes, 1)

    def forward(self, image: Tensor) -> Tensor | list[Tensor]:
        """Return the logits of images N x in_channels x H x W; raises `UserError` for images below `min_size`."""
        check_size(self, image, self.min_size)
        size = image.shape[-2:]
        x = pad_to_multiple(image, 32)
        features = []
        for stage in self.encoder:
            x = self.pool(stage(x))
            features.append(x)
        features.pop()
        outputs = []
        for k, block in enumerate(self.decoder):
            x = self.spatial_attention(self.channel_attention[k](x))
            x = torch.relu(self.up(block(x)))
            outputs.append(x)  # without the skip connection, as the released heads read it
            if features:
                x = x + self.gates[k](features.pop(), x)
        logits = self.head(x)
        if not (self.training and self.auxiliary_heads):
            return pad_to(logits, size)
        auxiliary = [head(x) for head, x in zip(self.auxiliary_heads, outputs[1:], strict=False)]
        padded = logits.shape[-2:]
        auxiliary = [F.interpolate(each, padded, mode="bilinear", align_corners=False) for each in auxiliary]
        return [pad_to(each, size) for each in (*auxiliary, logits)]


def _check_arguments(
    channels: Sequence[int], depths: Sequence[int], kernels: Sequence[int], expansion: int, gate_kernel: int
) -> None:
    """Raise `ConfigError` for arguments that no network can be built of."""
    if not len(channels) == len(depths) == 5:
        raise ConfigError(
            f"MK-UNet's channels and depths are five numbers each, one per level, got {list(channels)}, {list(depths)}"
        )
    if min(depths) < 1 or expansion < 1:
        raise ConfigError(f"MK-UNet's depths and expansion are at least 1, got {list(depths)}, {expansion}")
    if not kernels or any(kernel < 1 or kernel % 2 == 0 for kernel in (*kernels, gate_kernel)):
        raise ConfigError(
            f"MK-UNet's kernels, one or more, and gate_kernel must be odd and at least 1, got {kernels}, {gate_kernel}"
        )
    if gate_kernel > 1 and any(c % 2 for c in channels[:4]):
        raise ConfigError(
            f"MK-UNet's gates take two channels at a time, so that its first four channels must be even, got "
            f"{list(channels)}; gate_kernel=1 takes any"
        )


def _initialise(module: nn.Module) -> None:
    """Draw the weights of the blocks' and the attention's convolutions as the released code does; biases begin at 0."""
    if isinstance(module, nn.Conv2d):
        nn.init.normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
