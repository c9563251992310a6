"""One trained network, rebuilt from its checkpoint, that is given images as it was trained to see them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from lightning.fabric import Fabric
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from torch import Tensor, nn

from medseg.data.prepared.resize import as_grey, resize_image
from medseg.errors import ConfigError, UserError
from medseg.models.mirror import mirror_pad
from medseg.system.memory import is_out_of_memory
from medseg.trained.settings import Checkpoint
from medseg.training.task import main_output

FLIPS: tuple[tuple[int, ...], ...] = ((), (-1,), (-2,), (-2, -1))
"""The dimensions, of ... x H x W, along which each flip of the test-time augmentation turns an image round."""


@dataclass(frozen=True)
class Member:
    """A network with its preprocessing.

    Attributes:
        file: the checkpoint.
        network: maps N x in_channels x H x W to logits N x classes x H x W.
        class_names: the background first.
        own_names: whether they are those of the data it was trained on; an imported network does not know them.
        image_size: height and width that images were resized to for training.
        in_channels: 3 for RGB, 1 for grey.
        mean, std: per channel, of images in 0..1.
        channels_last: memory layout of images.
        device: where it computes.
    """

    file: Path
    network: nn.Module
    class_names: tuple[str, ...]
    own_names: bool
    image_size: tuple[int, int]
    in_channels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    channels_last: bool
    device: torch.device

    @property
    def min_size(self) -> int:
        """Smallest height and width that the network takes, in pixels."""
        return int(getattr(self.network, "min_size", 1))

    def view(self, image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """Return an image, H x W x 3 uint8 RGB, as the data of its training were prepared: height x width x channels.

        The same steps in the same order as in `medseg.data.prepared.resize`, so that an image of the data is as it is
        in the prepared data.
        """
        return resize_image(as_grey(image) if self.in_channels == 1 else image, size)

    @torch.inference_mode()
    def probabilities(self, images: np.ndarray, *, flips: Sequence[Sequence[int]] = ((),)) -> np.ndarray:
        """Return the class probabilities of images, N x H x W x channels uint8 -> N x classes x H x W float32.

        Args:
            images: as `view` makes them. Below the network's smallest size they are mirrored up to it.
            flips: dimensions to flip the images along; the probabilities are averaged over all of them.

        Raises `UserError` where the network fails, for want of memory for example.
        """
        pixels = torch.from_numpy(images).to(self.device)
        mean, std = (torch.tensor(values, device=self.device) for values in (self.mean, self.std))
        image = ((pixels.float() / 255 - mean) / std).permute(0, 3, 1, 2)
        height, width = image.shape[-2:]
        image = mirror_pad(image, 0, max(0, self.min_size - height), 0, max(0, self.min_size - width))
        total = sum(self._softmax(image.flip(tuple(dims))).flip(tuple(dims)) for dims in flips)
        assert isinstance(total, Tensor)
        return (total[..., :height, :width] / len(flips)).cpu().numpy()

    def _softmax(self, image: Tensor) -> Tensor:
        layout = torch.channels_last if self.channels_last else torch.contiguous_format
        taken = " x ".join(map(str, image.shape[1:]))
        try:
            logits = main_output(self.network(image.contiguous(memory_format=layout)))
        except UserError:
            raise
        except Exception as error:
            if is_out_of_memory(error):
                raise UserError(
                    f"{self.file}: out of memory: {taken} values at once are more than {self.device} holds; give a "
                    f"smaller tile{'' if self.device.type == 'cpu' else ', or device=cpu'}"
                ) from None
            raise UserError(f"{self.file}: the network cannot take {taken} images: {error}") from error
        return logits.float().softmax(1)


def load_member(file: Path, *, device: torch.device, precision: str | None = None, trust: bool = False) -> Member:
    """Rebuild the network of a checkpoint, in evaluation mode, with the preprocessing that travels in it.

    Args:
        file: a checkpoint of medseg's.
        device: where it shall compute.
        precision: Lightning's name of a precision; None is that of its training.
        trust: build a network that is not medseg's own.

    Raises `UserError` for a checkpoint that cannot be read or trusted, or whose normalisation is not known.
    """
    checkpoint = Checkpoint.read(file)
    settings = checkpoint.settings
    if settings.mean is None or settings.std is None:
        raise UserError(
            f"{file}: imported without the authors' normalisation, so it is not known how to show it images; import it "
            "again with mean=[...] std=[...], or with data=..."
        )
    network = checkpoint.build(trust=trust).eval()
    channels_last = settings.configuration.channels_last
    if channels_last:
        network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return Member(
        file=file,
        network=on_device(network, device, precision or settings.precision),
        class_names=tuple(settings.class_names),
        own_names=settings.data_identity is not None,
        image_size=checkpoint.image_size,
        in_channels=checkpoint.in_channels,
        mean=tuple(settings.mean),
        std=tuple(settings.std),
        channels_last=channels_last,
        device=device,
    )


def on_device(network: nn.Module, device: torch.device, precision: str) -> nn.Module:
    """Move a network to a device and have it compute in a precision, as Lightning's trainer would.

    Raises `ConfigError` for a precision that there is not.
    """
    accelerator = {"cuda": "gpu"}.get(device.type, device.type)
    devices = [device.index or 0] if device.type == "cuda" else 1
    try:
        fabric = Fabric(
            accelerator=accelerator,
            devices=devices,
            precision=precision,  # type: ignore[arg-type]
            plugins=[LightningEnvironment()],
        )
    except ValueError as error:
        raise ConfigError(f"precision={precision}: {error}") from None
    return fabric.setup_module(network)


def pick_device(wanted: str) -> torch.device:
    """Return the device of `auto`, `cpu`, `gpu`, `cuda:1`, `mps`: `auto` is a GPU where there is one.

    Raises `ConfigError` for one that is not there.
    """
    if wanted == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device("cuda" if wanted == "gpu" else wanted)
    except RuntimeError:
        device = torch.device("meta")
    there = {
        "cpu": True,
        "cuda": torch.cuda.device_count() > (device.index or 0),
        "mps": torch.backends.mps.is_available(),
    }
    if device.type not in there:
        raise ConfigError(f"device is {wanted!r}; it must be auto, cpu, gpu, cuda:<number> or mps")
    if not there[device.type]:
        raise ConfigError(f"device={wanted}: PyTorch finds no such device here; use device=auto or cpu")
    return device
