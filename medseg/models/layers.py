"""Small layers that the networks share: norms, activations, and fitting one feature's size to another's."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from typing import Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from medseg.errors import ConfigError, UserError


class LayerNorm2d(nn.LayerNorm):
    """Layer norm over the channels of every pixel, N x C x H x W -> the same, as ConvNeXt and SegNeXt use it."""

    def forward(self, input: Tensor) -> Tensor:
        """Normalise each pixel's C values to mean 0 and variance 1, then scale and shift per channel."""
        return super().forward(input.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


NORMS: dict[str, Callable[[int], nn.Module]] = {
    "batch": nn.BatchNorm2d,
    "instance": lambda channels: nn.InstanceNorm2d(channels, affine=True),
    "group": lambda channels: nn.GroupNorm(_groups(channels), channels),
    "layer": LayerNorm2d,
    "none": lambda channels: nn.Identity(),
}
"""The names that a network's `norm` argument takes: name -> (channels -> layer)."""

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": lambda: nn.ReLU(inplace=True),
    "leaky_relu": lambda: nn.LeakyReLU(0.01, inplace=True),
    "gelu": nn.GELU,
    "silu": lambda: nn.SiLU(inplace=True),
    "none": nn.Identity,
}
"""The names that a network's `activation` argument takes."""

UPSAMPLINGS = ("bilinear", "nearest", "transposed")
"""The names that a network's `upsampling` argument takes."""


def make_norm(name: str, channels: int) -> nn.Module:
    """Build the norm `name` over `channels` channels; raises `ConfigError` for an unknown name."""
    check_choice("norm", name, NORMS)
    return NORMS[name](channels)


def norm_room(name: str, channels: int) -> int:
    """Return the smallest H and W that a norm takes: 2 where it would find one value alone to normalise, else 1."""
    alone = name == "instance" or (name == "group" and _groups(channels) == channels)
    return 2 if alone else 1


def depthwise_conv(
    channels: int,
    kernel: int | tuple[int, int],
    *,
    dilation: int = 1,
    reflect: bool = False,
    bias: bool = True,
) -> nn.Conv2d:
    """Build a depth-wise convolution that keeps H and W, of a kernel with odd sides.

    `reflect`: borders are reflected; zeros otherwise.
    """
    sides = (kernel, kernel) if isinstance(kernel, int) else kernel
    padding = (dilation * (sides[0] // 2), dilation * (sides[1] // 2))
    mode: Literal["reflect", "zeros"] = "reflect" if reflect else "zeros"
    return nn.Conv2d(
        channels, channels, sides, padding=padding, dilation=dilation, groups=channels, bias=bias, padding_mode=mode
    )


def make_activation(name: str) -> nn.Module:
    """Build the activation `name`; raises `ConfigError` for an unknown name."""
    check_choice("activation", name, ACTIVATIONS)
    return ACTIVATIONS[name]()


def make_upsampling(name: str, in_channels: int, out_channels: int) -> nn.Module:
    """Build an up-sampling by 2: `bilinear` (corners aligned) and `nearest` keep the channels, whatever is asked.

    `transposed` is a 2x2 convolution in_channels -> out_channels. Raises `ConfigError` for an unknown name.
    """
    check_choice("upsampling", name, UPSAMPLINGS)
    if name == "transposed":
        return nn.ConvTranspose2d(in_channels, out_channels, 2, stride=2)
    return nn.Upsample(scale_factor=2, mode="nearest") if name == "nearest" else bilinear_upsampling()


def bilinear_upsampling() -> nn.Upsample:
    """Double height and width bilinearly, corners aligned, as the released U-Net relatives do."""
    return nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)


def init_by_fan_out(conv: nn.Conv2d) -> None:
    """Draw weights from a normal distribution of variance 2 / fan-out, counted in one group; biases begin at 0."""
    fan_out = math.prod(conv.kernel_size) * conv.out_channels // conv.groups
    nn.init.normal_(conv.weight, std=math.sqrt(2 / fan_out))
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)


def check_choice(argument: str, value: str, choices: Collection[str]) -> None:
    """Raise `ConfigError` unless `value` is one of `choices`."""
    if value not in choices:
        raise ConfigError(f"unknown {argument} '{value}': choose one of {', '.join(choices)}")


def check_size(network: nn.Module, image: Tensor, minimum: int) -> None:
    """Raise `UserError` for an image N x C x H x W of less than `minimum` x `minimum` pixels."""
    height, width = image.shape[-2:]
    if height < minimum or width < minimum:
        raise UserError(
            f"{type(network).__name__} needs images of at least {minimum} x {minimum} pixels, "
            f"got {height} x {width} (height x width): use larger images or another network"
        )


def is_open(size: int) -> bool:
    """Tell whether a size is that of any image: a program is being traced that will take all of them."""
    return isinstance(size, torch.SymInt)


def larger(a: int, b: int) -> int:
    """Return the larger of two sizes; unlike `max`, this leaves them open where they are."""
    return cast(int, torch.sym_max(a, b))


def pad_to(x: Tensor, size: torch.Size | tuple[int, int]) -> Tensor:
    """Bring the last two dimensions of `x` to `size`.

    What is missing is filled with zeros, the odd pixel going to the right and to the bottom, as the released U-Nets
    do it. What is too much (a stride-2 convolution rounds an odd size up) is cut off at the right and at the bottom.
    """
    dy, dx = size[0] - x.shape[-2], size[1] - x.shape[-1]
    if not (is_open(dy) or is_open(dx)) and dy == 0 and dx == 0:  # F.pad would copy the feature for nothing
        return x
    top, left = larger(dy, 0) // 2, larger(dx, 0) // 2
    return F.pad(x, (left, dx - left, top, dy - top))


def crop_to(x: Tensor, size: torch.Size | tuple[int, int]) -> Tensor:
    """Cut the centre out of the last two dimensions of `x`, `size` at most theirs."""
    top, left = (x.shape[-2] - size[0]) // 2, (x.shape[-1] - size[1]) // 2
    return x[..., top : top + size[0], left : left + size[1]]


def pad_to_multiple(image: Tensor, multiple: int) -> Tensor:
    """Repeat the border of an image at its right and bottom until H and W are multiples of `multiple`.

    For networks that cannot take other sizes; their logits are cut back to the image's size.
    """
    for dimension in (-2, -1):
        size = image.shape[dimension]
        padded = (size + multiple - 1) // multiple * multiple
        if is_open(size) or padded != size:
            position = torch.arange(padded, device=image.device).clamp(max=size - 1)
            image = image.index_select(dimension, position)
    return image


def _groups(channels: int) -> int:
    """Return the number of groups of a group norm: 32 where that divides the channels, else the next fewer."""
    return max(groups for groups in range(1, min(32, channels) + 1) if channels % groups == 0)
