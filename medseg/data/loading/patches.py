"""Patches: crops of images at their native size to train on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from medseg.data.labels import IGNORE_INDEX
from medseg.data.on_device import OnDeviceAugmentation
from medseg.errors import ConfigError

STREAM = 1
"""Tells the random numbers of a crop from those of its augmentation, which begin at the same seed."""


@dataclass(frozen=True)
class Patches:
    """How patches are cut.

    Attributes:
        size: height and width of a patch in pixels.
        foreground: part of the patches that are cut around a pixel of a foreground class, 0..1, as nnU-Net does it; the
            class is any of those in the image, each as likely. The others are anywhere in the image.
    """

    size: tuple[int, int]
    foreground: float

    def cut(self, image: np.ndarray, mask: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Cut a patch out of an image: the same for the same image, mask and seed.

        Args:
            image: H x W x C uint8. Where it is smaller than a patch, it is mirrored to its right and bottom.
            mask: H x W uint8 class map; 255 is to be ignored.
            seed: 0 or more.

        Returns the patch, height x width x C, and its mask.
        """
        random = np.random.default_rng((seed, STREAM))
        around = None
        if random.random() < self.foreground:
            labels = [int(label) for label in np.unique(mask) if label not in (0, IGNORE_INDEX)]
            if labels:
                places = np.flatnonzero(mask == labels[random.integers(len(labels))])
                around = divmod(int(places[random.integers(len(places))]), mask.shape[1])
        spans = []
        for axis, length in enumerate(self.size):
            last = max(0, mask.shape[axis] - length)
            start = random.integers(last + 1) if around is None else min(max(0, around[axis] - length // 2), last)
            spans.append(slice(int(start), int(start) + length))
        rows, columns = spans
        missing = [(0, max(0, length - mask.shape[axis])) for axis, length in enumerate(self.size)]
        return (
            np.pad(image[rows, columns], [*missing, (0, 0)], mode="reflect"),
            np.pad(mask[rows, columns], missing, mode="reflect"),
        )


def check_patches(patches: int | None, border_weights: bool, augmentation: Any) -> None:
    """Raise `ConfigError` for what needs images of one size where patches are trained on."""
    if patches and border_weights:
        raise ConfigError(
            "data.border_weights=true needs resized images, and data.patches keeps their native size: give "
            "data.border_weights=false, or data.patches=null"
        )
    if patches and isinstance(augmentation, OnDeviceAugmentation):
        raise ConfigError(
            "augmentation=on_device needs resized images, and data.patches keeps their native size: give another "
            "augmentation, such as augmentation=default, or data.patches=null"
        )
