"""Checkpoints of networks that nobody has trained, as a training would have written them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import hydra
import numpy as np
import torch

from medseg.trained.checkpoint import checkpoint_metadata
from medseg.trained.files import KEY
from medseg.trained.files import write_checkpoint as write_file

UNET = {"_target_": "medseg.models.UNet", "base_channels": 4}
LOCAL = {"_target_": "tests.networks.Pointwise"}
"""Sees one pixel at a time, so that windows must come out as the whole image does."""


def write_checkpoint(
    file: Path,
    model: dict[str, Any] | None = None,
    *,
    seed: int = 0,
    class_names: Sequence[str] = ("background", "blob"),
    image_size: int | Sequence[int] = 32,
    in_channels: int = 3,
    **changes: Any,
) -> Path:
    """Write the checkpoint of a network with random weights; `changes` replace its metadata."""
    model = {**(model or UNET), "in_channels": in_channels, "num_classes": len(class_names)}
    torch.manual_seed(seed)
    network = hydra.utils.instantiate(model, _convert_="all")
    # Confident and undecided pixels, as a trained network has them.
    for name, value in network.state_dict().items():
        if name.startswith("head") and name.endswith("weight"):
            value *= 20
    metadata = metadata_of(model, class_names, image_size, in_channels, **changes)
    file.parent.mkdir(parents=True, exist_ok=True)
    state = {f"network.{name}": value for name, value in network.state_dict().items()}
    write_file({"state_dict": state, KEY: metadata}, file)
    return file


def metadata_of(
    model: dict[str, Any],
    class_names: Sequence[str] = ("background", "blob"),
    image_size: int | Sequence[int] = 32,
    in_channels: int = 3,
    **changes: Any,
) -> dict[str, Any]:
    """Make the metadata of a checkpoint; `changes` replace them."""
    data = {"image_size": image_size, "in_channels": in_channels}
    made = checkpoint_metadata(
        {"model": model, "data": data, "channels_last": True},
        ([0.4, 0.5, 0.6][:in_channels], [0.2, 0.25, 0.3][:in_channels])
        if in_channels <= 3
        else ([0.5] * in_channels, [0.25] * in_channels),
        class_names=[str(number) for number in range(len(class_names))],  # those given may be invalid
        data_identity="0123456789abcdef",
        precision="32-true",
        device="cpu",
    )
    return {**made, "class_names": list(class_names), **changes}


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Draw a smooth image, H x W x 3 uint8."""
    noise = np.random.default_rng(seed).integers(0, 256, (height // 4 + 1, width // 4 + 1, 3), dtype=np.uint8)
    return cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)


def write_image(file: Path, pixels: np.ndarray) -> Path:
    """Write RGB or grey pixels in the format that the name asks for."""
    file.parent.mkdir(parents=True, exist_ok=True)
    stored = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR) if pixels.ndim == 3 and pixels.shape[2] == 3 else pixels
    assert cv2.imwrite(str(file), stored)
    return file


def read_png(file: Path) -> np.ndarray:
    """Read a PNG as it is stored."""
    pixels = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
    assert pixels is not None
    return pixels
