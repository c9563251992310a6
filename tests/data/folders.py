"""Make a user's folder of images and masks in memory."""

from __future__ import annotations

import numpy as np

from medseg.data.datasets import Folder
from tests.data.image_files import MemorySource, encode, picture

IMAGE = encode(picture())


def indices(*values: int) -> np.ndarray:
    """A mask, 24 x 32, with a stripe of each value."""
    dtype = np.int32 if min(values) < 0 else np.uint8 if max(values) < 256 else np.uint16
    return np.repeat(np.resize(np.array(values), 32)[None].astype(dtype), 24, 0)


def folder(masks: list[np.ndarray | bytes], extension: str = ".png") -> MemorySource:
    """Images a, b, c, ... with the given masks."""
    files = {}
    for letter, labels in zip("abcdefghijklmnopqrstuvwxyz", masks, strict=False):
        files[f"images/{letter}.png"] = IMAGE
        files[f"masks/{letter}{extension}"] = labels if isinstance(labels, bytes) else encode(labels, extension)
    return MemorySource(files)


def read_all(source: MemorySource, **options: object) -> dict[str, np.ndarray]:
    """The class map of each image."""
    dataset = Folder(**options)
    return {sample.id: dataset.read(source, sample)[1] for sample in dataset.list_samples(source).samples}
