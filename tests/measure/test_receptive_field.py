"""Measured receptive fields equal those that are worked out by hand, layer by layer."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from medseg.measure import receptive_field
from medseg.models import ConvUNeXt, UNet
from medseg.models.skips import SE
from medseg.models.unet2015 import UNet2015

Interval = tuple[int, int]
"""First and last pixel along one axis."""


def conv(kernel: int | tuple[int, int], **options: object) -> nn.Conv2d:
    height, width = (kernel, kernel) if isinstance(kernel, int) else kernel
    dilation = int(str(options.get("dilation", 1)))
    padding = (dilation * (height - 1) // 2, dilation * (width - 1) // 2)
    return nn.Conv2d(3, 3, (height, width), padding=padding, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        ([conv(1)], (1, 1)),
        ([conv(3) for _ in range(6)], (13, 13)),
        ([conv(3, dilation=2), conv(3, dilation=5), nn.BatchNorm2d(3), nn.ReLU()], (15, 15)),
        ([conv((1, 7)), conv((5, 1)), nn.Softmax(dim=1), nn.MaxPool2d(3, 1, 1)], (7, 9)),
        # 1 + 2 + 2 * 2: the second convolution steps over two pixels of the image.
        ([conv(3, stride=2), conv(3, stride=2), nn.Upsample(scale_factor=4)], (7, 7)),
        ([nn.MaxPool2d(2), nn.AvgPool2d(2), conv(3), nn.Upsample(scale_factor=4)], (12, 12)),
        ([nn.MaxPool2d(4), nn.ConvTranspose2d(3, 3, 4, stride=4)], (4, 4)),
        # Two neighbours of 2 pixels each are mixed.
        ([nn.MaxPool2d(2), nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)], (4, 4)),
        ([conv(3, padding_mode="reflect"), nn.GELU()], (3, 3)),
        # Stride 1 on every second pixel: two of three columns are never seen, and gaps count.
        ([nn.Conv2d(3, 3, 1, stride=2), conv(3), nn.Upsample(scale_factor=2)], (5, 5)),
        ([conv(3), nn.GroupNorm(1, 3)], (None, None)),
    ],
)
def test_small_stacks(layers: list[nn.Module], expected: tuple[int | None, int | None]) -> None:
    network = nn.Sequential(*layers)
    assert receptive_field(network, in_channels=3, min_size=8) == expected
    assert network.training, "left as it was"


def test_global_pooling_sees_the_whole_image() -> None:
    class Squeezed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.se = SE(3)

        def forward(self, image: Tensor) -> Tensor:
            return self.se(image, image)

    assert receptive_field(Squeezed(), in_channels=3, min_size=8) == (None, None)


def test_one_axis_alone_can_see_the_whole_image() -> None:
    class RowMeans(nn.Module):
        def forward(self, image: Tensor) -> Tensor:
            return image.mean(3, keepdim=True).expand_as(image)

    assert receptive_field(RowMeans(), in_channels=1, min_size=8) == (1, None)


def test_logits_of_another_size_are_refused() -> None:
    with pytest.raises(ValueError, match="no tensor of the image's size"):
        receptive_field(nn.MaxPool2d(2), in_channels=3, min_size=8)


# By hand: which pixels of the input an interval of the output needs.
def around(interval: Interval, radius: int) -> Interval:
    return interval[0] - radius, interval[1] + radius


def halved(interval: Interval) -> Interval:
    return 2 * interval[0], 2 * interval[1] + 1


def bilinear(interval: Interval) -> Interval:
    # Pixel 2 k of the doubled map is made of k - 1 and k, pixel 2 k + 1 of k and k + 1.
    return (interval[0] - 1) // 2, (interval[1] + 1) // 2


def doubled(interval: Interval) -> Interval:
    return interval[0] // 2, interval[1] // 2


def u_shaped(radii: list[int], up: Callable[[Interval], Interval]) -> int:
    """Receptive field of a U shape: the radius that the convolutions add, by encoder level, then by decoder level."""
    levels = len(radii) // 2

    def encoder(level: int, interval: Interval) -> Interval:
        interval = around(interval, radii[level])
        return encoder(level - 1, halved(interval)) if level else interval

    def decoder(level: int, interval: Interval) -> Interval:
        interval = around(interval, radii[-1 - level])
        below = encoder(level + 1, up(interval)) if level == levels - 1 else decoder(level + 1, up(interval))
        skip = encoder(level, interval)
        return min(skip[0], below[0]), max(skip[1], below[1])

    fields = [decoder(0, (pixel, pixel)) for pixel in range(2**levels)]
    return max(last - first + 1 for first, last in fields)


def test_unet() -> None:
    # Two 3x3 convolutions at every level.
    expected = u_shaped([2] * 9, bilinear)
    assert receptive_field(UNet(base_channels=2), in_channels=3, min_size=16) == (expected, expected)


@pytest.mark.parametrize("depth", [1, 3, 6])
def test_unet_of_another_depth(depth: int) -> None:
    network = UNet(base_channels=1, depth=depth, upsampling="transposed", in_channels=1)
    expected = u_shaped([2] * (2 * depth + 1), doubled)
    assert receptive_field(network, in_channels=1, min_size=2**depth) == (expected, expected)


def test_unet_2015_with_its_mirrored_borders() -> None:
    expected = u_shaped([2] * 9, doubled)
    assert receptive_field(UNet2015(base_channels=1), in_channels=3, min_size=1) == (expected, expected)


@pytest.mark.parametrize("kernel", [3, 7])
def test_convunext(kernel: int) -> None:
    r = kernel // 2
    # The stem has a 7x7 convolution besides; the blocks are 1, 1, 1, 3, 1 and 1 at each level of the decoder.
    expected = u_shaped([3 + r, r, r, 3 * r, r, r, r, r, r], bilinear)
    network = ConvUNeXt(base_channels=2, kernel_size=kernel)
    assert receptive_field(network, in_channels=3, min_size=network.min_size) == (expected, expected)


def test_faster_convolutions_are_not_used() -> None:
    # Many channels and a 3x3 kernel: where Winograd would be chosen.
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 64, 3, padding=1), nn.Conv2d(64, 64, 3, padding=1), nn.Conv2d(64, 2, 1))
    assert receptive_field(network, in_channels=3, min_size=32) == (5, 5)
