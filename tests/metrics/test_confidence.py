"""Confidence and error detection, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from medseg.metrics.confidence import rejection_curve, rejection_ratio, soft_dice_confidence


def test_confidence_is_the_dice_of_mask_and_probabilities() -> None:
    foreground = np.array([[0.9, 0.8], [0.3, 0.0]], np.float32)
    found = soft_dice_confidence(np.stack([1 - foreground, foreground]), foreground > 0.5)
    assert found == pytest.approx([2 * 1.7 / (2.0 + 2)])


def test_a_certain_prediction_has_confidence_1() -> None:
    mask = np.array([[0, 1], [2, 0]])
    assert soft_dice_confidence(np.stack([mask == k for k in range(3)]).astype(np.float32), mask) == pytest.approx(1.0)


def test_an_empty_prediction_is_as_certain_as_its_least_certain_pixel() -> None:
    foreground = np.array([[0.4, 0.1]], np.float32)
    found = soft_dice_confidence(np.stack([1 - foreground, foreground]), np.zeros((1, 2), int))
    assert found == pytest.approx([0.6])


def test_each_class_has_its_confidence() -> None:
    probabilities = np.array([[[0.1, 0.7]], [[0.8, 0.1]], [[0.1, 0.2]]])
    found = soft_dice_confidence(probabilities, probabilities.argmax(axis=0))
    assert found == pytest.approx([2 * 0.8 / (0.9 + 1), 1 - 0.2])


def test_the_curve_is_the_mean_score_of_the_most_certain() -> None:
    curve = rejection_curve([0.2, 0.9, 0.5], [0.3, 0.9, 0.6])
    assert curve == pytest.approx([0.9, 0.75, 0.6])
    assert rejection_curve([0.9, 0.1], [0.2, 0.8]) == pytest.approx([0.2, 0.5])


def test_images_of_one_confidence_are_in_no_order() -> None:
    assert rejection_curve([0.5, 0.5, 0.9], [0.0, 0.4, 1.0]) == pytest.approx([1.0, 0.6, 1.4 / 3])


def test_the_ratio_is_1_for_the_best_order_0_for_none_and_negative_for_a_wrong_one() -> None:
    scores = [0.2, 0.5, 0.7, 0.9]
    assert rejection_ratio([1, 2, 3, 4], scores) == pytest.approx(1.0)
    assert rejection_ratio([1, 1, 1, 1], scores) == pytest.approx(0.0)
    assert rejection_ratio([4, 3, 2, 1], scores) < -0.5
    assert np.isnan(rejection_ratio([1, 2], [0.5, 0.5]))


def test_a_random_order_gains_nothing_on_average() -> None:
    random = np.random.default_rng(0)
    scores = random.random(50)
    found = [rejection_ratio(random.permutation(50), scores) for _ in range(400)]
    assert abs(np.mean(found)) < 0.05
