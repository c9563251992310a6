"""Augmentation of whole batches where the images are: for devices that train faster than processes load.

The training images stay on the device, as bytes. A batch begins as positions and drawn numbers, which are a function of
the seed of each image alone (`medseg.data.loading.sampling`), on any device: a resumed run draws what an unbroken one
does.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import grid_sample
from torch.utils.data import Dataset

from medseg.data.labels import IGNORE_INDEX


class OnDeviceAugmentation:
    """Flips, quarter turns, scale and brightness. Not the same as `augmentation=default`, nor with its random numbers.

    Args:
        scale: smallest and largest factor of the size; every factor between is as likely as its inverse. Of a larger
            image, a random part is seen; a smaller one is at a random position, around it image 0 and mask 255.
        brightness: smallest and largest factor of the values, uniform.

    Images that are not square get the flips alone. Images are interpolated linearly and rounded, masks are of the
    nearest pixel.
    """

    def __init__(self, scale: Sequence[float] = (0.8, 1.25), brightness: Sequence[float] = (0.8, 1.2)) -> None:
        self.scale = scale
        self.brightness = brightness

    def draw(self, seeds: Sequence[int], *, square: bool) -> Tensor:
        """Return N x 7 float32 for N seeds: a 2 x 3 matrix, from points of the result to the image's, and brightness.

        Points are (x, y, 1), from -1 to 1 over the image. `square`: whether images may be turned.
        """
        return torch.tensor(np.stack([self.draw_one(seed, square) for seed in seeds]), dtype=torch.float32)

    def draw_one(self, seed: int, square: bool) -> np.ndarray:
        """Return the seven numbers of one image."""
        random = np.random.default_rng(seed)
        matrix = np.diag(random.choice([-1.0, 1.0], 2))
        if random.random() < 0.5 and square:
            matrix = matrix[::-1]  # x and y exchanged: with the flips, the eight symmetries of the square
        smallest, largest = self.scale
        factor = math.exp(random.uniform(math.log(smallest), math.log(largest)))
        shift = random.uniform(-1, 1, (2, 1)) * abs(1 - 1 / factor)
        darkest, brightest = self.brightness
        return np.append(np.hstack([matrix / factor, shift]), random.uniform(darkest, brightest))

    def apply(
        self, images: Tensor, masks: Tensor, drawn: Tensor, closeness: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        """Return augmented copies of N images, of the same types and sizes.

        Args:
            images: N x H x W x C uint8.
            masks: N x H x W uint8 class maps.
            drawn: N x 7, of `draw`.
            closeness: N x H x W float32 that belongs to the masks; means nothing where the new mask is 255.
        """
        (height, width), device = images.shape[1:3], images.device
        # The centres of the pixels. Not affine_grid: its product of matrices is rounded to TF32 on some GPUs.
        y, x = ((torch.arange(size, device=device) * 2 + 1) / size - 1 for size in (height, width))
        a, b, c, d, e, f, brightness = drawn.view(-1, 7, 1, 1).unbind(1)
        x, y = x[None, None, :], y[None, :, None]
        grid = torch.stack([a * x + b * y + c, d * x + e * y + f], dim=-1)  # N H W 2

        def nearest(maps: Tensor) -> Tensor:
            return grid_sample(maps.float()[:, None], grid, mode="nearest", align_corners=False)[:, 0]

        pixels = grid_sample(images.permute(0, 3, 1, 2).float(), grid, align_corners=False)
        pixels = (pixels * brightness[:, None]).clamp(0, 255).round().byte().permute(0, 2, 3, 1).contiguous()
        shifted = nearest(masks.float() + 1)  # outside of the image it is 0
        labels = torch.where(shifted == 0, IGNORE_INDEX, shifted - 1).byte()
        return pixels, labels, *(() if closeness is None else (nearest(closeness),))

    def __call__(
        self, image: np.ndarray, mask: np.ndarray, seed: int, closeness: np.ndarray | None = None
    ) -> tuple[np.ndarray, ...]:
        """Augment one image on the CPU, as `medseg.data.augmentation.Augmentation` does; for looking at."""
        parts = [torch.tensor(np.array(part))[None] for part in (image, mask, closeness) if part is not None]
        drawn = self.draw([seed], square=image.shape[0] == image.shape[1])
        return tuple(part[0].numpy() for part in self.apply(parts[0], parts[1], drawn, *parts[2:]))


class DrawnPositions(Dataset):
    """Positions of training images with what is drawn for them: batches of `index`, N int64, and `drawn`, N x 7."""

    def __init__(self, augmentation: OnDeviceAugmentation, count: int, *, square: bool) -> None:
        self.augmentation, self.count, self.square = augmentation, count, square

    def __len__(self) -> int:
        return self.count

    def __getitems__(self, drawn: Sequence[tuple[int, int]]) -> dict[str, Tensor]:
        indices, seeds = zip(*drawn, strict=True)
        return {"index": torch.tensor(indices), "drawn": self.augmentation.draw(seeds, square=self.square)}


class ImagesOnDevice:
    """The images of a split on a device.

    Args:
        augmentation: of the batches.
        indices: positions in the prepared data.
        arrays: all prepared `image`, `mask` and, where there is one, `closeness`.
        device: where they go.
    """

    def __init__(
        self,
        augmentation: OnDeviceAugmentation,
        indices: np.ndarray,
        arrays: dict[str, np.ndarray],
        device: torch.device,
    ) -> None:
        self.augmentation = augmentation
        self.position = torch.zeros(len(arrays["image"]), dtype=torch.int64, device=device)
        self.position[torch.tensor(indices, device=device)] = torch.arange(len(indices), device=device)
        self.tensors = {name: torch.tensor(array[indices], device=device) for name, array in arrays.items()}

    def batch(self, drawn: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the batch, as a loader has it, of what `DrawnPositions` drew."""
        position = self.position[drawn["index"]]
        image, mask, *closeness = (tensor[position] for tensor in self.tensors.values())
        parts = self.augmentation.apply(image, mask, drawn["drawn"], *(part.float() for part in closeness))
        return {**dict(zip(self.tensors, parts, strict=True)), "index": drawn["index"]}
