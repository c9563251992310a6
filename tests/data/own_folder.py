"""A user's folder of small images with a bright rectangle each, and its masks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from tests.data.tiny import blob, picture, png, write_folder


def own_folder(
    path: Path,
    names: Sequence[str],
    *,
    files: Mapping[str, str] | None = None,
    classes: Mapping[str, Sequence[int]] | None = None,
    side: int = 32,
) -> Path:
    """Write `images/<name>.png` and `masks/<name>.png` for each name.

    Args:
        path: of the folder.
        names: of the images.
        files: further text files by name, such as `splits.csv`.
        classes: name -> the classes in its mask beside the background; 255 in all masks without.
        side: of the images, in pixels.
    """
    content = {name: text.encode() for name, text in (files or {}).items()}
    for number, name in enumerate(names):
        mask = blob(side, side, 255)
        if classes is not None:
            mask = np.zeros((side, side), np.uint8)
            for label in classes[name]:
                mask[4 * label : 4 * label + 4, side // 4 :] = label
        image = picture(number, side, side) // 2 + np.uint8(90) * (mask > 0)[..., None]
        content |= {f"images/{name}.png": png(image), f"masks/{name}.png": png(mask)}
    return write_folder(path, content)


def numbered(groups: int, images: int) -> list[str]:
    """Name images `p<group>_<image>`."""
    return [f"p{group:02d}_{image}" for group in range(groups) for image in range(images)]
