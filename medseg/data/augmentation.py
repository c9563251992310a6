"""Random changes to training images: albumentations behind one small door, made repeatable.

albumentations is only ever imported here and named in `conf/augmentation/*.yaml`, so that it can be replaced.

What version 2.0.8 gets wrong by itself: a `Compose` holds its own random generators, which every DataLoader worker
copies, so all workers draw the same; and `set_random_seed` gives every transform the same seed, so that a horizontal
and a vertical flip always happen together. Here the caller gives a seed with every image and all transforms draw from
one stream that starts at it. The result depends on nothing else: not on the worker, the process or what came before.
"""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

# Without this, importing albumentations asks a server for its newest version.
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

import albumentations

from medseg.errors import ConfigError
from medseg.labels import IGNORE_INDEX

Transform: TypeAlias = albumentations.BasicTransform | albumentations.BaseCompose


class Augmentation:
    """Apply transforms to an image and its mask, then cut or pad to one size.

    Args:
        transforms: albumentations transforms, in order. Masks must be interpolated by nearest neighbour, which is
            their default.
        image_size: height and width of every result, or one number for both. A larger image is cropped at random; a
            smaller one is padded at its right and bottom: image 0, mask 255.

    Raises `ConfigError` for an argument that a transform does not have.
    """

    def __init__(self, transforms: Sequence[Transform], image_size: int | Sequence[int]) -> None:
        height, width = (image_size, image_size) if isinstance(image_size, int) else image_size
        crop = albumentations.RandomCrop(
            height, width, pad_if_needed=True, pad_position="top_left", fill=0, fill_mask=IGNORE_INDEX
        )
        try:
            # strict: 2.0.8 only warns of an unknown argument and then goes on without it.
            self.compose = albumentations.Compose([*transforms, crop], strict=True)
        except ValueError as error:
            raise ConfigError(f"augmentation: {error}") from None

    def __call__(self, image: np.ndarray, mask: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Return an augmented copy: the same for the same image, mask and seed, everywhere.

        Args:
            image: H x W x C uint8; read-only memory is fine.
            mask: H x W uint8 class map.
            seed: 0 or more; it should differ between images and between epochs.

        Returns the image, height x width x C uint8, and its mask, height x width uint8, in memory of their own.
        """
        # One shared stream for all transforms, nested ones included: 20 us for eight of them.
        self.compose.set_random_state(np.random.default_rng(seed), random.Random(seed))
        result = self.compose(image=image, mask=mask)
        # Some transforms drop the channel axis of a grey image.
        return np.array(result["image"]).reshape(*result["image"].shape[:2], -1), np.array(result["mask"])


class FlipsAndTurns(albumentations.D4):
    """One of the flips and quarter turns at random, all equally likely, the unchanged image among them.

    Of the eight symmetries of the square, an image that is not square gets the four that keep its shape.
    """

    def get_params_dependent_on_data(self, params: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
        height, width = params["shape"][:2]
        elements = ("e", "r180", "v", "h") if height != width else ("e", "r90", "r180", "r270", "v", "h", "t", "hvt")
        return {"group_element": self.py_random.choice(elements)}
