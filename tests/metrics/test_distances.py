"""Surface distances: against all pairs of border pixels, and cases done by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial.distance import cdist

from medseg.metrics import MaskPair
from medseg.metrics.distances import hd95
from tests.metrics.measured import surface_distances


def border_points(mask: np.ndarray) -> np.ndarray:
    """Pixels of a mask with a 4-neighbour outside it, found by looking at each."""
    padded = np.pad(mask, 1)
    points = np.argwhere(padded)
    return np.array(
        [p - 1 for p in points if not all(padded[tuple(p + d)] for d in [(0, 1), (1, 0), (0, -1), (-1, 0)])]
    )


def brute_force(pred: np.ndarray, target: np.ndarray) -> tuple[float, float, float]:
    """HD95, pooled HD95, ASSD from the distances between all pairs of border pixels."""
    pairs = cdist(border_points(pred), border_points(target))
    there, back = pairs.min(1), pairs.min(0)
    both = np.concatenate([there, back])
    return max(np.percentile(there, 95), np.percentile(back, 95)), np.percentile(both, 95), both.mean()


def random_mask(rng: np.random.Generator, smooth: float, level: float) -> np.ndarray:
    noise = ndimage.gaussian_filter(rng.random((40, 53)), smooth)
    return noise > np.quantile(noise, level)


@pytest.mark.parametrize("seed", range(12))
def test_against_all_pairs(seed: int) -> None:
    rng = np.random.default_rng(seed)
    # Speckle and blobs, sparse and dense, touching the border of the image.
    smooth, level = [(0, 0.98), (0, 0.3), (2, 0.7), (4, 0.9)][seed % 4]
    pred, target = random_mask(rng, smooth, level), random_mask(rng, smooth, level)
    directed, pooled, assd = brute_force(pred, target)
    np.testing.assert_allclose(surface_distances(pred.astype(int), target.astype(int), 2), [[directed, assd]])
    assert hd95(MaskPair(pred, target), pooled=True) == pytest.approx(pooled)


def test_each_class_is_measured_by_itself() -> None:
    rng = np.random.default_rng(1)
    pred, target = rng.integers(0, 3, (2, 20, 20))
    both = surface_distances(pred, target, 4)
    assert both.shape == (3, 2)
    for c in (1, 2):
        directed, _, assd = brute_force(pred == c, target == c)
        np.testing.assert_allclose(both[c - 1], [directed, assd])
    assert np.isnan(both[2]).all()


def test_ignored_pixels_belong_to_no_mask() -> None:
    pred, target = np.zeros((10, 30), int), np.zeros((10, 30), int)
    pred[2:5, 2:5] = target[2:5, 2:5] = 1
    pred[5:8, 20:25] = 1
    target[:, 15:] = 255
    assert surface_distances(pred, target, 2).tolist() == [[0, 0]]


def test_the_image_border_is_a_border() -> None:
    # A full image and one without its last column: all their borders but that column's coincide or touch.
    pred, target = np.ones((5, 6), int), np.ones((5, 6), int)
    target[:, 5] = 0
    measured = surface_distances(pred, target, 2)[0]
    expected = brute_force(pred.astype(bool), target.astype(bool))
    assert tuple(measured) == pytest.approx((expected[0], expected[2]))
    assert measured[0] == 1


def test_diagonal_is_that_of_the_image() -> None:
    target = np.zeros((30, 40), int)
    target[3, 4] = 1
    assert surface_distances(np.zeros_like(target), target, 2).tolist() == [[50, 50]]


def test_directed_and_pooled_percentiles_differ_with_stray_pixels() -> None:
    pred, target = np.zeros((64, 64), int), np.zeros((64, 64), int)
    pred[10:20, 10:20] = target[10:20, 10:20] = 1
    pred[60, 40:43] = 1
    # 3 of the 39 border pixels of the prediction are far off, more than 5 % of one direction, less of both (75).
    pair = MaskPair(pred == 1, target == 1)
    assert hd95(pair) > 40
    assert hd95(pair, pooled=True) == 0
