"""The brushes that all styles share: noise, star-shaped outlines, curves, light, and the camera's last step.

Images under work are H x W x 3 float32 RGB with 1.0 as white; fields are H x W float32. Lengths are in pixels. All
randomness comes from the generator that is passed in, so a picture is a pure function of its seed.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

Shape = tuple[int, int]
Colour = Sequence[float] | np.ndarray


def pixel_grid(shape: Shape) -> tuple[np.ndarray, np.ndarray]:
    """Return the row and the column of each pixel, two H x W float32 fields."""
    rows, columns = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    return rows, columns


def noise(rng: np.random.Generator, shape: Shape, cell: float, octaves: int = 1) -> np.ndarray:
    """Return smooth noise (mean about 0, spread about 1) whose bumps are `cell` pixels apart.

    Each further octave halves the cell and the amplitude.
    """
    field = np.zeros(shape, np.float32)
    total = 0.0
    for octave in range(octaves):
        step = max(cell / 2**octave, 1.0)
        grid = (int(shape[0] / step) + 3, int(shape[1] / step) + 3)
        coarse = rng.standard_normal(grid, dtype=np.float32)
        # Enlarge to the full size of the grid and cut, so that a bump is as wide as it is high in any image shape.
        wide = cv2.resize(coarse, (round(grid[1] * step), round(grid[0] * step)), interpolation=cv2.INTER_CUBIC)
        top, left = int(step), int(step)
        amplitude = 0.5**octave
        field += amplitude * wide[top : top + shape[0], left : left + shape[1]]
        total += amplitude**2
    return field / np.float32(0.75 * np.sqrt(total))


def outline(
    rng: np.random.Generator,
    shape: Shape,
    centre: tuple[float, float],
    radius: float,
    irregularity: float,
    harmonics: int = 5,
    aspect: float = 1.0,
) -> np.ndarray:
    """Return the distance from `centre` (row, column) as a fraction of a wobbly outline's radius.

    The field is below 1 inside the outline, which is an ellipse of the given mean radius and aspect, turned at random,
    with `harmonics` waves along its border; `irregularity` is their size relative to the radius.
    """
    rows, columns = pixel_grid(shape)
    turn = rng.uniform(0, np.pi)
    down, right = rows - np.float32(centre[0]), columns - np.float32(centre[1])
    along = np.float32(np.cos(turn)) * right + np.float32(np.sin(turn)) * down
    across = np.float32(np.cos(turn)) * down - np.float32(np.sin(turn)) * right
    along /= np.float32(np.sqrt(aspect))
    across *= np.float32(np.sqrt(aspect))
    angle = np.arctan2(across, along)
    border = np.ones(shape, np.float32)
    for wave in range(2, 2 + harmonics):
        size = irregularity * rng.normal() / wave**0.7
        border += np.float32(size) * np.cos(np.float32(wave) * angle + np.float32(rng.uniform(0, 2 * np.pi)))
    return np.hypot(along, across) / (np.float32(radius) * np.maximum(border, 0.3))


def soft_inside(distance: np.ndarray, softness: float) -> np.ndarray:
    """Turn a relative distance into an opacity: 1 inside, 0.5 on the outline, 0 outside, `softness` wide."""
    return 1 / (1 + np.exp(np.clip((distance - 1) / np.float32(softness), -30, 30)))


def curve(rng: np.random.Generator, start: tuple[float, float], length: float, bend: float) -> np.ndarray:
    """Return the points (column, row) of a curve that sets out from `start` in any direction; `bend` in radians."""
    steps = 24
    turns = np.linspace(0, rng.normal(0, bend), steps) + np.cumsum(rng.normal(0, bend / steps, steps))
    heading = rng.uniform(0, 2 * np.pi) + turns
    moves = (length / steps) * np.stack([np.cos(heading), np.sin(heading)], axis=1)
    return np.array([start[1], start[0]]) + np.cumsum(moves, axis=0)


def stroke(field: np.ndarray, points: np.ndarray, width: float, value: float = 1.0) -> None:
    """Draw a curve into `field`, in place; widths below one pixel are drawn fainter."""
    fixed = np.round(points * 16).astype(np.int32)
    strength = value * min(width, 1.0)
    cv2.polylines(field, [fixed], False, strength, max(1, round(width)), cv2.LINE_AA, shift=4)


def antialiased(shape: Shape) -> np.ndarray:
    """Return an empty field to draw strokes into. cv2 only smooths 8-bit lines, hence uint8, 0 to 255."""
    return np.zeros(shape, np.uint8)


def paint(image: np.ndarray, opacity: np.ndarray, colour: Colour) -> None:
    """Blend a colour, or an H x W x 3 picture, over the image, in place. `opacity` is H x W, 0 to 1."""
    image += opacity[..., None] * (np.asarray(colour, np.float32) - image)


def vary(rng: np.random.Generator, colour: Colour, spread: float) -> np.ndarray:
    """Return the colour with its brightness and each channel scaled at random by about `spread`."""
    scale = np.exp(rng.normal(0, spread) + rng.normal(0, spread / 2, 3))
    return np.clip(np.asarray(colour) * scale, 0.0, 1.0).astype(np.float32)


def blur(field: np.ndarray, sigma: float) -> np.ndarray:
    """Blur by a Gaussian of `sigma` pixels."""
    return cv2.GaussianBlur(field, (0, 0), sigma)


def vignette(rng: np.random.Generator, shape: Shape, strength: float) -> np.ndarray:
    """Return a field of brightness that falls off from a spot near the centre to 1 - `strength` in the corners."""
    rows, columns = pixel_grid(shape)
    height, width = shape
    centre = (height * rng.uniform(0.35, 0.65), width * rng.uniform(0.35, 0.65))
    reach = np.hypot(height, width) / 2
    distance = np.hypot(rows - np.float32(centre[0]), columns - np.float32(centre[1])) / np.float32(reach)
    return 1 - np.float32(strength) * np.minimum(distance, 1.2) ** 2


def photograph(rng: np.random.Generator, image: np.ndarray, sigma: float, grain: float) -> np.ndarray:
    """Turn the painted scene into a picture: a slight blur, sensor noise, 8 bits."""
    if sigma > 0.2:
        image = blur(image, sigma)
    image = image + np.float32(grain) * rng.standard_normal(image.shape, dtype=np.float32)
    return (np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8)
