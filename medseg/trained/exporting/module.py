"""What is exported: a trained network, alone or with its preprocessing, and the metadata of the file."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from medseg import __version__
from medseg.data.normalisation import normalise
from medseg.data.prepared.fingerprint import sha256_file
from medseg.models.outputs import main_output
from medseg.trained.network import TrainedNetwork


class Exported(nn.Module):
    """A trained network with nothing around it, or with its preprocessing: 0..255 in, probabilities out.

    Raises `UserError` where the preprocessing is asked for and not known.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, trained: TrainedNetwork, *, with_preprocessing: bool = False) -> None:
        super().__init__()
        self.network = trained.network
        self.with_preprocessing = with_preprocessing
        if with_preprocessing:
            for name, values in zip(("mean", "std"), trained.normalisation, strict=True):
                self.register_buffer(name, torch.tensor(values))
        self.eval()

    def forward(self, image: Tensor) -> Tensor:
        """Return logits, or probabilities, N x classes x H x W, of an image N x in_channels x H x W."""
        if not self.with_preprocessing:
            return main_output(self.network(image))
        return main_output(self.network(normalise(image, self.mean, self.std))).softmax(1)


def file_metadata(trained: TrainedNetwork, *, with_preprocessing: bool, min_size: int | None) -> dict[str, Any]:
    """Return what the user of an exported file must know, as plain values, which can all be written as JSON.

    `min_size`: smallest height and width that the file takes, in pixels; None where it is not known.
    """
    metadata = trained.metadata
    values = "of values in 0..255" if with_preprocessing else "of (value / 255 - mean) / std, values in 0..255"
    output = "probabilities" if with_preprocessing else "logits"
    return {
        "task": "semantic segmentation",
        "network": trained.name,
        "network_arguments": metadata.configuration.model,
        "medseg_version": __version__,
        "checkpoint_sha256": sha256_file(trained.file),
        "class_names": metadata.class_names,
        "channel_order": {1: "grey", 3: "RGB"}.get(metadata.in_channels, "as in the files"),
        "value_range": [0, 255] if with_preprocessing else [0, 1],
        "pixels": metadata.pixels.to_dict(),  # low and high: the stored values that become 0 and 255
        "mean": metadata.mean,
        "std": metadata.std,
        "normalisation_is_built_in": with_preprocessing,
        "image_size": list(metadata.image_size),
        "patches": bool(metadata.patches),  # of image_size, from images at native size; else images resized to it
        "min_size": min_size,
        "input": f"image: float32, N x {metadata.in_channels} x H x W, {values}",
        "output": f"{output}: float32, N x {len(metadata.class_names)} x H x W; a pixel's class is the argmax over "
        "dim 1",
    }
