"""The statistics of a split that lacks a class, or that has it in one image."""

from __future__ import annotations

import numpy as np
import pytest

from medseg.metrics import MEASURES, count_pixels
from medseg.metrics.measures import mean_over_classes
from medseg.metrics.summary import scores_of
from medseg.reporting.samples import Sample


def sample_of(predictions: np.ndarray, truths: np.ndarray, classes: int) -> Sample:
    """What one seed measured on class maps, N x H x W."""
    counts = count_pixels(predictions, truths, classes)
    scores = {name: mean_over_classes(values)[None] for name, values in scores_of(counts, {}).items()}
    ids = tuple(f"image {n}" for n in range(len(truths)))
    return Sample((0,), ids, scores, counts[None, :, 1:], counts[None, :, 0])


def maps(*labels: int) -> np.ndarray:
    """Class maps of 4 x 4, each with two rows of a label and background below."""
    result = np.zeros((len(labels), 4, 4), np.uint8)
    for n, label in enumerate(labels):
        result[n, :2] = label
    return result


CONVENTIONS = [measure.name for measure in MEASURES.of_splits]


@pytest.mark.parametrize("name", ["dice", *CONVENTIONS])
def test_a_class_that_occurs_nowhere_changes_nothing(name: str) -> None:
    rng = np.random.default_rng(0)
    predictions, truths = rng.integers(0, 2, (2, 5, 4, 4))
    two, four = (sample_of(predictions, truths, classes) for classes in (2, 4))
    measure = MEASURES[name]
    np.testing.assert_allclose(four.values(measure), two.values(measure))
    np.testing.assert_allclose(four.pseudo_values(measure), two.pseudo_values(measure))
    assert np.isfinite(four.pseudo_values(measure)).all()


@pytest.mark.parametrize("name", ["dice", *CONVENTIONS])
def test_the_only_image_with_a_class_can_be_left_out(name: str) -> None:
    sample = sample_of(maps(1, 0, 0), maps(1, 0, 0), 2)
    assert np.isfinite(sample.pseudo_values(MEASURES[name])).all()


def test_no_class_at_all_is_no_score() -> None:
    sample = sample_of(maps(0, 0), maps(0, 0), 2)
    for name in ("dice", "pooled_dice", "pooled_iou"):
        assert np.isnan(sample.values(MEASURES[name])).all()
        assert np.isnan(sample.pseudo_values(MEASURES[name])).all()
    assert sample.values(MEASURES["mean_dice_with_background"]) == [1]


def test_a_class_that_only_the_prediction_has_lowers_every_mean() -> None:
    truths = maps(1, 1, 1)
    right, wrong = truths.copy(), truths.copy()
    wrong[0, 3] = 2
    for name in ("dice", *CONVENTIONS):
        before, after = (sample_of(each, truths, 3).values(MEASURES[name])[0] for each in (right, wrong))
        assert after < before == 1, name
