"""Dermoscopy: an irregular lesion of several browns, under hair, beside ruler marks and ink, in uneven light."""

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
    vignette,
)

SKIN = ((0.85, 0.70, 0.66), (0.80, 0.62, 0.52), (0.88, 0.60, 0.56), (0.66, 0.66, 0.74), (0.60, 0.44, 0.36))
PIGMENT = ((0.42, 0.26, 0.18), (0.62, 0.42, 0.26), (0.30, 0.18, 0.15), (0.68, 0.38, 0.34), (0.36, 0.30, 0.32))
"""Browns, black-brown, red and blue-grey, as absolute colours under white light on mid-toned skin."""


def draw_lesion(rng: np.random.Generator, shape: Shape, empty: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Draw a dermoscopy image and its mask, H x W x 3 and H x W uint8; without a lesion where `empty`."""
    short = min(shape)
    skin = vary(rng, SKIN[rng.integers(len(SKIN))], 0.07)
    grain = 1 + 0.02 * noise(rng, shape, short * 0.02) + 0.05 * noise(rng, shape, short * 0.35, 2)
    image = skin * grain[..., None]
    _blotches(rng, image, skin, shape)

    mask = np.zeros(shape, bool)
    if not empty:
        mask = _lesion(rng, image, skin, shape)
    _light(rng, image, shape)
    if rng.random() < 0.5:
        _hair(rng, image, shape)
    if rng.random() < 0.3:
        _ruler(rng, image, shape)
    if rng.random() < 0.22:
        _ink(rng, image, shape)
    if rng.random() < 0.2:
        _gel_bubbles(rng, image, shape)
    if rng.random() < 0.2:
        mask &= _tube(rng, image, shape)
    return photograph(rng, image, rng.uniform(0.2, 0.8), rng.uniform(0.006, 0.02)), mask.astype(np.uint8)


def _lesion(rng: np.random.Generator, image: np.ndarray, skin: np.ndarray, shape: Shape) -> np.ndarray:
    """Paint the lesion and return where it is."""
    short = min(shape)
    size = short * (rng.uniform(0.14, 0.36) if rng.random() < 0.85 else rng.uniform(0.36, 0.5))
    spread = 0.12 if size < short * 0.36 else 0.05
    centre = (shape[0] * (0.5 + rng.normal(0, spread)), shape[1] * (0.5 + rng.normal(0, spread)))
    distance = outline(rng, shape, centre, size, rng.uniform(0.05, 0.16), 7, rng.uniform(1.0, 1.6))
    distance = distance + np.float32(rng.uniform(0.03, 0.1)) * noise(rng, shape, size * 0.3, 3)
    inside = soft_inside(distance, rng.uniform(0.02, 0.09))

    # Two pigments in patches; strength is the contrast to the skin, low in some images.
    first, second = rng.choice(len(PIGMENT), 2, replace=False)
    relative = skin / np.float32(0.72)  # darker skin has darker lesions, so brightness alone does not tell
    patches = soft_inside(1 + 0.6 * noise(rng, shape, size * 0.6, 3), 0.25)[..., None]
    colour = patches * vary(rng, PIGMENT[first], 0.1) + (1 - patches) * vary(rng, PIGMENT[second], 0.1)
    colour = colour * (0.35 + 0.65 * relative)
    texture = noise(rng, shape, short * rng.uniform(0.02, 0.05))
    if rng.random() < 0.4:  # pigment network: dark lines around pale holes
        texture = 1.2 - 2.2 * np.abs(texture)
    colour = colour * (1 + np.float32(rng.uniform(0.04, 0.14)) * texture)[..., None]
    strength = rng.uniform(0.45, 0.95) if rng.random() < 0.8 else rng.uniform(0.28, 0.45)
    # The centre is often paler or darker than the rim.
    body = 1 + np.float32(rng.normal(0, 0.18)) * (1 - np.clip(distance, 0, 1))
    paint(image, np.clip(np.float32(strength) * inside * body, 0, 1), colour)
    if rng.random() < 0.15:  # whitish veil or ulcer
        veil = outline(rng, shape, (centre[0] + rng.normal(0, size / 4), centre[1]), size * 0.35, 0.15)
        paint(image, np.float32(rng.uniform(0.3, 0.7)) * soft_inside(veil, 0.15) * inside, vary(rng, skin, 0.08))
    return distance < 1


def _blotches(rng: np.random.Generator, image: np.ndarray, skin: np.ndarray, shape: Shape) -> None:
    """Redden the skin in places and scatter freckles: coloured like a lesion, but no lesion."""
    short = min(shape)
    red = np.clip(noise(rng, shape, short * 0.3, 2) * 0.5, 0, 1)
    paint(image, np.float32(rng.uniform(0.0, 0.5)) * red, skin * (1.0, 0.82, 0.8))
    freckles = antialiased(shape)
    for _ in range(rng.integers(0, 10)):
        where = (int(shape[1] * rng.uniform(0, 1)), int(shape[0] * rng.uniform(0, 1)))
        cv2.circle(freckles, where, int(short * rng.uniform(0.006, 0.022)) + 1, int(rng.integers(90, 230)), -1)
    paint(image, blur(freckles.astype(np.float32) / 255, 0.9), skin * (0.66, 0.52, 0.45))


def _light(rng: np.random.Generator, image: np.ndarray, shape: Shape) -> None:
    """Light from one side, fall-off to the corners, and a colour cast."""
    rows, columns = pixel_grid(shape)
    slope = rng.normal(0, 0.16, 2)
    side = 1 + np.float32(slope[0]) * (rows / shape[0] - 0.5) + np.float32(slope[1]) * (columns / shape[1] - 0.5)
    exposure = np.float32(rng.uniform(0.7, 1.12))
    image *= (exposure * side * vignette(rng, shape, rng.uniform(0.05, 0.55)))[..., None]
    image *= np.exp(rng.normal(0, 0.05, 3)).astype(np.float32)


def _hair(rng: np.random.Generator, image: np.ndarray, shape: Shape) -> None:
    """Lay dark, or rarely pale, hairs over everything."""
    hairs = antialiased(shape)
    lengths = min(shape) * rng.uniform(0.3, 1.2)
    for _ in range(rng.integers(3, 22)):
        start = (shape[0] * rng.uniform(-0.1, 1.1), shape[1] * rng.uniform(-0.1, 1.1))
        stroke(hairs, curve(rng, start, lengths * rng.uniform(0.5, 1.2), 0.9), rng.choice((0.6, 0.8, 1.0, 1.6)), 255)
    colour = (0.13, 0.09, 0.08) if rng.random() < 0.85 else (0.85, 0.78, 0.66)
    paint(image, 0.85 / 255 * hairs.astype(np.float32), vary(rng, colour, 0.2))


def _ruler(rng: np.random.Generator, image: np.ndarray, shape: Shape) -> None:
    """Print a ruler's line and ticks near one side."""
    marks = antialiased(shape)
    height, width = shape
    row = height * rng.choice([rng.uniform(0.04, 0.14), rng.uniform(0.86, 0.96)])
    tilt, first = rng.normal(0, 0.08), rng.uniform(0.02, 0.2) * width
    gap = rng.uniform(0.03, 0.06) * width
    count = int(rng.integers(8, 15))
    along = first + gap * np.arange(count)
    level = row + tilt * (along - width / 2)
    stroke(marks, np.stack([along, level], 1), 1.0, 255)
    for number in range(count):
        tall = (0.035 if number % 5 == 0 else 0.02) * height
        ends = np.array([[along[number], level[number]], [along[number], level[number] - tall]])
        stroke(marks, ends, 1.0, 255)
    paint(image, 0.8 / 255 * marks.astype(np.float32), (0.12, 0.1, 0.12))


def _ink(rng: np.random.Generator, image: np.ndarray, shape: Shape) -> None:
    """Scribble the surgeon's violet marks around the middle."""
    scribble = antialiased(shape)
    short = min(shape)
    for _ in range(rng.integers(1, 5)):
        turn, far = rng.uniform(0, 2 * np.pi), short * rng.uniform(0.36, 0.5)
        start = (shape[0] / 2 + far * np.sin(turn), shape[1] / 2 + far * np.cos(turn))
        for _ in range(rng.integers(3, 9)):
            stroke(scribble, curve(rng, start, short * rng.uniform(0.05, 0.15), 2.0), rng.uniform(1.0, 2.4), 255)
    paint(image, 0.75 / 255 * blur(scribble.astype(np.float32), 0.7), vary(rng, (0.34, 0.2, 0.5), 0.12))


def _gel_bubbles(rng: np.random.Generator, image: np.ndarray, shape: Shape) -> None:
    """Trap bubbles in the gel between lens and skin: bright rings."""
    rings = antialiased(shape)
    for _ in range(rng.integers(1, 7)):
        where = (int(shape[1] * rng.uniform(0, 1)), int(shape[0] * rng.uniform(0, 1)))
        cv2.circle(rings, where, int(min(shape) * rng.uniform(0.015, 0.06)) + 2, 255, 1, cv2.LINE_AA)
    paint(image, 0.6 / 255 * rings.astype(np.float32), (0.95, 0.95, 0.95))


def _tube(rng: np.random.Generator, image: np.ndarray, shape: Shape) -> np.ndarray:
    """Frame the picture by the dark rim of the dermatoscope's round opening; return what can be seen."""
    rows, columns = pixel_grid(shape)
    distance = np.hypot((rows / shape[0] - 0.5) * 2, (columns / shape[1] - 0.5) * 2)
    edge = rng.uniform(1.0, 1.2)
    dark = soft_inside(np.float32(2) - distance / np.float32(edge), 0.02)
    paint(image, dark, vary(rng, (0.07, 0.06, 0.08), 0.3))
    return distance < edge
