"""The weight map of the U-Net paper, against values by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from medseg.data.datasets.base import connected_components
from medseg.data.prepared.border_weights import balance, border_weights, closeness, separate

EVEN = (1.0, 1.0)


def two_cells(gap: int, height: int = 9) -> tuple[np.ndarray, np.ndarray]:
    """Two cells of 6 columns with `gap` columns of background between them, and 4 columns around."""
    instances = np.zeros((height, 2 * 6 + gap + 8), np.int32)
    instances[:, 4:10] = 1
    instances[:, 10 + gap : 16 + gap] = 2
    return (instances > 0).astype(np.uint8), instances


def test_the_middle_of_a_known_gap() -> None:
    class_map, instances = two_cells(gap=3)
    weights, separated = border_weights(class_map, instances, (0.5, 3.0))
    assert weights.dtype == np.float32
    np.testing.assert_array_equal(separated, class_map)
    row = weights[4]
    # Columns 10, 11, 12 are the gap: 1 + 3, 2 + 2 and 3 + 1 pixels from the cells.
    for column in (10, 11, 12):
        assert row[column] == pytest.approx(0.5 + 10 * math.exp(-(4**2) / 50), rel=1e-6)
    assert row[4:10] == pytest.approx(3.0)
    # Left of the first cell: 1 pixel from it, and over it and the gap 10 from the other.
    assert row[3] == pytest.approx(0.5 + 10 * math.exp(-((1 + 10) ** 2) / 50), rel=1e-6)


def test_w0_and_sigma() -> None:
    class_map, instances = two_cells(gap=1)
    weights, _ = border_weights(class_map, instances, EVEN, w0=4, sigma=2)
    assert weights[0, 10] == pytest.approx(1 + 4 * math.exp(-(2**2) / 8), rel=1e-6)


def test_distances_are_straight_and_to_the_nearest_pixel_of_a_cell() -> None:
    instances = np.zeros((12, 12), np.int32)
    instances[0, 0], instances[11, 4], instances[11, 11] = 1, 2, 3
    near = closeness(instances, (instances > 0).astype(np.uint8), 5.0)
    distances = sorted((math.hypot(3, 4), math.hypot(8, 0), math.hypot(8, 7)))
    assert near[3, 4] == pytest.approx(math.exp(-((distances[0] + distances[1]) ** 2) / 50), rel=1e-5)
    assert near[0, 0] == near[11, 4] == 0, "cells are not weighed by it"


def test_the_same_as_distances_over_the_whole_map() -> None:
    rng = np.random.default_rng(0)
    instances = np.zeros((90, 70), np.int32)
    for number in range(1, 9):
        top, left = rng.integers(0, 80), rng.integers(0, 60)
        instances[top : top + rng.integers(1, 20), left : left + rng.integers(1, 20)] = number
    rows, columns = np.mgrid[:90, :70]
    distances = np.sort(
        [
            np.sqrt(((rows[..., None] - y) ** 2 + (columns[..., None] - x) ** 2).min(-1))
            for y, x in (np.nonzero(instances == number) for number in np.unique(instances)[1:])
        ],
        axis=0,
    )
    for sigma in (1.0, 5.0):
        expected = np.exp(-((distances[0] + distances[1]) ** 2) / (2 * sigma**2)) * (instances == 0)
        near = closeness(instances, (instances > 0).astype(np.uint8), sigma)
        np.testing.assert_allclose(near, expected, atol=1e-6)


@pytest.mark.parametrize("cells", [0, 1])
def test_without_a_second_cell_there_are_the_classes_alone(cells: int) -> None:
    class_map, instances = two_cells(gap=3)
    instances[instances > cells] = 0
    class_map[instances == 0] = 0
    weights, separated = border_weights(class_map, instances, (0.5, 3.0))
    np.testing.assert_array_equal(weights, np.where(class_map > 0, np.float32(3), np.float32(0.5)))
    np.testing.assert_array_equal(separated, class_map)


def test_touching_cells_get_a_border() -> None:
    class_map, instances = two_cells(gap=0)
    weights, separated = border_weights(class_map, instances, (0.5, 3.0))
    assert np.flatnonzero(separated[4] != class_map[4]).tolist() == [9, 10]
    # A pixel of one cell that lies 1 pixel from the other.
    assert weights[4, 9] == weights[4, 10] == pytest.approx(0.5 + 10 * math.exp(-1 / 50), rel=1e-6)
    assert weights[4, 8] == pytest.approx(3.0)


def test_cells_that_meet_at_a_corner_or_have_another_class_do_not_touch() -> None:
    instances = np.array([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 2, 2]], np.int32)
    class_map = (instances > 0).astype(np.uint8)
    np.testing.assert_array_equal(separate(class_map, instances), class_map)
    instances = np.array([[1, 1, 2, 2]], np.int32)
    np.testing.assert_array_equal(separate(instances.astype(np.uint8), instances), instances)
    assert separate(np.ones((1, 4), np.uint8), instances).tolist() == [[1, 0, 0, 1]]


def test_components_are_connected_by_edges_and_class_by_class() -> None:
    class_map = np.array([[1, 1, 0, 2], [0, 0, 1, 2], [1, 0, 1, 1]], np.uint8)
    instances = connected_components(class_map)
    assert instances.dtype == np.int32
    assert len(np.unique(instances)) == 5
    np.testing.assert_array_equal(instances > 0, class_map > 0)
    assert instances[1, 2] == instances[2, 3] != instances[0, 1]
    assert instances[0, 3] == instances[1, 3] != instances[1, 2]
    assert not connected_components(np.zeros((3, 3), np.uint8)).any()


def test_classes_are_balanced() -> None:
    weights = balance(np.array([60, 30, 10, 0]))
    assert weights.tolist() == pytest.approx([100 / 180, 100 / 90, 100 / 30, 0])
    assert (weights * [0.6, 0.3, 0.1, 0]).sum() == pytest.approx(1), "1 on average"
    assert balance(np.array([5, 0])).tolist() == [1, 0]
