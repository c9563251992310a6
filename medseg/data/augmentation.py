"""Random changes to training images: albumentations behind one small door, made repeatable.

albumentations is only ever imported here and named in `conf/augmentation/*.yaml`, so that it can be replaced.

What version 2.0.8 gets wrong by itself: a `Compose` holds random generators, which every DataLoader worker
copies, so all workers draw the same; and `set_random_seed` gives every transform the same seed, so that a horizontal
and a vertical flip always happen together. Here the caller gives a seed with every image and all transforms draw from
one stream that starts at it. The result depends on nothing else: not on the worker, the process or what came before.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import cv2
import numpy as np

# Without this, importing albumentations asks a server for its newest version.
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

import albumentations
from albumentations.augmentations.geometric.distortion import BaseDistortion
from albumentations.core.transforms_interface import BaseTransformInitSchema

from medseg.data.labels import IGNORE_INDEX
from medseg.errors import ConfigError

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
            self.compose = albumentations.Compose(
                [*map(for_any_channels, transforms), crop], strict=True, additional_targets={"closeness": "mask"}
            )
        except ValueError as error:
            raise ConfigError(f"augmentation: {error}") from None

    def __call__(
        self, image: np.ndarray, mask: np.ndarray, seed: int, closeness: np.ndarray | None = None
    ) -> tuple[np.ndarray, ...]:
        """Return an augmented copy: the same for the same image, mask and seed, everywhere.

        Args:
            image: H x W x C uint8; read-only memory is fine.
            mask: H x W uint8 class map.
            seed: 0 or more; it should differ between images and between epochs.
            closeness: H x W float32 that belongs to the mask (see `medseg.data.prepared.border_maps`).

        Returns the image, height x width x C uint8, its mask, height x width uint8, and closeness, height x width
        float32, where it is given; in new memory. Mask and closeness are taken from the same nearest pixels;
        where there is none and the mask is 255, closeness means nothing.
        """
        # One shared stream for all transforms, nested ones included: 20 us for eight of them.
        self.compose.set_random_state(np.random.default_rng(seed), random.Random(seed))
        further = {} if closeness is None else {"closeness": closeness}
        try:
            result = self.compose(image=image, mask=mask, **further)
        except Exception as error:
            channels = image.shape[2]
            if channels in (1, 3):
                raise
            reason = str(error).partition("\n")[0]
            raise ConfigError(
                f"augmentation: one of its transforms cannot take {channels} channels ({reason}); "
                "give augmentation=light"
            ) from error
        # Some transforms drop the channel axis of a grey image.
        image = np.array(result["image"]).reshape(*result["image"].shape[:2], -1)
        return image, np.array(result["mask"]), *(np.array(result[name]) for name in further)


class ColorJitter(albumentations.ColorJitter):
    """For images of any number of channels: brightness and contrast alone of those that are not RGB."""

    def apply(self, img: np.ndarray, **params: Any) -> np.ndarray:
        """Return the changed image, H x W or H x W x C."""
        if img.ndim == 2 or img.shape[2] in (1, 3):
            return super().apply(img, **params)
        planes = [super(ColorJitter, self).apply(plane, **params) for plane in np.moveaxis(img, 2, 0)]
        return np.stack(planes, axis=2)


def for_any_channels(transform: Transform) -> Transform:
    """Return a transform with each ColorJitter in it replaced by the one above."""
    if isinstance(transform, albumentations.BaseCompose):
        transform.transforms = [for_any_channels(each) for each in transform.transforms]
        return transform
    if type(transform) is not albumentations.ColorJitter:
        return transform
    ranges = {name: getattr(transform, name) for name in ("brightness", "contrast", "saturation", "hue")}
    return ColorJitter(**ranges, p=transform.p)


class FlipsAndTurns(albumentations.D4):
    """One of the flips and quarter turns at random, all equally likely, the unchanged image among them.

    Of the eight symmetries of the square, an image that is not square gets the four that keep its shape.
    """

    def get_params_dependent_on_data(self, params: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
        height, width = params["shape"][:2]
        elements = ("e", "r180", "v", "h") if height != width else ("e", "r90", "r180", "r270", "v", "h", "t", "hvt")
        return {"group_element": self.py_random.choice(elements)}

    def apply(self, img: np.ndarray, group_element: str, **params: Any) -> np.ndarray:
        """Return the flipped or turned image, H x W or H x W x C."""
        # albumentations makes a view and then copies it, bytes in a row backwards: 0.5 ms for a turn of 256 x 256 RGB.
        if img.ndim == 3 and img.shape[2] > 4:  # which OpenCV does not turn
            return np.stack([MOVES[group_element](plane) for plane in np.moveaxis(img, 2, 0)], axis=2)
        moved = MOVES[group_element](img)
        return moved.reshape(*moved.shape[:2], *img.shape[2:])  # OpenCV drops the axis of a single channel


MOVES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "e": lambda image: image,
    "r90": lambda image: cv2.rotate(image, cv2.ROTATE_90_COUNTERCLOCKWISE),
    "r180": lambda image: cv2.flip(image, -1),
    "r270": lambda image: cv2.rotate(image, cv2.ROTATE_90_CLOCKWISE),
    "v": lambda image: cv2.flip(image, 0),
    "h": lambda image: cv2.flip(image, 1),
    "t": cv2.transpose,
    "hvt": lambda image: cv2.transpose(cv2.flip(image, -1)),
}
"""The symmetries of the square by albumentations' names for them, as OpenCV does them: 0.04 ms for a turn."""


class CoarseElastic(BaseDistortion):
    """Elastic deformation of U-Net 2015: random displacements on a coarse grid, and bicubic interpolation between them.

    albumentations has no such transform. `ElasticTransform` smooths a displacement of every pixel, which takes a
    hundred times as long where it shall reach as far (72 ms against 0.6 ms for 512 x 512, a Gaussian of 64 pixels, one
    core). `ThinPlateSpline` has a grid, but 2.0.8 solves for one kernel (r^2 log r) and evaluates another (r log r):
    asked for a deviation of 10 pixels, it moves the grid's centre by 19.

    Args:
        std: standard deviation of the displacement of a grid point, in pixels, in x and y alike.
        grid: points in each direction; they are the centres of `grid` x `grid` equal parts of the image.
        p: probability.

    With the defaults every pixel moves with a deviation of 9.1 pixels. On small images that folds: 2.7 % of the pixels
    at 96 x 96, none at 256 x 256. The border is mirrored, in the image and in the mask.
    """

    class InitSchema(BaseTransformInitSchema):
        """What albumentations checks the arguments against."""

        std: float
        grid: int

    def __init__(self, std: float = 10.0, grid: int = 3, p: float = 1.0) -> None:
        if std < 0 or grid < 1:
            raise ConfigError(f"CoarseElastic: std={std} cannot be negative, and grid={grid} must be at least 1")
        super().__init__(
            interpolation=cv2.INTER_LINEAR,
            mask_interpolation=cv2.INTER_NEAREST,
            keypoint_remapping_method="mask",
            border_mode=cv2.BORDER_REFLECT_101,
            p=p,
        )
        self.std = std
        self.grid = grid

    def get_params_dependent_on_data(self, params: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
        height, width = params["shape"][:2]
        drawn = self.random_generator.normal(0, self.std, (self.grid, self.grid, 2)).astype(np.float32)
        shift = cv2.resize(drawn, (width, height), interpolation=cv2.INTER_CUBIC)
        return {
            "map_x": np.arange(width, dtype=np.float32) + shift[..., 0],
            "map_y": np.arange(height, dtype=np.float32)[:, None] + shift[..., 1],
        }
