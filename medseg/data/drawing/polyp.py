"""Colonoscopy: smooth polyps on textured mucosa, among folds that look like polyps but are not.

The scene is a height map lit from near the camera, so that polyps and folds get their shading and highlights from the
same light; what sets a polyp apart is its closed, domed shape, the texture of its surface and the missing vessels.
"""

from __future__ import annotations

import cv2
import numpy as np

from medseg.data.drawing.brushes import (
    Shape,
    antialiased,
    blur,
    curve,
    noise,
    outline,
    paint,
    photograph,
    pixel_grid,
    soft_inside,
    stroke,
    vary,
)

MUCOSA = ((0.86, 0.50, 0.42), (0.80, 0.42, 0.30), (0.72, 0.50, 0.44), (0.90, 0.60, 0.48))
TINTS = ((1.12, 0.84, 0.82), (1.06, 1.16, 1.10), (0.98, 0.84, 0.72), (1.10, 1.04, 0.84))
"""What the colour of the mucosa is multiplied with on a polyp: redder, paler, browner, yellower."""


def draw_polyp(rng: np.random.Generator, shape: Shape, empty: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Draw a colonoscopy image and its mask, H x W x 3 and H x W uint8; without a polyp where `empty`."""
    short = min(shape)
    view = _field_of_view(rng, shape)
    centre = (shape[0] * rng.uniform(0.3, 0.7), shape[1] * rng.uniform(0.3, 0.7))
    lumen = (centre[0] + short * rng.normal(0, 0.7), centre[1] + short * rng.normal(0, 0.7))
    surface = short * 0.035 * noise(rng, shape, short * 0.4, 2) + _folds(rng, shape, lumen)

    distance = np.full(shape, 9.0, np.float32)
    for number in range(0 if empty else 1 + (rng.random() < 0.15)):
        radius = short * (rng.uniform(0.13, 0.34) if number == 0 else rng.uniform(0.09, 0.14))
        if number:  # a second, smaller one on the far side of the first
            centre = (shape[0] - centre[0], shape[1] - centre[1])
        one = outline(rng, shape, centre, radius, 0.08, 4, rng.uniform(1.0, 1.7))
        if rng.random() < 0.3:  # lobed: a second outline that melts into the first
            shift = rng.normal(0, 0.55 * radius, 2)
            lobe = outline(rng, shape, (centre[0] + shift[0], centre[1] + shift[1]), 0.75 * radius, 0.07, 4)
            one = -0.08 * np.logaddexp(-one / 0.08, -lobe / 0.08)
        body = soft_inside(one, 0.05)
        ground = np.float32((surface * body).sum() / max(float(body.sum()), 1.0))
        dome = np.sqrt(np.clip(1 - np.clip(one, 0, 1) ** 2, 0, 1))
        surface = surface + body * (0.85 * (ground - surface)) + radius * np.float32(rng.uniform(0.35, 0.85)) * dome
        distance = np.minimum(distance, one)
    mask = (distance < 1) * view
    opacity = soft_inside(distance, 0.035)

    colour = _albedo(rng, shape, distance, opacity)
    light, glints = _lighting(rng, shape, blur(surface, 1.2), opacity)
    image = colour * light[..., None]
    _darken_lumen(rng, image, shape, lumen, opacity)
    if rng.random() < 0.3:
        _residue(rng, image, shape, light)
    paint(image, glints, (1.0, 0.98, 0.95))
    image *= view[..., None]
    if rng.random() < 0.4:
        _overlay(rng, image, mask)
    return photograph(rng, image, rng.uniform(0.2, 0.9), rng.uniform(0.005, 0.02)), (mask > 0.5).astype(np.uint8)


def _folds(rng: np.random.Generator, shape: Shape, lumen: tuple[float, float]) -> np.ndarray:
    """Raise ridges that run around the lumen and end softly: the short, broad ones are the polyps' look-alikes."""
    short = min(shape)
    rows, columns = pixel_grid(shape)
    down, right = rows - np.float32(lumen[0]), columns - np.float32(lumen[1])
    far, angle = np.hypot(down, right), np.arctan2(down, right)
    surface = np.zeros(shape, np.float32)
    for _ in range(rng.integers(2, 5)):
        through = (shape[0] * rng.uniform(0, 1), shape[1] * rng.uniform(0, 1))
        reach = np.hypot(through[0] - lumen[0], through[1] - lumen[1])
        middle = np.arctan2(through[0] - lumen[0], through[1] - lumen[1])
        width = short * rng.uniform(0.05, 0.14)
        length = max(short * rng.uniform(0.25, 1.0), 3 * width) / max(reach, 1.0)
        wobble = np.float32(0.6 * width) * noise(rng, shape, short * 0.3)
        off = np.abs((angle - np.float32(middle) + np.float32(np.pi)) % np.float32(2 * np.pi) - np.float32(np.pi))
        ridge = np.exp(-(((far - np.float32(reach) + wobble) / np.float32(width)) ** 2))
        ridge *= np.exp(-((off / np.float32(length)) ** 4))
        surface += np.float32(width * rng.uniform(0.7, 1.5)) * ridge
    return surface


def _albedo(rng: np.random.Generator, shape: Shape, distance: np.ndarray, opacity: np.ndarray) -> np.ndarray:
    """Colour the surface: mottled mucosa with vessels, polyps in a tint of it with another surface."""
    short = min(shape)
    base = vary(rng, MUCOSA[rng.integers(len(MUCOSA))], 0.08)
    mottle = 1 + 0.06 * noise(rng, shape, short * 0.12, 2)
    colour = base * mottle[..., None]
    vessels = antialiased(shape)
    for _ in range(rng.integers(0, 14)):
        start = (shape[0] * rng.uniform(0, 1), shape[1] * rng.uniform(0, 1))
        stroke(vessels, curve(rng, start, short * rng.uniform(0.2, 0.7), 1.6), rng.uniform(0.6, 1.6), 255)
    strength = rng.uniform(0.15, 0.4)
    paint(colour, np.float32(strength / 255) * vessels.astype(np.float32), base * (0.75, 0.45, 0.45))

    # One in six hardly differs in colour: its shape has to tell.
    tinted = rng.uniform(0.6, 1.4) if rng.random() < 0.85 else rng.uniform(0.0, 0.4)
    tint = 1 + (np.array(TINTS[rng.integers(len(TINTS))]) - 1) * tinted
    pits = 1 + np.float32(rng.uniform(0.08, 0.17)) * noise(rng, shape, short * rng.uniform(0.025, 0.045))
    paint(colour, opacity, (base * tint).astype(np.float32) * (mottle * pits)[..., None])
    # The crease where a polyp rises from the mucosa gets little light.
    crease = np.exp(-(((distance - 1.06) / 0.09) ** 2))
    colour *= (1 - np.float32(rng.uniform(0.1, 0.4)) * crease)[..., None]
    return colour


def _lighting(
    rng: np.random.Generator, shape: Shape, surface: np.ndarray, opacity: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Light the surface from near the camera: brightness, and the opacity of the wet highlights."""
    short = min(shape)
    rows, columns = pixel_grid(shape)
    lamp = (shape[0] * rng.uniform(0.1, 0.9), shape[1] * rng.uniform(0.1, 0.9), short * rng.uniform(0.5, 1.0))
    steep_down, steep_right = np.gradient(surface)
    up = 1 / np.sqrt(1 + steep_down**2 + steep_right**2)
    to_down, to_right = np.float32(lamp[0]) - rows, np.float32(lamp[1]) - columns
    to_up = np.float32(lamp[2]) - surface
    far = np.sqrt(to_down**2 + to_right**2 + to_up**2)
    facing = (to_up - steep_down * to_down - steep_right * to_right) * up / far
    fall_off = 1.6 / (1 + (far / np.float32(1.25 * short)) ** 2)
    light = np.float32(rng.uniform(0.75, 1.1)) * (0.18 + 0.82 * np.clip(facing, 0, 1)) * fall_off

    # Mirror direction between lamp and camera (straight above); ripples of the wet surface scatter the highlights.
    ripple = noise(rng, shape, short * 0.03)
    ripple_down, ripple_right = np.gradient(ripple * np.float32(0.35))
    half_down, half_right, half_up = to_down / far, to_right / far, to_up / far + 1
    half = np.sqrt(half_down**2 + half_right**2 + half_up**2)
    mirror = (half_up - (steep_down + ripple_down) * half_down - (steep_right + ripple_right) * half_right) * up / half
    shine = np.clip(mirror, 0, 1) ** np.float32(rng.uniform(40, 110))
    glints = np.clip((shine - 0.72) * 5, 0, 1) * (noise(rng, shape, short * 0.08) > rng.uniform(0.1, 0.9))
    return light, blur(glints.astype(np.float32), 0.6)


def _darken_lumen(
    rng: np.random.Generator, image: np.ndarray, shape: Shape, lumen: tuple[float, float], opacity: np.ndarray
) -> None:
    """Darken where the bowel leads away from the camera, behind the polyps."""
    radius = min(shape) * rng.uniform(0.1, 0.3)
    depth = soft_inside(outline(rng, shape, lumen, radius, 0.08, 4, rng.uniform(1.0, 1.8)), 0.15) * (1 - opacity)
    image *= (1 - np.float32(rng.uniform(0.6, 0.92)) * depth)[..., None]


def _residue(rng: np.random.Generator, image: np.ndarray, shape: Shape, light: np.ndarray) -> None:
    """Leave yellow residue and bubbles on the surface: they are not polyps."""
    short = min(shape)
    patches = np.clip((noise(rng, shape, short * 0.16, 3) - rng.uniform(1.2, 1.8)) * 4, 0, 1)
    yellow = vary(rng, (0.85, 0.70, 0.28), 0.08)
    paint(image, 0.8 * patches, yellow * np.clip(light, 0, 1.2)[..., None])
    bubbles = antialiased(shape)
    for _ in range(rng.integers(0, 6)):
        where = (int(shape[1] * rng.uniform(0, 1)), int(shape[0] * rng.uniform(0, 1)))
        cv2.circle(bubbles, where, int(short * rng.uniform(0.015, 0.04)) + 1, 255, 1, cv2.LINE_AA)
    paint(image, 0.5 / 255 * bubbles.astype(np.float32), (0.95, 0.92, 0.85))


def _field_of_view(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    """Return 1 where the endoscope sees and 0 in its black corners, cut straight, round, or not at all."""
    rows, columns = pixel_grid(shape)
    down, right = np.abs(rows / shape[0] - 0.5) * 2, np.abs(columns / shape[1] - 0.5) * 2
    kind = rng.random()
    if kind < 0.5:
        seen = (down + right) < rng.uniform(1.5, 1.75)
    elif kind < 0.75:
        seen = np.hypot(down, right) < rng.uniform(1.05, 1.25)
    else:
        seen = np.ones(shape, bool)
    return seen.astype(np.float32)


def _overlay(rng: np.random.Generator, image: np.ndarray, mask: np.ndarray) -> None:
    """Cover a corner with the recorder's black box and print a few marks, as many recorders do."""
    height, width = mask.shape
    if rng.random() < 0.5:
        top, right = int(height * rng.uniform(0.68, 0.8)), int(width * rng.uniform(0.2, 0.35))
        image[top:, :right] = 0.0
        mask[top:, :right] = 0.0
    for _ in range(rng.integers(1, 5)):
        row, left = int(height * rng.uniform(0.05, 0.6)), int(width * 0.02)
        for place in range(rng.integers(2, 6)):
            if rng.random() < 0.7:
                image[row : row + 2, left + 4 * place : left + 4 * place + 2] = 0.9
