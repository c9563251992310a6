"""What is measured: a network, and how."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Setting:
    """A network and what it is measured with, as plain values that go to another process.

    Args:
        model: the network's name.
        overrides: how it was asked for.
        arguments: its `model` configuration, resolved.
        loss, optimizer: names of those of the training step.
        loss_arguments, optimizer_arguments: their configurations, resolved.
        in_channels, num_classes: of images and masks.
        image_size: (height, width) in pixels.
        batch_size: images of a training step.
        inference_batch_size: images of an inference step.
        accelerator, precision: Lightning's, or "auto" as in training.
        channels_last: memory layout of images and weights.
        compile: whether the network goes through `torch.compile`.
        variant: one of `medseg.benchmarking.variants.VARIANTS`; None where none was asked for, which is as configured.
        released_operations: the network computes as the released code does.
        acceleration: the operations of `medseg.acceleration`.
        keeps_memory: the process keeps freed memory, as in training.
    """

    model: str
    overrides: tuple[str, ...]
    arguments: dict[str, Any]
    loss: str
    loss_arguments: dict[str, Any]
    optimizer: str
    optimizer_arguments: dict[str, Any]
    in_channels: int
    num_classes: int
    image_size: tuple[int, int]
    batch_size: int
    inference_batch_size: int
    accelerator: str
    precision: str
    channels_last: bool
    compile: bool
    variant: str | None = None
    released_operations: bool = False
    acceleration: bool = True
    keeps_memory: bool = True

    @property
    def network(self) -> str:
        """The network for people: `unet model.base_channels=64`."""
        return " ".join([self.model, *(word for word in self.overrides if not word.startswith("model="))])

    @property
    def title(self) -> str:
        """The network and its variant for people: `unet model.base_channels=64, plain`."""
        return f"{self.network}, {self.variant}" if self.variant else self.network
