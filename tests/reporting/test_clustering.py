"""How many independent images those in groups are worth."""

from __future__ import annotations

import math

import numpy as np
import pytest

from medseg.reporting.clustering import effective_number, intraclass_correlation


def test_six_videos_of_alike_frames_are_worth_eight_images() -> None:
    # As CVC-ClinicDB: 128 frames of 6 videos, intra-class correlation 0.735, about 8 independent images.
    rng = np.random.default_rng(5)
    groups = [f"video{n % 6}" for n in range(128)]
    result = []
    for _ in range(200):
        of_video = rng.normal(0, 0.735**0.5, 6)
        values = np.array([of_video[n % 6] for n in range(128)]) + rng.normal(0, 0.265**0.5, 128)
        result.append(effective_number(values, groups))
    assert np.median(result) == pytest.approx(8, abs=1)


def test_intraclass_correlation_by_hand() -> None:
    # Group means 2 and 6, all 4: between 2 x (4 + 4) / 1 = 16; within (1 + 1 + 1 + 1) / 2 = 2; (16 - 2) / (16 + 2).
    values, groups = [1.0, 3.0, 5.0, 7.0], ["a", "a", "b", "b"]
    assert intraclass_correlation(values, groups) == pytest.approx(14 / 18)
    assert effective_number(values, groups) == pytest.approx(4 / (1 + 14 / 18))
    assert effective_number([*values, np.nan], [*groups, "c"]) == pytest.approx(4 / (1 + 14 / 18))


def test_effective_number_of_extremes() -> None:
    values = np.random.default_rng(6).normal(0, 1, 12)
    assert effective_number(values, [str(n) for n in range(12)]) == 12
    assert effective_number(values, ["a"] * 12) == 1
    assert effective_number(np.repeat([1.0, 2.0, 3.0], 4), [str(n // 4) for n in range(12)]) == pytest.approx(3)
    assert effective_number(np.ones(12), [str(n // 4) for n in range(12)]) == 12
    assert math.isnan(intraclass_correlation(values, ["a"] * 12))
