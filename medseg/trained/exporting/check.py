"""Compare what was exported with the network itself, on images of several sizes."""

from __future__ import annotations

import copy
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch

from medseg.data.normalisation import normalise
from medseg.errors import UserError
from medseg.trained.exporting.formats import Run
from medseg.trained.exporting.module import Exported
from medseg.trained.network import TrainedNetwork

log = logging.getLogger(__name__)

TOLERANCE = 1e-4
"""Largest difference that is accepted, as a part of the largest output, or of 1 where all are smaller."""

ROUNDINGS = 4
"""Or as a multiple of what rounding to float32 changes in the network's outputs: two orders of the same sums differ
by up to twice that, and what was measured on a few images is no bound."""

MOST_ROUNDING = 1e-2
"""Part of the largest output above which rounding excuses nothing: the outputs of such a network are chance."""

Size = tuple[int, int, int]
"""Batch, height, width."""


@dataclass(frozen=True)
class Agreement:
    """How far what was exported agrees with the network.

    Attributes:
        sizes: batch, height, width of what was compared.
        difference: largest absolute difference of two outputs.
        largest: largest absolute output of the network, of those that are finite.
        pixels: that were compared.
        other_class: number of them to which the two give another class.
        rounding: largest absolute difference of the network's outputs in float32 and in float64; 0 where that was not
            asked for, since the difference is within `TOLERANCE`, or where the network does not run in float64.
    """

    sizes: tuple[Size, ...]
    difference: float
    largest: float
    pixels: int
    other_class: int
    rounding: float = 0.0

    @property
    def within_tolerance(self) -> bool:
        """Whether the difference is within `TOLERANCE`."""
        return self.difference <= TOLERANCE * max(1.0, self.largest)

    @property
    def within_rounding(self) -> bool:
        """Whether the difference is one that rounding makes in the network itself."""
        limit = min(ROUNDINGS * self.rounding, MOST_ROUNDING * max(1.0, self.largest))
        return self.difference <= limit

    @property
    def holds(self) -> bool:
        """Whether the file agrees with the network, as far as that agrees with itself."""
        return self.within_tolerance or self.within_rounding


def check(trained: TrainedNetwork, module: Exported, run: Run, min_size: int | None) -> Agreement:
    """Compare an exported file with the module it was made of, at several sizes; raises `UserError` if it fails.

    A network without a known smallest size may refuse some of the sizes, odd ones for example.

    Args:
        trained: whose file it is.
        module: on the CPU.
        run: runs the file.
        min_size: smallest height and width that it takes, in pixels; None where it is not known.
    """
    least = min_size or 1
    channels = trained.metadata.in_channels
    # Any values do for the comparison where those of the network are not known.
    mean, std = trained.metadata.normalisation or ([0.5] * channels, [0.25] * channels)

    def batch(size: Size) -> np.ndarray:
        images = draw_images(size, channels)
        return images if module.with_preprocessing else normalise(torch.from_numpy(images), mean, std).numpy()

    if trained.min_size is not None:
        smallest = batch((1, least, least))
        output = run_file(run, smallest)
        if output.shape[2:] != smallest.shape[2:] or not np.isfinite(output).all():
            raise UserError(f"the exported file returns {output.shape}, or NaN, for an image of {describe(smallest)}")
    batches = [batch(size) for size in sizes_to_compare(least, trained.metadata.image_size)]
    agreement = compare(module, run, batches, optional=trained.min_size is None)
    if agreement.within_tolerance:
        return agreement
    compared = [batch for batch in batches if (batch.shape[0], *batch.shape[2:]) in agreement.sizes]
    return replace(agreement, rounding=rounding_of(module, compared))


def rounding_of(module: Exported, batches: Sequence[np.ndarray]) -> float:
    """Return the largest difference of a module's outputs in float32 and in float64; 0 where it takes no float64."""
    exact, largest = copy.deepcopy(module).double(), 0.0
    for batch in batches:
        image = torch.from_numpy(batch)
        try:
            with torch.inference_mode():
                apart = (module(image) - exact(image.double())).abs()
        except Exception as error:  # a custom network may do anything
            log.warning("how much rounding changes is not known: the network fails in float64 (%s)", error)
            return 0.0
        finite = apart[apart.isfinite()]
        largest = max(largest, float(finite.max()) if len(finite) else 0.0)
    return largest


def sizes_to_compare(min_size: int, image_size: tuple[int, int]) -> list[Size]:
    """Return sizes to compare at: two small ones, that of the training, twice as high, and an odd one next to it.

    None is the smallest: where some feature has one pixel left, a norm may have two values to tell apart, and rounding
    decides. SegNeXt's float32 outputs for 8 x 8 pixels are 2e-3 off its float64 ones, for 9 x 9 pixels 1e-7.
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
    """Draw images to compare with, N x C x H x W float32 in 0..255: smooth ones and noise in turn."""
    count, height, width = size
    images = np.random.default_rng(0).integers(0, 256, (count, channels, height, width)).astype(np.float32)
    for image in images[::2]:
        for plane in image:
            plane[:] = cv2.resize(plane[::8, ::8].copy(), (width, height), interpolation=cv2.INTER_LINEAR)
    return images


def compare(module: Exported, run: Run, batches: Sequence[np.ndarray], *, optional: bool) -> Agreement:
    """Compare an exported file with its module on batches, N x C x H x W float32.

    `optional`: the module may refuse all of the sizes but one. Raises `UserError` where the file cannot run what the
    module can, or the module takes none of the sizes, or gives no finite output.
    """
    sizes: list[Size] = []
    difference = largest = 0.0
    pixels = other_class = values = not_finite = 0
    for batch in batches:
        try:
            with torch.inference_mode():
                expected = module(torch.from_numpy(batch)).numpy()
        except Exception as error:
            if optional:
                continue
            raise UserError(f"the network itself fails for an image of {describe(batch)}: {error}") from error
        output = run_file(run, batch)
        if output.shape != expected.shape:
            raise UserError(
                f"the exported file returns {output.shape} for an image of {describe(batch)}, the network "
                f"{expected.shape}"
            )
        sizes.append((batch.shape[0], batch.shape[2], batch.shape[3]))
        with np.errstate(invalid="ignore"):
            apart = np.abs(output - expected)
        # The same NaN or infinity on both sides is no difference; on one side it is one that no tolerance accepts.
        apart[(output == expected) | (np.isnan(output) & np.isnan(expected))] = 0
        difference = max(difference, float(np.where(np.isnan(apart), np.inf, apart).max()))
        finite = np.isfinite(expected)
        largest = max(largest, float(np.abs(expected[finite]).max(initial=0)))
        values, not_finite = values + finite.size, not_finite + finite.size - int(finite.sum())
        changed = output.argmax(1) != expected.argmax(1)
        pixels += changed.size
        other_class += int(changed.sum())
    if not sizes:
        raise UserError("the network takes none of the sizes that the export was to be checked with")
    if not_finite == values:
        raise UserError("the network gives no finite output for any of the images that the export is checked with")
    if not_finite:
        log.warning("%.2g %% of the network's outputs in the check are not finite", 100 * not_finite / values)
    return Agreement(tuple(sizes), difference, largest, pixels, other_class)


def run_file(run: Run, batch: np.ndarray) -> np.ndarray:
    """Run an exported file; raises `UserError` where it fails."""
    try:
        return run(batch)
    except Exception as error:
        raise UserError(f"the exported file fails for an image of {describe(batch)}: {error}") from error


def describe(batch: np.ndarray) -> str:
    """Write the shape of a batch."""
    return " x ".join(map(str, batch.shape))
