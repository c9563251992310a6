"""Calibration and temperature: cases by hand, and an independent implementation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torchmetrics.classification import BinaryCalibrationError

from medseg.data.labels import IGNORE_INDEX
from medseg.metrics.calibration import (
    BINS,
    Calibration,
    calibration_rows,
    fit_temperature,
    summarise_calibration,
    with_temperature,
)

NAMES = ("background", "polyp", "ulcer")


def two_classes(foreground: np.ndarray) -> np.ndarray:
    return np.stack([1 - foreground, foreground])


def softmax(logits: np.ndarray) -> np.ndarray:
    return np.exp(logits) / np.exp(logits).sum(axis=0)


def drawn(classes: int, pixels: int, sharpness: float = 1.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits, and labels that are drawn from the softmax of the logits: a network of temperature `sharpness`."""
    random = np.random.default_rng(seed)
    logits = random.normal(0, 2, (classes, pixels))
    labels = (random.random(pixels) > np.cumsum(softmax(logits), axis=0)).sum(axis=0)
    return logits * sharpness, labels.clip(max=classes - 1).astype(np.uint8)


def test_half_sure_and_right_half_of_the_time_is_calibrated() -> None:
    found = Calibration.of(two_classes(np.full((2, 2), 0.5)), np.array([[1, 1], [0, 0]]))
    assert found.ece == pytest.approx([0.0])
    assert found.brier == pytest.approx([0.25])
    assert found.bins[0, 7].tolist() == [4, 2.0, 2]
    assert found.bins.sum() == 8, "nothing in any other bin"


def test_sure_of_what_is_right_half_of_the_time_is_overconfident() -> None:
    found = Calibration.of(two_classes(np.full((2, 2), 0.9)), np.array([[1, 1], [0, 0]]))
    assert found.ece == pytest.approx([0.4])
    assert found.brier == pytest.approx([(2 * 0.01 + 2 * 0.81) / 4])


def test_certain_and_right_is_perfect() -> None:
    truth = np.array([[1, 0], [0, 1]])
    found = Calibration.of(two_classes(truth.astype(np.float32)), truth)
    assert found.scores == {"ece": [0.0], "brier": [0.0]}
    assert found.bins[0, 0, 0] == found.bins[0, -1, 0] == 2, "a probability of 1 is in the last bin"


def test_bins_of_one_class_can_cancel_in_an_image_that_has_both_errors() -> None:
    # 0.9 is right always, 0.3 never: the errors are 0.1 and 0.3, each of half of the pixels.
    found = Calibration.of(two_classes(np.array([[0.9, 0.9, 0.3, 0.3]])), np.array([[1, 1, 0, 0]]))
    assert found.ece == pytest.approx([(0.1 + 0.3) / 2])


def test_ignored_pixels_count_nowhere() -> None:
    probabilities, truth = two_classes(np.array([[0.9, 0.2, 0.6]])), np.array([[1, 0, IGNORE_INDEX]])
    found, without = Calibration.of(probabilities, truth), Calibration.of(probabilities[..., :2], truth[:, :2])
    np.testing.assert_array_equal(found.bins, without.bins)
    np.testing.assert_array_equal(found.squares, without.squares)
    empty = Calibration.of(probabilities, np.full((1, 3), IGNORE_INDEX))
    assert np.isnan(empty.ece).all()
    assert np.isnan(empty.brier).all()


def test_each_class_is_taken_against_the_rest() -> None:
    logits, labels = drawn(3, 4000)
    probabilities = softmax(logits).astype(np.float32)
    found = Calibration.of(probabilities[:, None], labels[None])
    for k in (1, 2):
        alone = Calibration.of(two_classes(probabilities[k])[:, None], (labels == k)[None].astype(int))
        assert found.ece[k - 1] == pytest.approx(alone.ece[0])
        assert found.brier[k - 1] == pytest.approx(np.mean((probabilities[k] - (labels == k)) ** 2), rel=1e-5)


@pytest.mark.parametrize("sharpness", [0.3, 1.0, 3.0])
def test_errors_agree_with_torchmetrics(sharpness: float) -> None:
    logits, labels = drawn(3, 20_000, sharpness)
    probabilities = softmax(logits).astype(np.float32).clip(max=1 - 1e-6)  # torchmetrics has a bin for 1 alone
    found = Calibration.of(probabilities.reshape(3, 100, 200), labels.reshape(100, 200))
    for k in (1, 2):
        reference = BinaryCalibrationError(n_bins=BINS, norm="l1")
        expected = reference(torch.from_numpy(probabilities[k]), torch.from_numpy((labels == k).astype(np.int64)))
        assert found.ece[k - 1] == pytest.approx(float(expected), abs=1e-6)


def test_images_add_up_to_all_pixels_together() -> None:
    logits, labels = drawn(3, 600)
    probabilities = softmax(logits)
    whole = Calibration.of(probabilities[:, None], labels[None])
    parts = Calibration.sum(
        [Calibration.of(probabilities[:, None, n : n + 200], labels[None, n : n + 200]) for n in (0, 200, 400)]
    )
    np.testing.assert_allclose(parts.bins, whole.bins)
    np.testing.assert_allclose(parts.brier, whole.brier)


@pytest.mark.parametrize("factor", [0.5, 1.0, 2.5])
@pytest.mark.parametrize("classes", [2, 4])
def test_the_temperature_of_logits_that_were_multiplied_is_the_factor(factor: float, classes: int) -> None:
    logits, labels = drawn(classes, 40_000, factor)
    found = fit_temperature(softmax(logits).astype(np.float32), labels)
    assert found is not None
    assert found.temperature == pytest.approx(factor, rel=0.03)
    assert found.nll_scaled <= found.nll + 1e-9
    brute = [
        -np.log(softmax(logits / t)[labels, np.arange(len(labels))]).mean()
        for t in (0.98, 1, 1.02) * np.array(found.temperature)
    ]
    assert brute[1] == pytest.approx(found.nll_scaled, abs=1e-5)
    assert brute[1] == min(brute), "neither a little more nor a little less is better"


def test_a_temperature_of_no_pixel_is_none_and_ignored_pixels_change_nothing() -> None:
    logits, labels = drawn(2, 500, 2.0)
    probabilities = softmax(logits)
    assert fit_temperature(probabilities, np.full(500, IGNORE_INDEX)) is None
    half = labels.copy()
    half[250:] = IGNORE_INDEX
    broken = probabilities.copy()
    broken[:, 250:] = np.nan
    assert fit_temperature(broken, labels) == fit_temperature(probabilities[:, :250], labels[:250])
    assert fit_temperature(probabilities, half) == fit_temperature(probabilities[:, :250], labels[:250])


def test_predictions_without_an_error_get_the_lowest_temperature() -> None:
    labels = np.array([0, 1, 1, 0], np.uint8)
    found = fit_temperature(two_classes(np.where(labels == 1, 0.9, 0.1)), labels)
    assert found is not None
    assert 0.05 <= found.temperature < 0.1


@pytest.mark.parametrize("temperature", [0.05, 0.7, 1.0, 3.0])
def test_a_temperature_divides_the_logits(temperature: float) -> None:
    logits, _ = drawn(3, 100)
    scaled = with_temperature(softmax(logits).astype(np.float32), temperature)
    assert scaled.dtype == np.float32
    np.testing.assert_allclose(scaled, softmax((logits - logits.max(axis=0)) / temperature), atol=1e-5)
    np.testing.assert_array_equal(scaled.argmax(axis=0), logits.argmax(axis=0))


def test_a_probability_of_0_stays_finite() -> None:
    sure = two_classes(np.array([0.0, 1.0], np.float32))
    assert np.isfinite(with_temperature(sure, 0.05)).all()
    found = fit_temperature(sure, np.array([1, 1], np.uint8))
    assert found is not None
    assert np.isfinite(found.nll)


def test_scaling_mends_what_is_overconfident() -> None:
    logits, labels = drawn(2, 20_000, 3.0)
    probabilities = softmax(logits)
    found = fit_temperature(probabilities, labels)
    assert found is not None
    plain = Calibration.of(probabilities[:, None], labels[None])
    scaled = Calibration.of(with_temperature(probabilities, found.temperature)[:, None], labels[None])
    assert scaled.ece[0] < 0.02 < plain.ece[0]
    assert scaled.brier[0] < plain.brier[0]


def test_the_summary_leaves_out_a_class_that_occurs_nowhere() -> None:
    probabilities = np.stack([np.full((1, 4), value) for value in (0.4, 0.5, 0.1)])
    plain = Calibration.of(probabilities, np.array([[1, 1, 0, 0]]))
    summary = summarise_calibration({1.0: plain}, NAMES, absent=["ulcer"])
    assert summary["ece"] == pytest.approx(0.0)
    assert summary["brier"] == pytest.approx(0.25)
    assert summary["classes"]["polyp"]["brier"] == pytest.approx(0.25)
    assert summary["classes"]["ulcer"] == dict.fromkeys(("ece", "ece_scaled", "brier", "brier_scaled"))
    assert summary["temperature"] is summary["ece_scaled"] is None
    both = summarise_calibration({1.0: plain, 2.0: plain}, NAMES, absent=[])
    assert both["ece_scaled"] == both["ece"] == pytest.approx(0.05)
    assert both["temperature"] == 2.0


def test_rows_hold_what_the_error_is_made_of() -> None:
    logits, labels = drawn(3, 900)
    plain = Calibration.of(softmax(logits)[:, None], labels[None])
    rows = calibration_rows({1.0: plain, 1.5: plain}, NAMES)
    assert len(rows) == 2 * 2 * BINS
    of = [row for row in rows if row["class"] == "ulcer" and row["temperature"] == 1.0]
    gaps = sum(row["pixels"] * abs(row["mean_probability"] - row["share_true"]) for row in of if row["pixels"])
    assert gaps / sum(row["pixels"] for row in of) == pytest.approx(plain.ece[1])
    assert all(row["low"] <= row["mean_probability"] <= row["high"] for row in of if row["pixels"])
