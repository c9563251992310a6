"""Patches: which crop of an image is trained on."""

from __future__ import annotations

import numpy as np
import pytest

from medseg.data.loading.patches import Patches

RANDOM = np.random.default_rng(0)


def numbered(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """An image whose first two channels are the row and the column of each pixel, and a mask that goes with it."""
    rows, columns = np.mgrid[:height, :width].astype(np.uint8)
    return np.stack([rows, columns, RANDOM.integers(0, 256, rows.shape, np.uint8)], axis=-1), rows % 3


def test_a_patch_is_a_part_of_the_image_with_its_mask_and_comes_from_everywhere() -> None:
    image, mask = numbered(30, 40)
    patches, corners = Patches((8, 12), 0.0), set()
    for seed in range(2000):
        patch, labels = patches.cut(image, mask, seed)
        top, left = int(patch[0, 0, 0]), int(patch[0, 0, 1])
        assert np.array_equal(patch, image[top : top + 8, left : left + 12])
        assert np.array_equal(labels, mask[top : top + 8, left : left + 12])
        corners.add((top, left))
    assert {top for top, _ in corners} == set(range(23))
    assert {left for _, left in corners} == set(range(29))
    again = patches.cut(image, mask, 7)
    assert np.array_equal(again[0], patches.cut(image, mask, 7)[0])


def test_a_part_of_the_patches_is_around_foreground_of_any_class() -> None:
    image, mask = numbered(60, 60)
    mask = np.zeros_like(mask)
    mask[40:50, 5:25], mask[10, 50], mask[:, 30] = 1, 2, 255
    seen = [np.unique(Patches((9, 9), 1.0).cut(image, mask, seed)[1][4, 4]) for seed in range(400)]
    assert set(np.concatenate(seen).tolist()) == {1, 2}
    assert np.mean(np.concatenate(seen) == 2) == pytest.approx(0.5, abs=0.1)
    third = [Patches((9, 9), 1 / 3).cut(image, mask, seed)[1][4, 4] == 2 for seed in range(900)]
    assert np.mean(third) == pytest.approx(1 / 6, abs=0.05)
    _, empty = Patches((9, 9), 1.0).cut(image, np.zeros_like(mask), 0)
    assert empty.shape == (9, 9)


def test_a_patch_around_foreground_at_the_border_stays_within_the_image() -> None:
    image, mask = numbered(30, 30)
    mask = np.zeros_like(mask)
    mask[0, 29] = 1
    patch, labels = Patches((8, 8), 1.0).cut(image, mask, 0)
    assert patch[0, -1, :2].tolist() == [0, 29]
    assert labels[0, -1] == 1


def test_an_image_smaller_than_a_patch_is_mirrored() -> None:
    image, mask = numbered(3, 40)
    patch, labels = Patches((7, 8), 0.0).cut(image, mask, 3)
    assert patch[:, 0, 0].tolist() == [0, 1, 2, 1, 0, 1, 2]
    assert labels[:, 0].tolist() == [0, 1, 2, 1, 0, 1, 2]
    assert np.array_equal(patch[:3, :, 1], np.tile(patch[0, :, 1], (3, 1)))
