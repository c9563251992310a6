"""A trained network: what is in a checkpoint, built, with its preprocessing and the names of its classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from medseg.acceleration import accelerate
from medseg.acceleration.precision import pick_precision
from medseg.config.checks.kinds import DEVICE, checked
from medseg.data.normalisation import normalise
from medseg.data.prepared.resize import resize_image, with_channels
from medseg.errors import ConfigError, UserError
from medseg.models.mirror import mirror_pad
from medseg.models.outputs import main_output
from medseg.system.memory import is_out_of_memory
from medseg.trained.checkpoint import Checkpoint, Metadata

FLIPS: tuple[tuple[int, ...], ...] = ((), (-1,), (-2,), (-2, -1))
"""The dimensions, of ... x H x W, along which each flip of the test-time augmentation turns an image round."""

AUTOCAST = {"32-true": None, "32": None, "bf16-mixed": torch.bfloat16, "bf16": torch.bfloat16} | dict.fromkeys(
    ("16-mixed", "16"), torch.float16
)
"""Lightning's names of precisions, and what products are computed in; weights are float32."""


CPU = torch.device("cpu")


@dataclass(frozen=True)
class TrainedNetwork:
    """A network in evaluation mode with everything that is needed to use it.

    Attributes:
        file: the checkpoint.
        network: maps N x in_channels x H x W to logits N x classes x H x W.
        metadata: image size, channels, normalisation, class names, and what it was trained on.
        device: where it computes.
        precision: Lightning's name of one.
        temperature: that the logits are divided by.
    """

    file: Path
    network: nn.Module
    metadata: Metadata
    device: torch.device = CPU
    precision: str = "32-true"
    temperature: float = 1.0

    @classmethod
    def load(cls, checkpoint: Path | Checkpoint, *, trust: bool = False) -> TrainedNetwork:
        """Build the network of a checkpoint, a file or one that was read, on the CPU.

        `trust`: build a network whose class is not part of medseg. Raises `UserError` for a checkpoint that cannot be
        read or trusted.
        """
        read = Checkpoint.read(checkpoint) if isinstance(checkpoint, Path) else checkpoint
        return cls(read.file, accelerate(read.build(trust=trust).eval()), read.metadata)

    def to(self, device: torch.device, precision: str | None = None) -> TrainedNetwork:
        """Move the network to a device, to compute in a precision; None is that of its training, `auto` the faster one.

        Raises `ConfigError` for a precision that there is not.
        """
        precision, _ = pick_precision(precision or self.metadata.precision, device.type)
        if precision not in AUTOCAST:
            raise ConfigError(f"precision={precision}: it must be one of {', '.join(AUTOCAST)}")
        network = self.network.to(device=device, memory_format=self.memory_format)  # type: ignore[call-overload]
        return replace(self, network=network, device=device, precision=precision)

    @property
    def name(self) -> str:
        """The network's class."""
        return type(self.network).__name__

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes, the background first."""
        return tuple(self.metadata.class_names)

    @property
    def min_size(self) -> int | None:
        """Smallest height and width that the network takes, in pixels; None where it is not known."""
        return getattr(self.network, "min_size", None)

    @property
    def memory_format(self) -> torch.memory_format:
        """Memory layout of weights and images."""
        return torch.channels_last if self.metadata.configuration.channels_last else torch.contiguous_format

    @property
    def normalisation(self) -> tuple[list[float], list[float]]:
        """Mean and standard deviation per channel, of images in 0..1; raises `UserError` where they are not known."""
        known = self.metadata.normalisation
        if known is None:
            raise UserError(
                f"{self.file}: imported without the authors' normalisation, so it is not known how to normalise an "
                "image; import it again with mean=[...] std=[...], or with data=..."
            )
        return known

    def prepare(self, image: np.ndarray, size: tuple[int, int] | None = None) -> np.ndarray:
        """Return an image, H x W x C uint8, RGB or as the files' channels, as those of the training were prepared.

        `size`: height and width; None is that of the training. These are the steps of `medseg.data.prepared.build`, so
        that an image of the data is as it is in the prepared data.
        """
        return resize_image(with_channels(image, self.metadata.in_channels), size or self.metadata.image_size)

    @torch.inference_mode()
    def probabilities(
        self,
        images: np.ndarray,
        *,
        flips: Sequence[Sequence[int]] = ((),),
        pad_to: tuple[int, int] | None = None,
    ) -> np.ndarray:
        """Return the class probabilities of images, N x H x W x channels uint8 -> N x classes x H x W float32.

        Args:
            images: as `prepare` makes them.
            flips: dimensions to flip the images along; the probabilities are averaged over all of them.
            pad_to: height and width up to which smaller images are mirrored; None is the network's smallest size.

        Raises `UserError` where the network fails, for want of memory for example.
        """
        pixels = torch.from_numpy(images).to(self.device).permute(0, 3, 1, 2)
        image = normalise(pixels, *self.normalisation)
        height, width = image.shape[-2:]
        pad_to = pad_to or (self.min_size or 1, self.min_size or 1)
        image = mirror_pad(image, 0, max(0, pad_to[0] - height), 0, max(0, pad_to[1] - width))
        total: Any = sum(self._softmax(image.flip(tuple(dims))).flip(tuple(dims)) for dims in flips)
        return (total[..., :height, :width] / len(flips)).cpu().numpy()

    def _softmax(self, image: Tensor) -> Tensor:
        values = " x ".join(map(str, image.shape[1:]))
        dtype = AUTOCAST[self.precision]
        if dtype == torch.float16 and self.device.type == "cpu":
            dtype = torch.bfloat16  # as Lightning does: CPUs do not multiply float16
        try:
            with torch.autocast(self.device.type, dtype=dtype, enabled=dtype is not None):
                logits = main_output(self.network(image.contiguous(memory_format=self.memory_format)))
        except UserError:
            raise
        except Exception as error:
            if is_out_of_memory(error):
                raise UserError(
                    f"{self.file}: out of memory: {values} values at once are more than {self.device} holds; give a "
                    f"smaller tile{'' if self.device.type == 'cpu' else ', or device=cpu'}"
                ) from None
            raise UserError(f"{self.file}: the network cannot take {values} images: {error}") from error
        return (logits.float() / self.temperature).softmax(1)


def pick_device(wanted: str) -> torch.device:
    """Return the device of `auto`, `cpu`, `gpu`, `cuda:1`, `mps`: `auto` is a GPU where there is one.

    Raises `ConfigError` for one that is not there.
    """
    checked("device", wanted, DEVICE)
    if wanted == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device("cuda" if wanted == "gpu" else wanted)
    count = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}[device.type]
    if (device.index or 0) >= count:
        raise ConfigError(f"device={wanted}: PyTorch finds no such device here; use device=auto or cpu")
    return device
