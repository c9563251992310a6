"""EGE-UNet: Hadamard products with learned maps instead of wide convolutions, and bridges that see a coarse mask.

The same function as the released code (JCruan519/EGE-UNet, Apache-2.0), proved by golden vectors; written from a
description of it. Differences: images of any size are padded to multiples of 32 and the logits cropped; logits are
returned where the released code ends in a sigmoid; the masks are returned in training only, with deep supervision, and
cannot be left out, as the released forward pass cannot do without them either; a mask is one logit z in the released
code, and of K >= 3 classes it becomes 0 for the background and z - log(K - 1) for each other class; no separable
convolution, which the released file defines and never uses.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from medseg.acceleration.depthwise import DepthwiseConv2d
from medseg.errors import ConfigError
from medseg.models.facts import NetworkFacts, Size
from medseg.models.layers import (
    LayerNorm2d,
    bilinear_upsampling,
    check_size,
    depthwise_conv,
    init_by_fan_out,
    larger,
    pad_to,
    pad_to_multiple,
)

GROUPS = 4
"""Groups of channels in every block, bridge and norm."""

MAP_SIZE = 8
"""Height and width at which the maps of a block are learned."""

EPS = 1e-6
"""Of the layer norms."""


class HadamardAttention(nn.Module):
    """Group multi-axis Hadamard product attention (GHPA), N x in x H x W -> N x out x H x W.

    Of the four groups of channels, the first is multiplied by a map over H x W, the second by one over H, the third by
    one over W; the last passes convolutions. The maps are learned at 8 x 8 and 8, resized, and convolved.

    Args:
        in_channels, out_channels: in and out; in is a multiple of 4.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        group = in_channels // GROUPS
        self.norm1 = LayerNorm2d(in_channels, eps=EPS)
        self.map_hw = nn.Parameter(torch.ones(1, group, MAP_SIZE, MAP_SIZE))
        self.map_h = nn.Parameter(torch.ones(1, 1, group, MAP_SIZE))
        self.map_w = nn.Parameter(torch.ones(1, 1, group, MAP_SIZE))
        self.conv_hw = nn.Sequential(depthwise_conv(group, 3), nn.GELU(), nn.Conv2d(group, group, 1))
        self.conv_h = nn.Sequential(
            nn.Conv1d(group, group, 3, padding=1, groups=group), nn.GELU(), nn.Conv1d(group, group, 1)
        )
        self.conv_w = nn.Sequential(
            nn.Conv1d(group, group, 3, padding=1, groups=group), nn.GELU(), nn.Conv1d(group, group, 1)
        )
        self.local = nn.Sequential(nn.Conv2d(group, group, 1), nn.GELU(), depthwise_conv(group, 3))
        self.norm2 = LayerNorm2d(in_channels, eps=EPS)
        self.mix = nn.Sequential(depthwise_conv(in_channels, 3), nn.GELU(), nn.Conv2d(in_channels, out_channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output, N x out x H x W."""
        height, width = x.shape[-2:]
        a, b, c, d = self.norm1(x).chunk(GROUPS, dim=1)
        a = a * self.conv_hw(resize_map(self.map_hw, height, width))
        b = b * self.conv_h(resize_line(self.map_h.squeeze(0), height)).unsqueeze(3)
        c = c * self.conv_w(resize_line(self.map_w.squeeze(0), width)).unsqueeze(2)
        return self.mix(self.norm2(torch.cat([a, b, c, self.local(d)], dim=1)))


class GroupAggregationBridge(nn.Module):
    """Group aggregation bridge (GAB): joins the bridge from below, an encoder feature and a mask.

    N x high x h x w, N x low x H x W and N x 1 x H x W -> N x low x H x W.

    Args:
        high_channels, low_channels: high and low; low is a multiple of 4.
        up: N x low x h x w -> N x low x H x W.
        dilations: of the four groups of channels.
    """

    def __init__(
        self, high_channels: int, low_channels: int, up: nn.Module, dilations: Sequence[int] = (1, 2, 5, 7)
    ) -> None:
        super().__init__()
        self.project = nn.Conv2d(high_channels, low_channels, 1)
        self.up = up
        channels = 2 * (low_channels // GROUPS) + 1
        self.groups = nn.ModuleList(
            # In bf16, the gradient of `nn.Conv2d` is wrong, see `DepthwiseConv2d`.
            nn.Sequential(
                LayerNorm2d(channels, eps=EPS),
                DepthwiseConv2d(channels, channels, 3, padding=dilation, dilation=dilation, groups=channels),
            )
            for dilation in dilations
        )
        self.mix = nn.Sequential(LayerNorm2d(GROUPS * channels, eps=EPS), nn.Conv2d(GROUPS * channels, low_channels, 1))

    def forward(self, high: Tensor, low: Tensor, mask: Tensor) -> Tensor:
        """Return the bridge at the size of `low`."""
        highs, lows = self.up(self.project(high)).chunk(GROUPS, dim=1), low.chunk(GROUPS, dim=1)
        joined = [
            group(torch.cat([high, low, mask], dim=1))
            for group, high, low in zip(self.groups, highs, lows, strict=True)
        ]
        return self.mix(torch.cat(joined, dim=1))


class EGEUNet(nn.Module):
    """EGE-UNet; maps N x in_channels x H x W to logits N x num_classes x H x W, H and W at least 32.

    Every decoder stage predicts a mask of the foreground, one channel of logits whatever the classes are, which steers
    the bridge of its level. With deep supervision, the masks are outputs of the training as well, see `mask_logits`.

    Args:
        in_channels: channels of the image.
        num_classes: number of classes, background included.
        channels: of the six stages, of size H / 2 to H / 32, the last two at the same size; multiples of 4.
        deep_supervision: return a list of six logits N x num_classes x H x W while training, those of the masks, the
            deepest first, and the output of the network last; `output_weights` are the weights of their losses.

    Raises `ConfigError` for other channels.
    """

    facts = NetworkFacts(
        about="A very small U-Net of Hadamard products with learned maps; coarse masks steer its skip connections.",
        paper='Ruan, Xie, Gao, Liu, Fu, "EGE-UNet: an Efficient Group Enhanced UNet for skin lesion segmentation", '
        "MICCAI 2023 (arXiv:2307.08473)",
        year=2023,
        code="JCruan519/EGE-UNet",
        sizes=(Size("EGE-UNet", "egeunet", 53_374, 0.072, num_classes=1),),
    )

    encoder_parts = ("encoder",)
    """See `medseg.models.encoder`."""

    min_size = 32
    """Smallest height and width that the network takes, in pixels."""

    output_weights = (0.1, 0.2, 0.3, 0.4, 0.5, 1.0)
    """Weights of the losses of the outputs of a training with deep supervision, as the authors have them."""

    def __init__(
        self,
        *,
        in_channels: int = 3,
        num_classes: int = 2,
        channels: Sequence[int] = (8, 16, 24, 32, 48, 64),
        deep_supervision: bool = False,
    ) -> None:
        if len(channels) != 6 or any(number < GROUPS or number % GROUPS for number in channels):
            raise ConfigError(f"EGE-UNet's channels are six multiples of {GROUPS}, one per stage, got {list(channels)}")
        super().__init__()
        self.num_classes = num_classes
        self.deep_supervision = deep_supervision
        stages = list(zip(BLOCKS, pairwise((in_channels, *channels)), strict=True))
        self.encoder = nn.ModuleList(
            nn.Sequential(block(before, here), nn.GroupNorm(GROUPS, here), nn.MaxPool2d(2), nn.GELU())
            for block, (before, here) in stages[:-1]
        )
        block, (before, here) = stages[-1]
        self.encoder.append(nn.Sequential(block(before, here), nn.GELU()))
        self.decoder = nn.ModuleList(
            nn.Sequential(block(below, here), nn.GroupNorm(GROUPS, here), up, nn.GELU())
            for up, (block, (here, below)) in zip(upsamplings(), stages[:0:-1], strict=True)
        )
        levels = list(pairwise(channels[::-1]))
        self.masks = nn.ModuleList(nn.Conv2d(here, 1, 1) for _, here in levels)
        self.bridges = nn.ModuleList(
            GroupAggregationBridge(below, here, up) for up, (below, here) in zip(upsamplings(), levels, strict=True)
        )
        self.head = nn.Conv2d(channels[0], num_classes, 1)
        self.up = bilinear_upsampling()
        self.apply(_initialise)

    def forward(self, image: Tensor) -> Tensor | list[Tensor]:
        """Return the logits of images N x in_channels x H x W; raises `UserError` for images below `min_size`."""
        check_size(self, image, self.min_size)
        logits, masks = self.decode(pad_to_multiple(image, 32))
        size = image.shape[-2:]
        if not (self.training and self.deep_supervision):
            return pad_to(logits, size)
        side = [mask_logits(resize(mask, logits.shape[-2:]), self.num_classes) for mask in masks]
        return [pad_to(output, size) for output in (*side, logits)]

    def decode(self, image: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return the logits of images whose sides are multiples of 32, and the masks N x 1 x h x w, deepest first."""
        x = image
        features = []
        for stage in self.encoder:
            x = stage(x)
            features.append(x)
        bridge = features.pop()
        masks = []
        for stage, to_mask, join in zip(self.decoder, self.masks, self.bridges, strict=True):
            x = stage(x)
            masks.append(to_mask(x))
            bridge = join(bridge, features.pop(), masks[-1])
            x = x + bridge
        return self.up(self.head(x)), masks


def mask_logits(mask: Tensor, num_classes: int) -> Tensor:
    """Turn logits z of the foreground, N x 1 x H x W, into logits of classes, N x num_classes x H x W.

    Background is 0, each of the K - 1 other classes z - log(K - 1). So the foreground has the probability sigmoid(z),
    shared equally, and the cross-entropy is that of foreground against background, plus log(K - 1) in the foreground.
    With a single class, this is z itself.
    """
    if num_classes == 1:
        return mask
    foreground = mask - math.log(num_classes - 1)
    return torch.cat([torch.zeros_like(mask), foreground.expand(-1, num_classes - 1, -1, -1)], dim=1)


def resize(x: Tensor, size: Sequence[int]) -> Tensor:
    """Resize N x C x h x w bilinearly to N x C x H x W, corners aligned."""
    return F.interpolate(x, list(size), mode="bilinear", align_corners=True)


def resize_line(x: Tensor, length: int) -> Tensor:
    """Resize the last dimension of a feature linearly to `length`, ends aligned.

    By weights instead of `F.interpolate`, which fails for a length of 1 once it is exported to ONNX.
    """
    known = x.shape[-1]
    places = torch.arange(length, dtype=x.dtype, device=x.device) * (known - 1) / larger(length - 1, 1)
    distances = (places[:, None] - torch.arange(known, dtype=x.dtype, device=x.device)).abs()
    return (x.unsqueeze(-2) * (1 - distances).clamp_min(0)).sum(-1)


def resize_map(x: Tensor, height: int, width: int) -> Tensor:
    """Resize N x C x h x w bilinearly to N x C x height x width, corners aligned."""
    return resize_line(resize_line(x, width).mT, height).mT


def conv(in_channels: int, out_channels: int) -> nn.Module:
    """Return a 3x3 convolution that keeps H and W."""
    return nn.Conv2d(in_channels, out_channels, 3, padding=1)


def upsamplings() -> list[nn.Module]:
    """Return the up-samplings to the five levels, from the deepest."""
    return [nn.Identity(), *(bilinear_upsampling() for _ in range(4))]


BLOCKS: tuple[Callable[[int, int], nn.Module], ...] = (conv,) * 3 + (HadamardAttention,) * 3
"""Of the encoder's stages; the decoder has the same in reverse, without the first."""


def _initialise(module: nn.Module) -> None:
    """Draw weights as the released code does: groups count in the fan-out of 2-D convolutions only."""
    if isinstance(module, nn.Conv2d):
        init_by_fan_out(module)
    elif isinstance(module, nn.Conv1d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
