"""Networks as a user might bring them, for tests."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn


class OneConv(nn.Module):
    """The smallest network that can be trained."""

    def __init__(self, in_channels: int, num_classes: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, num_classes, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        return self.conv(image)


class TwoOutputs(OneConv):
    """Deep supervision: a list of logits while training; the last one counts."""

    def __init__(self, in_channels: int, num_classes: int) -> None:
        super().__init__(in_channels, num_classes)
        self.other = nn.Conv2d(in_channels, num_classes, 1)
        self.drop = nn.Dropout2d(0.2)

    def forward(self, image: Tensor) -> Tensor | list[Tensor]:
        main = self.conv(self.drop(image))
        return [self.other(image), main] if self.training else main


class HalfSize(OneConv):
    """A mistake: logits of another size than the image."""

    def forward(self, image: Tensor) -> Tensor:
        return super().forward(image)[:, :, ::2, ::2]


class TurnsNaN(OneConv):
    """A network whose loss becomes NaN after a few steps."""

    def __init__(self, in_channels: int, num_classes: int) -> None:
        super().__init__(in_channels, num_classes)
        self.register_buffer("steps", torch.zeros(()))

    def forward(self, image: Tensor) -> Tensor:
        if self.training:
            self.steps += 1
        return super().forward(image) * (torch.nan if self.steps > 2 else 1.0)


class Pointwise(nn.Module):
    """Sees every pixel by itself."""

    def __init__(self, in_channels: int, num_classes: int) -> None:
        super().__init__()
        self.head = nn.Conv2d(in_channels, num_classes, 1)

    def forward(self, image: Tensor) -> Tensor:
        return self.head(image)


class Overflows(Pointwise):
    """Gives infinite logits where red is bright, and so no probabilities there."""

    def forward(self, image: Tensor) -> Tensor:
        return super().forward(image) + torch.where(image[:, :1] > 1, torch.inf, 0.0)


class Assembled(nn.Module):
    """Is given another network, and a class to make a part of."""

    def __init__(self, in_channels: int, num_classes: int, body: nn.Module, last: Callable[[], nn.Module]) -> None:
        super().__init__()
        self.parts = nn.Sequential(body, last())

    def forward(self, image: Tensor) -> Tensor:
        return self.parts(image)
