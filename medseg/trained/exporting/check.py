"""Compare what was exported with the network itself, on images of several sizes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from medseg.data.drawing import STYLES
from medseg.data.prepared.resize import as_grey
from medseg.errors import UserError
from medseg.trained.exporting.formats import Run

TOLERANCE = 1e-4
"""Largest difference that is accepted, as a part of the largest output, or of 1 where all are smaller."""

Size = tuple[int, int, int]
"""Batch, height, width."""


@dataclass(frozen=True)
class Agreement:
    """How far what was exported agrees with the network.

    Attributes:
        sizes: batch, height, width of what was compared.
        difference: largest absolute difference of two outputs.
        largest: largest absolute output of the network.
        pixels: that were compared.
        other_class: number of them to which the two give another class.
    """

    sizes: tuple[Size, ...]
    difference: float
    largest: float
    pixels: int
    other_class: int

    @property
    def holds(self) -> bool:
        """Whether the difference is within the tolerance."""
        return self.difference <= TOLERANCE * max(1.0, self.largest)


def sizes_to_compare(min_size: int, image_size: tuple[int, int]) -> list[Size]:
    """Return sizes to compare at: two small ones, that of the training, twice as high, and an odd one next to it.

    None is the smallest: where some feature has one pixel left, a norm may have two values to tell apart, and rounding
    decides. SegNeXt's float32 outputs for 8 x 8 pixels are 2e-3 off its own float64 ones, for 9 x 9 pixels 1e-7.
    """
    height, width = image_size
    return [
        (1, 2 * min_size, 2 * min_size + 1),
        (3, 2 * min_size + 13, 3 * min_size + 8),
        (2, height, width),
        (1, 2 * height, width),
        (1, height + 1 + height % 2, width + 35 - width % 2),
    ]


def draw_images(size: Size, channels: int) -> np.ndarray:
    """Draw images to compare with, N x C x H x W float32 in 0..255: a scene with objects and noise in turn."""
    count, height, width = size
    rng = np.random.default_rng(0)
    images = np.empty((count, height, width, channels), np.float32)
    for number in range(count):
        if number % 2:
            images[number] = rng.integers(0, 256, (height, width, channels))
        else:
            style = list(STYLES)[number % len(STYLES)]
            scene, _ = STYLES[style](rng, (max(height, 64), max(width, 64)), False)
            cut = np.ascontiguousarray(scene[:height, :width])
            cut = as_grey(cut) if channels == 1 else cut
            images[number] = cut[..., np.arange(channels) % cut.shape[-1]]
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2))


def normalise(images: np.ndarray, mean: Sequence[float] | None, std: Sequence[float] | None) -> np.ndarray:
    """Normalise images in 0..255 as the network was trained to see them; by their own values where that is unknown."""
    scaled = images / np.float32(255)
    if mean is None or std is None:
        return ((scaled - scaled.mean()) / scaled.std()).astype(np.float32)
    shape = (1, -1, 1, 1)
    return ((scaled - np.asarray(mean, np.float32).reshape(shape)) / np.asarray(std, np.float32).reshape(shape)).astype(
        np.float32
    )


def check_smallest(run: Run, image: np.ndarray) -> None:
    """Check that an exported file takes the smallest image, 1 x C x H x W, and makes numbers of all its pixels.

    Raises `UserError`.
    """
    named = " x ".join(map(str, image.shape))
    try:
        got = run(image)
    except Exception as error:
        raise UserError(f"what was exported fails for an image of {named}: {error}") from error
    if got.shape[2:] != image.shape[2:] or not np.isfinite(got).all():
        raise UserError(f"what was exported makes {got.shape} of an image of {named}, or no numbers")


def compare(module: nn.Module, run: Run, batches: Sequence[np.ndarray], *, optional: bool = False) -> Agreement:
    """Compare what was exported with the module that it was made of.

    Args:
        module: in evaluation mode, on the CPU.
        run: runs the exported file.
        batches: inputs, N x C x H x W float32.
        optional: whether the module may refuse a size; it is then left out. One at least must remain.

    Raises `UserError` where the exported file cannot run what the module can, or the module takes none of the sizes.
    """
    compared: list[Size] = []
    difference = largest = 0.0
    pixels = other_class = 0
    for batch in batches:
        size = (batch.shape[0], *batch.shape[2:])
        named = " x ".join(map(str, batch.shape))
        try:
            with torch.inference_mode():
                expected = module(torch.from_numpy(batch)).numpy()
        except Exception as error:
            if optional:
                continue
            raise UserError(f"the network itself fails for an image of {named}: {error}") from error
        try:
            got = run(batch)
        except Exception as error:
            raise UserError(f"what was exported fails for an image of {named}: {error}") from error
        if got.shape != expected.shape:
            raise UserError(f"what was exported makes {got.shape} of an image of {named}, the network {expected.shape}")
        compared.append(size)  # type: ignore[arg-type]
        apart = np.abs(got - expected)
        # A NaN on both sides is no difference; on one side it is one that no tolerance accepts.
        apart[np.isnan(got) & np.isnan(expected)] = 0
        difference = max(difference, float(np.where(np.isnan(apart), np.inf, apart).max()))
        largest = max(largest, float(np.nanmax(np.abs(expected), initial=0)))
        changed = got.argmax(1) != expected.argmax(1)
        pixels += changed.size
        other_class += int(changed.sum())
    if not compared:
        raise UserError("the network takes none of the sizes that the export was to be checked with")
    return Agreement(tuple(compared), difference, largest, pixels, other_class)
