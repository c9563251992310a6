"""What is exported: the network of a checkpoint, and what whoever runs it must know."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from medseg import __version__
from medseg.data.prepared.fingerprint import sha256_file
from medseg.errors import UserError
from medseg.trained.settings import Checkpoint
from medseg.training.task import main_output


@dataclass(frozen=True)
class Subject:
    """The network of a checkpoint, on the CPU and in evaluation mode, with its preprocessing.

    Attributes:
        file: the checkpoint.
        network: maps N x in_channels x H x W to logits N x classes x H x W.
        arguments: it was built with, `_target_` among them.
        class_names: the background first.
        in_channels: 3 for RGB, 1 for grey.
        mean, std: per channel, of images in 0..1; None where it is not known, as in some imported checkpoints.
        image_size: height and width that images were resized to for training.
    """

    file: Path
    network: nn.Module
    arguments: dict[str, Any]
    class_names: tuple[str, ...]
    in_channels: int
    mean: tuple[float, ...] | None
    std: tuple[float, ...] | None
    image_size: tuple[int, int]

    @property
    def name(self) -> str:
        """The network's class."""
        return type(self.network).__name__

    @property
    def min_size(self) -> int | None:
        """Smallest height and width that the network says it takes, in pixels; None where it does not say."""
        return getattr(self.network, "min_size", None)

    def module(self, *, with_preprocessing: bool) -> Exported:
        """Return what is exported; see `describe` for what it takes and returns.

        Raises `UserError` where the preprocessing is asked for and not known.
        """
        if not with_preprocessing:
            return Exported(self.network).eval()
        if self.mean is None or self.std is None:
            raise UserError(
                f"{self.file}: imported without the authors' normalisation, so with_preprocessing=true has none to "
                "build in; import it again with mean=[...] std=[...]"
            )
        return Exported(self.network, mean=self.mean, std=self.std).eval()

    def describe(self, *, with_preprocessing: bool, min_size: int | None) -> dict[str, Any]:
        """Return what travels in the file: plain values, every one of which can be written as JSON.

        `min_size`: smallest height and width that the file takes, in pixels; None where it is not known.
        """
        shape = f"float32, N x {self.in_channels} x H x W"
        normalised = "of values in 0..255" if with_preprocessing else "of (value / 255 - mean) / std, values in 0..255"
        returned = "probabilities" if with_preprocessing else "logits"
        classes = len(self.class_names)
        return {
            "task": "semantic segmentation",
            "network": self.name,
            "network_arguments": self.arguments,
            "medseg_version": __version__,
            "checkpoint_sha256": sha256_file(self.file),
            "class_names": list(self.class_names),
            "channel_order": "RGB" if self.in_channels == 3 else "grey",
            "value_range": [0, 255] if with_preprocessing else [0, 1],
            "mean": None if self.mean is None else list(self.mean),
            "std": None if self.std is None else list(self.std),
            "normalisation_is_built_in": with_preprocessing,
            "image_size": list(self.image_size),
            "min_size": min_size,
            "input": f"image: {shape}, {normalised}",
            "output": f"{returned}: float32, N x {classes} x H x W; a pixel's class is the argmax over dim 1",
        }


class Exported(nn.Module):
    """A network with nothing around it, or with its preprocessing: 0..255 in, probabilities out.

    Args:
        network: to export.
        mean, std: per channel, of images in 0..1; None leaves the preprocessing out.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, network: nn.Module, *, mean: tuple[float, ...] | None = None, std: tuple[float, ...] | None = None
    ) -> None:
        super().__init__()
        self.network = network
        self.with_preprocessing = mean is not None and std is not None
        for name, values in (("mean", mean), ("std", std)):
            if values is not None:
                self.register_buffer(name, torch.tensor(values).view(1, -1, 1, 1))

    def forward(self, image: Tensor) -> Tensor:
        """Return logits, or probabilities, N x classes x H x W, of an image N x in_channels x H x W."""
        if not self.with_preprocessing:
            return main_output(self.network(image))
        return main_output(self.network((image / 255 - self.mean) / self.std)).softmax(1)


def read_subject(file: Path, *, trust: bool = False) -> Subject:
    """Rebuild the network of a checkpoint.

    Args:
        file: a checkpoint of medseg's.
        trust: build a network that is not medseg's own.

    Raises `UserError` for a checkpoint that cannot be read or trusted.
    """
    checkpoint = Checkpoint.read(file)
    settings = checkpoint.settings
    return Subject(
        file=file,
        network=checkpoint.build(trust=trust).float().eval(),
        arguments=settings.configuration.model,
        class_names=tuple(settings.class_names),
        in_channels=checkpoint.in_channels,
        mean=None if settings.mean is None else tuple(settings.mean),
        std=None if settings.std is None else tuple(settings.std),
        image_size=checkpoint.image_size,
    )
