from __future__ import annotations

import re

import cv2
import numpy as np
import pytest

from medseg.data.labels import IGNORE_INDEX
from medseg.inspecting.pictures import figure
from medseg.inspecting.samples import LONGEST_SIDE, TOLERANCE, outlines, shrunk, spread


@pytest.mark.parametrize("count", [1, 2, 5, 24, 99, 100])
def test_samples_are_spread_over_all_positions(count: int) -> None:
    chosen = spread(range(100), count)
    assert len(set(chosen)) == count
    assert chosen == sorted(chosen)
    if count == 1:
        assert chosen == [50]
        return
    assert (chosen[0], chosen[-1]) == (0, 99)
    assert np.ptp(np.diff(chosen)) <= 1


def test_few_positions_are_all_chosen() -> None:
    assert spread(np.array([4, 7]), 6) == [4, 7]
    assert spread([], 6) == []


def polygons(path: str) -> list[np.ndarray]:
    """Read a path back: a list of P x 2 (x, y)."""
    found = []
    for x, y, steps in re.findall(r"M(\d+)\.5 (\d+)\.5(?:l([-\d ]+)|h0)z", path):
        moves = np.array(steps.split(), dtype=int).reshape(-1, 2)
        found.append(np.cumsum(np.concatenate([[[int(x), int(y)]], moves]), axis=0).astype(np.int32))
    return found


def test_outlines_enclose_each_class() -> None:
    mask = np.zeros((80, 120), np.uint8)
    cv2.circle(mask, (40, 40), 25, 1, -1)
    cv2.circle(mask, (40, 40), 10, 2, -1)
    cv2.rectangle(mask, (90, 5), (110, 30), 2, -1)
    mask[70, 100] = 1
    mask[:, :3] = IGNORE_INDEX
    paths = outlines(mask)
    assert list(paths) == [1, 2, IGNORE_INDEX]
    for label, path in paths.items():
        drawn = np.zeros_like(mask)
        # Even-odd: what lies inside of two is outside.
        cv2.fillPoly(drawn, polygons(path), 1)
        wrong = (drawn == 1) != (mask == label)
        border = cv2.dilate((mask == label).astype(np.uint8), np.ones((3, 3))) - cv2.erode(
            (mask == label).astype(np.uint8), np.ones((3, 3)), borderValue=0
        )
        assert not np.any(wrong & (border == 0)), f"class {label}: wrong beyond {TOLERANCE} pixels of its border"
    assert len(polygons(paths[1])) == 3, "the disc, its hole and the single pixel"
    assert outlines(np.zeros((4, 4), np.uint8)) == {}


def test_large_images_are_shrunk_with_their_masks() -> None:
    image, mask = np.zeros((1000, 400, 1), np.uint8), np.ones((1000, 400), np.uint8)
    small, labels = shrunk(image, mask)
    assert small.shape == labels.shape == (LONGEST_SIDE, 128)
    same = np.zeros((10, 20, 3), np.uint8)
    assert shrunk(same, same[..., 0])[0] is same
    wide, _ = shrunk(np.zeros((1000, 400, 5), np.uint8), mask)
    assert wide.shape == (LONGEST_SIDE, 128, 3)


def test_a_figure_keeps_markup_out() -> None:
    image = np.zeros((8, 8, 3), np.uint8)
    shown = figure(image, image[..., 0], "caption", '<script>"x"')
    assert "<script>" not in shown
    assert 'alt="&lt;script&gt;&quot;x&quot;"' in shown
    assert "<svg" not in shown, "no outline without foreground"
