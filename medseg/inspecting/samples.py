"""Which images are shown, with the outlines of their masks, and what augmentation makes of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from medseg.data.labels import IGNORE_INDEX
from medseg.data.loading.sampling import sample_seed
from medseg.data.module import SegmentationDataModule
from medseg.data.overlay import as_rgb
from medseg.inspecting.facts import Facts

LONGEST_SIDE = 320
"""Of a picture, in pixels; a larger image is shrunk for the page."""

TOLERANCE = 0.6
"""How far an outline may be from the border, in pixels: nobody sees it, and a page of cells has half the size."""


@dataclass(frozen=True)
class Draw:
    """What training sees of an image.

    Args:
        epoch: from 1; 0 is the image as it is.
        image: H x W x C uint8.
        mask: H x W uint8; 255 is left out of the loss.
    """

    epoch: int
    image: np.ndarray
    mask: np.ndarray


def spread(positions: Sequence[int] | NDArray[np.int64], count: int) -> list[int]:
    """Choose `count` of some positions at equal distances, the first and the last among them; all where they are few.

    One alone is the middle one.
    """
    if count >= len(positions):
        return [int(position) for position in positions]
    chosen = np.linspace(0, len(positions) - 1, count) if count > 1 else np.array([(len(positions) - 1) / 2])
    return [int(positions[index]) for index in np.rint(chosen).astype(int)]


def extremes(facts: Facts, count: int) -> dict[str, list[int]]:
    """Choose the `count` most extreme images of each kind: kind -> positions, the most extreme first.

    A kind without images is not there.
    """
    foreground, names = facts.foreground, facts.prepared.class_names
    filled = np.flatnonzero(foreground > 0)
    order = filled[np.argsort(foreground[filled], kind="stable")]
    light = np.argsort(facts.brightness, kind="stable")
    kinds: dict[str, Sequence[int] | NDArray[np.int64]] = {
        "smallest foreground": order[:count],
        "largest foreground": order[::-1][:count],
        "empty masks": spread(facts.empty, count),
        "darkest": light[: count // 2],
        "brightest": light[::-1][: count // 2],
    }
    if len(names) > 2:
        for number, name in enumerate(names[1:], start=1):
            by_share = np.argsort(-facts.shares[:, number], kind="stable")[: count // 2]
            kinds[f"most {name}"] = [int(one) for one in by_share if facts.shares[one, number] > 0]
    return {kind: [int(position) for position in found] for kind, found in kinds.items() if len(found)}


def draw_augmented(datamodule: SegmentationDataModule, facts: Facts, images: int, draws: int) -> dict[int, list[Draw]]:
    """Draw what the first epochs of training see of some training images: position -> the image as it is, its draws.

    Chosen are images with foreground, from the least of it to the most. Their pixels and seeds come the way that
    training takes, up to the normalisation.
    """
    training = datamodule.indices["train"]
    filled = training[facts.foreground[training] > 0]
    by_share = filled[np.argsort(facts.foreground[filled], kind="stable")] if len(filled) else training
    plain, augmented = datamodule.images(), datamodule.images(training=True)
    drawn = {}
    for position in spread(by_share, images):
        seen = [plain.sample(position, 0)]
        seen += [augmented.sample(position, sample_seed(datamodule.seed, epoch, position)) for epoch in range(draws)]
        drawn[position] = [Draw(epoch, one["image"], one["mask"]) for epoch, one in enumerate(seen)]
    return drawn


def shrunk(image: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return an image, H x W x C uint8, and its mask, H x W uint8, no longer than `LONGEST_SIDE`; grey as H x W.

    Other numbers of channels are returned as pictures, see `as_rgb`.
    """
    if image.shape[2] not in (1, 3):
        image = as_rgb(image)
    height, width = mask.shape
    factor = min(1.0, LONGEST_SIDE / max(height, width))
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    if factor < 1:
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA).reshape(size[1], size[0], -1)
        mask = cv2.resize(mask, size, interpolation=cv2.INTER_NEAREST_EXACT)
    return (image[..., 0] if image.shape[2] == 1 else image), mask


def outlines(mask: np.ndarray) -> dict[int, str]:
    """Return the border of each region of each class, and of what is ignored, as the `d` of an SVG path.

    Args:
        mask: H x W uint8.

    Returns:
        Class -> path in pixels from the image's corner, within `TOLERANCE` of the centres of the outermost pixels.
    """
    paths = {}
    for label in np.unique(mask):
        if label != 0:
            method = cv2.RETR_CCOMP if label == IGNORE_INDEX else cv2.RETR_LIST
            contours, _ = cv2.findContours((mask == label).astype(np.uint8), method, cv2.CHAIN_APPROX_NONE)
            simple = [cv2.approxPolyDP(contour, TOLERANCE, closed=True) for contour in contours]
            paths[int(label)] = "".join(as_path(contour[:, 0]) for contour in simple)
    return paths


def as_path(points: NDArray[np.int32]) -> str:
    """Write a closed line, P x 2 (x, y), in steps from point to point, which is half as long as their coordinates."""
    steps = " ".join(f"{x} {y}" for x, y in np.diff(points, axis=0).tolist())
    return f"M{points[0, 0]}.5 {points[0, 1]}.5" + (f"l{steps}" if steps else "h0") + "z"
