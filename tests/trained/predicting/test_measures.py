from __future__ import annotations

import cv2
import numpy as np
import pytest

from medseg.trained.predicting.measures import Regions


@pytest.mark.parametrize("rows", [1, 2, 7, 64])
@pytest.mark.parametrize("density", [0.05, 0.3, 0.5])
def test_strips_are_measured_as_the_whole(rows: int, density: float) -> None:
    rng = np.random.default_rng(0)
    mask = np.where(rng.random((64, 50)) < density, rng.integers(1, 3, (64, 50)), 0).astype(np.uint8)
    mask[20:40] = (
        cv2.resize(mask[20:40], None, fx=0.2, fy=0.2, interpolation=cv2.INTER_NEAREST).repeat(5, 0).repeat(5, 1)
    )
    confidence = rng.random((64, 50)).astype(np.float32)
    regions = Regions(4)
    for top in range(0, 64, rows):
        regions.add(mask[top : top + rows], confidence[top : top + rows])
    for label, region in enumerate(regions.measured(), start=1):
        inside = mask == label
        assert region.area == inside.sum()
        assert region.components == cv2.connectedComponents(inside.astype(np.uint8), connectivity=8)[0] - 1
        if label == 3:
            assert (region.components, region.confidence) == (0, None)
        else:
            assert region.confidence == pytest.approx(confidence[inside].mean(), rel=1e-5)


def test_parts_that_meet_below_are_one() -> None:
    u = np.array([[1, 0, 1], [1, 0, 1], [1, 1, 1], [0, 0, 0], [0, 1, 0]], np.uint8)
    regions = Regions(2)
    for row in u:
        regions.add(row[None], np.ones((1, 3), np.float32))
    (region,) = regions.measured()
    assert (region.area, region.components) == (8, 2)
