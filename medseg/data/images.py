"""The prepared images of a dataset as the loading processes fetch them, a batch at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from medseg.data.loading.patches import Patches
from medseg.data.on_device import OnDeviceAugmentation
from medseg.data.prepared.border_maps import BorderMaps
from medseg.data.prepared.dataset import PreparedDataset

if TYPE_CHECKING:  # albumentations is imported where images are changed
    from medseg.data.augmentation import Augmentation


class Images(torch.utils.data.Dataset):
    """The prepared images with their class maps, fetched a batch at a time.

    A batch is `image` (uint8, N x H x W x C), `mask` (uint8, N x H x W), `index` (int64, N, the position in the
    prepared data) and, with border maps, `closeness` (float32, N x H x W); the masks are then those of the border maps.
    With `patches`, what is augmented is one cut out of each image.
    """

    def __init__(
        self,
        prepared: PreparedDataset,
        augmentation: Augmentation | OnDeviceAugmentation | None,
        border: BorderMaps | None = None,
        patches: Patches | None = None,
    ) -> None:
        self.prepared = prepared
        self.patches = patches
        self.augmentation = augmentation
        self.border = border

    def __len__(self) -> int:
        return len(self.prepared.ids)

    def __getitems__(self, drawn: Sequence[tuple[int, int]]) -> dict[str, torch.Tensor]:
        indices = [index for index, _ in drawn]
        samples = [self.sample(index, seed) for index, seed in drawn]
        return {
            **{name: torch.from_numpy(np.stack([sample[name] for sample in samples])) for name in samples[0]},
            "index": torch.tensor(indices),
        }

    def sample(self, index: int, seed: int) -> dict[str, np.ndarray]:
        """Return one image with its mask and, with border maps, its closeness; `seed`: of patch and augmentation."""
        image, mask, closeness = self.prepared.images[index], self.prepared.masks[index], None
        if self.patches is not None:
            image, mask = self.patches.cut(image, mask, seed)
        if self.border is not None:
            mask, closeness = self.border.masks[index], self.border.closeness[index].astype(np.float32)
        parts: tuple[np.ndarray, ...] = (image, mask) if closeness is None else (image, mask, closeness)
        if self.augmentation is not None:
            parts = self.augmentation(image, mask, seed, closeness)
        return dict(zip(("image", "mask", "closeness"), parts, strict=False))
