"""UNeXt: three convolutional levels, two tokenised ones, skip connections that are added, not concatenated.

The same function as the released code (jeya-maria-jose/UNeXt-pytorch), proved by golden vectors; written from a
description of it. Differences: images of any size are padded to multiples of 32 and the logits cropped, and of any
number of channels, where the released code has 3; 1x1 convolutions instead of Linear layers on tokens; a shift pads
only the axis along which it moves. The released code ends at UNeXt; UNeXt-L is made of its parts.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from medseg.errors import ConfigError
from medseg.models.facts import NetworkFacts, Size
from medseg.models.layers import LayerNorm2d, check_size, init_by_fan_out, pad_to, pad_to_multiple


class Shift(nn.Module):
    """Shift groups of channels along one axis by -size // 2 ... size // 2 pixels; N x C x H x W -> the same.

    The channels are cut into `size` groups of ceil(C / size), the last one smaller (so there can be fewer groups);
    group k moves by k - size // 2 towards higher indices. What moves in from outside is zero.

    Args:
        size: number of groups, odd; 1 moves nothing.
        axis: 2 to shift along H, 3 along W.
    """

    def __init__(self, size: int, axis: int) -> None:
        super().__init__()
        self.size = size
        self.axis = axis

    def forward(self, x: Tensor) -> Tensor:
        """Return the shifted feature."""
        length, border = x.shape[self.axis], self.size // 2
        padded = F.pad(x, (0, 0, border, border) if self.axis == 2 else (border, border, 0, 0))
        groups = padded.chunk(self.size, dim=1)
        # What moves by s is read s pixels earlier; in the padded feature, the unmoved one begins at `border`.
        return torch.cat([group.narrow(self.axis, 2 * border - k, length) for k, group in enumerate(groups)], dim=1)


class ShiftedBlock(nn.Module):
    """UNeXt's block: x + MLP(LN(x)); MLP = shift H, conv1x1, dw3x3, GELU, shift W, conv1x1. N x C x H x W -> the same.

    Args:
        channels: C.
        shift_size: see `Shift`.
    """

    def __init__(self, channels: int, *, shift_size: int = 5) -> None:
        super().__init__()
        self.norm = LayerNorm2d(channels)
        self.mlp = nn.Sequential(
            Shift(shift_size, axis=2),
            nn.Conv2d(channels, channels, 1),
            nn.Conv2d(channels, channels, 3, padding=1, groups=channels),
            nn.GELU(),
            Shift(shift_size, axis=3),
            nn.Conv2d(channels, channels, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output, N x C x H x W."""
        return x + self.mlp(self.norm(x))


class UNeXt(nn.Module):
    """UNeXt; maps N x in_channels x H x W to logits N x num_classes x H x W, H and W at least 32.

    In training, a single image must be larger than 32 x 32: its one pixel on the deepest level is nothing to average
    over for the decoder's first batch norm.

    Args:
        in_channels: channels of the image.
        num_classes: number of classes, background included.
        channels: of the five levels, of size H / 2 to H / 32.
        shift_size: number of channel groups that are shifted apart in the MLPs, odd; 1 shifts nothing, which leaves
            plain MLPs.
    """

    facts = NetworkFacts(
        about="A small U-Net whose deepest levels are MLPs over shifted channels.",
        paper='Valanarasu, Patel, "UNeXt: MLP-based Rapid Medical Image Segmentation Network", MICCAI 2022 '
        "(arXiv:2203.04967)",
        year=2022,
        code="jeya-maria-jose/UNeXt-pytorch",
        sizes=(
            Size("UNeXt", "unext", 1_471_921, 0.562, num_classes=1),
            Size("UNeXt-S", "unext_s", 253_561, 0.099, num_classes=1),
            Size("UNeXt-L", "unext_l", 3_985_633, 1.404, num_classes=1),
        ),
    )

    encoder_parts = ("encoder", "tokens")
    """See `medseg.models.encoder`."""

    min_size = 32
    """Smallest height and width that the network takes, in pixels."""

    def __init__(
        self,
        *,
        in_channels: int = 3,
        num_classes: int = 2,
        channels: Sequence[int] = (16, 32, 128, 160, 256),
        shift_size: int = 5,
    ) -> None:
        if len(channels) != 5:
            raise ConfigError(f"UNeXt's channels are five numbers, one per level, got {list(channels)}")
        if shift_size < 1 or shift_size % 2 == 0:
            raise ConfigError(f"UNeXt's shift_size must be odd and at least 1, got {shift_size}")
        super().__init__()
        a, b, d, e, f = channels
        self.encoder = nn.ModuleList(
            nn.Sequential(nn.Conv2d(i, o, 3, padding=1), nn.BatchNorm2d(o), nn.MaxPool2d(2), nn.ReLU())
            for i, o in ((in_channels, a), (a, b), (b, d))
        )
        self.tokens = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(i, o, 3, stride=2, padding=1),
                LayerNorm2d(o),
                ShiftedBlock(o, shift_size=shift_size),
                LayerNorm2d(o),
            )
            for i, o in ((d, e), (e, f))
        )
        self.decoder = nn.ModuleList(
            nn.Sequential(nn.Conv2d(i, o, 3, padding=1), norm, nn.Upsample(scale_factor=2, mode="bilinear"), nn.ReLU())
            for i, o, norm in (
                *((i, o, nn.BatchNorm2d(o)) for i, o in ((f, e), (e, d), (d, b), (b, a))),
                (a, a, nn.Identity()),
            )
        )
        # After the decoder's first two sums, on the levels that have tokens or border on them.
        self.mixers = nn.ModuleList(
            nn.Sequential(ShiftedBlock(c, shift_size=shift_size), LayerNorm2d(c)) for c in (e, d)
        )
        self.head = nn.Conv2d(a, num_classes, 1)
        self.tokens.apply(_initialise)
        self.mixers.apply(_initialise)

    def forward(self, image: Tensor) -> Tensor:
        """Return the logits of images N x in_channels x H x W; raises `UserError` for images below `min_size`."""
        check_size(self, image, self.min_size)
        x = pad_to_multiple(image, 32)
        features = []
        for stage in (*self.encoder, *self.tokens):
            x = stage(x)
            features.append(x)
        features.pop()
        for k, stage in enumerate(self.decoder):
            x = stage(x)
            if features:
                x = x + features.pop()
            if k < len(self.mixers):
                x = self.mixers[k](x)
        return pad_to(self.head(x), image.shape[-2:])


def _initialise(module: nn.Module) -> None:
    """Draw the weights of patch embeddings and blocks as the released code does; biases begin at 0."""
    if isinstance(module, nn.Conv2d):
        if module.kernel_size == (1, 1):  # Linear layers in the released code
            assert module.bias is not None
            nn.init.trunc_normal_(module.weight, std=0.02)
            nn.init.zeros_(module.bias)
        else:
            init_by_fan_out(module)
