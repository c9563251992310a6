"""Microscopy: many touching nuclei, bright on dark (fluorescence) or violet on pink (stained tissue).

The brightness changes from nucleus to nucleus and over the field; debris and nuclei far out of focus are no nuclei.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from medseg.data.drawing.brushes import Shape, blur, noise, outline, paint, photograph, soft_inside, vary, vignette

STAINED_FRACTION = 0.35


@dataclass(frozen=True)
class Cells:
    """Where the nuclei are and what each pixel belongs to."""

    opacity: np.ndarray
    """H x W, 0 to 1: soft outlines of all nuclei."""
    strength: np.ndarray
    """H x W: brightness (or amount of stain) of the nucleus on top, 0 outside."""
    rim: np.ndarray
    """H x W: 1 on the outlines, 0 in the middle and outside."""
    mask: np.ndarray
    """H x W bool."""


def draw_nuclei(rng: np.random.Generator, shape: Shape, empty: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Draw a microscopy image and its mask, H x W x 3 and H x W uint8; without nuclei where `empty`."""
    stained = rng.random() < STAINED_FRACTION
    radius = min(shape) * rng.uniform(0.045, 0.095)
    cells = place_cells(rng, shape, radius, 0 if empty else None, spread=0.3 if stained else 0.55)
    scene = _stained(rng, shape, radius, cells) if stained else _fluorescent(rng, shape, radius, cells)
    grain = rng.uniform(0.008, 0.025) if stained else rng.uniform(0.006, 0.035)
    return photograph(rng, scene, rng.uniform(0.3, 0.9), grain), cells.mask.astype(np.uint8)


def place_cells(rng: np.random.Generator, shape: Shape, radius: float, count: int | None, spread: float) -> Cells:
    """Place nuclei in clusters so that neighbours touch but seldom overlap.

    Args:
        radius: mean radius in pixels.
        count: how many; None draws a number that fills 10 to 45 % of the image.
        spread: standard deviation of the logarithm of their strengths.
    """
    opacity, strength = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    rim, mask = np.zeros(shape, np.float32), np.zeros(shape, bool)
    if count is None:
        count = max(4, int(rng.uniform(0.1, 0.45) * shape[0] * shape[1] / (np.pi * radius**2)))
    elongation, irregularity = rng.uniform(1.05, 1.8), rng.uniform(0.02, 0.07)
    clusters = np.stack([rng.uniform(0, shape[0], 6), rng.uniform(0, shape[1], 6)], axis=1)
    looseness = min(shape) * rng.uniform(0.12, 0.5)
    placed: list[tuple[float, float, float]] = []
    for _ in range(6 * count):
        if len(placed) >= count:
            break
        own = radius * np.exp(rng.normal(0, 0.18))
        row, column = clusters[rng.integers(len(clusters))] + rng.normal(0, looseness, 2)
        if not (0 <= row < shape[0] and 0 <= column < shape[1]):
            continue
        if any(np.hypot(row - r, column - c) < 0.85 * (own + other) for r, c, other in placed):
            continue
        placed.append((row, column, own))
        # Only the window of the nucleus is drawn: 40 full images would take 20 times as long.
        margin = 2.2 * own + 2
        top, left = max(int(row - margin), 0), max(int(column - margin), 0)
        bottom, right = min(int(row + margin) + 1, shape[0]), min(int(column + margin) + 1, shape[1])
        window = np.s_[top:bottom, left:right]
        centre = (row - top, column - left)
        aspect = 1 + (elongation - 1) * rng.uniform(0.3, 1.3)
        distance = outline(rng, (bottom - top, right - left), centre, own, irregularity, 3, aspect)
        soft = soft_inside(distance, 0.6 / own)
        inside = distance < 1
        opacity[window] = np.maximum(opacity[window], soft)
        strength[window] = np.where(inside, np.exp(rng.normal(0, spread)), strength[window])
        rim[window] = np.where(inside, np.clip(distance, 0, 1) ** 6, rim[window])
        mask[window] |= inside
    return Cells(opacity, strength, rim, mask)


def _fluorescent(rng: np.random.Generator, shape: Shape, radius: float, cells: Cells) -> np.ndarray:
    """Bright nuclei of very different brightness on a dark, uneven background with glowing debris."""
    short = min(shape)
    level = rng.uniform(0.10, 0.5)
    haze = rng.uniform(0.02, 0.10) * (1 + 0.5 * noise(rng, shape, short * 0.5, 2))
    chromatin = 1 + np.float32(rng.uniform(0.05, 0.2)) * noise(rng, shape, radius * 0.5, 2)
    shade = blur(cells.strength, 0.8) * (1 + rng.uniform(-0.2, 0.3) * cells.rim) * chromatin
    signal = np.float32(level) * np.clip(shade, 0.25, 2.5) * cells.opacity
    # Nuclei far above or below the focal plane and their glow: as bright as faint nuclei, without an outline.
    ghosts = place_cells(rng, shape, 1.5 * radius, int(rng.integers(0, 6)), spread=0.3)
    glow = blur(ghosts.opacity, radius * rng.uniform(0.5, 0.9)) * rng.uniform(0.3, 0.9)
    scene = haze + signal + np.float32(level) * (glow * (1 - 0.6 * cells.opacity) + 0.15 * blur(signal, 2 * radius))
    for _ in range(rng.integers(0, 8)):  # specks of dust, brighter than any nucleus
        where = (shape[0] * rng.uniform(0, 1), shape[1] * rng.uniform(0, 1))
        speck = soft_inside(outline(rng, shape, where, rng.uniform(0.8, 2.2), 0.2), 0.35)
        scene = scene + np.float32(rng.uniform(0.3, 1.0)) * speck
    scene = np.clip(scene * vignette(rng, shape, rng.uniform(0.0, 0.5)), 0, 1)
    tint = np.array((1.0, 1.0, 1.0)) if rng.random() < 0.8 else np.array((0.25, 0.45, 1.0))
    return (scene[..., None] * tint).astype(np.float32)


def _stained(rng: np.random.Generator, shape: Shape, radius: float, cells: Cells) -> np.ndarray:
    """Violet nuclei in pink tissue with fibres, pale holes and violet smears that are no nuclei."""
    short = min(shape)
    tissue = vary(rng, (0.88, 0.66, 0.80), 0.06)
    fibres = noise(rng, shape, short * 0.12, 4)
    scene = tissue * (1 + 0.07 * fibres)[..., None]
    holes = np.clip((noise(rng, shape, short * 0.25, 3) - rng.uniform(0.6, 1.4)) * 4, 0, 1)
    paint(scene, 0.85 * holes, (0.94, 0.92, 0.94))
    violet = vary(rng, (0.42, 0.26, 0.60), 0.12)
    smear = blur(place_cells(rng, shape, 1.8 * radius, int(rng.integers(0, 5)), spread=0.2).opacity, radius * 0.8)
    paint(scene, np.float32(rng.uniform(0.3, 0.6)) * smear, tissue * (0.72, 0.62, 0.88))
    chromatin = noise(rng, shape, radius * 0.35, 2)
    amount = np.clip(0.72 * blur(cells.strength, 0.6) * (0.85 + 0.3 * cells.rim) + 0.1 * chromatin, 0.25, 1.0)
    paint(scene, amount * cells.opacity, violet)
    return scene * (np.float32(rng.uniform(0.8, 1.08)) * vignette(rng, shape, rng.uniform(0.0, 0.4)))[..., None]
