"""A class that the truth of a split does not have: no score, no part of a mean; wrong where it is predicted."""

from __future__ import annotations

import json

import numpy as np
import pytest

from medseg.metrics import count_pixels, headline, per_image_rows, summarise
from medseg.metrics.measures import MEASURES
from tests.metrics.measured import surface_distances

SIZE = 8
NAMES = ("background", "a", "b")


def image(*labels: int) -> np.ndarray:
    """A class map with a row of each label, background below."""
    mask = np.zeros((SIZE, SIZE), np.uint8)
    for row, label in enumerate(labels):
        mask[row] = label
    return mask


def counts_of(*pairs: tuple[np.ndarray, np.ndarray], classes: int = 3) -> np.ndarray:
    """Counts of pairs of prediction and truth."""
    predictions, truths = (np.stack(each) for each in zip(*pairs, strict=True))
    return count_pixels(predictions, truths, classes)


def summary_of(counts: np.ndarray) -> dict:
    summary = summarise(counts, {}, NAMES[: counts.shape[1]])
    json.dumps(summary, allow_nan=False)
    return summary


def test_a_class_that_occurs_nowhere_is_in_no_mean() -> None:
    # Class a: 1 of 2 rows is found in the first image (Dice 2/3), all in the second. Class b is nowhere.
    counts = counts_of((image(1, 0), image(1, 1)), (image(1), image(1)))
    assert headline(counts)["dice"] == pytest.approx((2 / 3 + 1) / 2)
    summary = summary_of(counts)
    assert summary["absent"] == ["b"]
    assert summary["headline"]["dice"]["mean"] == pytest.approx((2 / 3 + 1) / 2)
    assert {name: of["mean"] for name, of in summary["classes"]["b"].items()} == dict.fromkeys(MEASURES.of_counts)
    rows = per_image_rows(["x", "y"], counts, {}, NAMES)
    assert [row["dice"] for row in rows] == [pytest.approx(2 / 3), None, 1, None]
    # The same numbers as if there had never been a class b, in every convention.
    without = summary_of(counts[:, :2])
    assert summary["conventions"] == pytest.approx(without["conventions"])
    assert summary["headline"] == without["headline"]


def test_a_class_that_only_the_prediction_has_is_wrong_there_and_nothing_elsewhere() -> None:
    counts = counts_of((image(1, 2), image(1)), (image(1), image(1)))
    rows = per_image_rows(["x", "y"], counts, {}, NAMES)
    assert [row["dice"] for row in rows] == [1, 0, 1, None]
    assert [row["precision"] for row in rows] == [1, 0, 1, None]
    # The second image has no b to be right about: without the rule it would count 1, and so reward the mistake.
    assert headline(counts)["dice"] == pytest.approx((0.5 + 1) / 2)
    summary = summary_of(counts)
    assert summary["absent"] == []
    assert summary["headline"]["dice"]["mean"] == pytest.approx(0.75)
    assert summary["classes"]["b"]["dice"] == {"mean": 0, "sd": 0}
    assert summary["conventions"]["pooled_dice"] == pytest.approx((1 + 0) / 2)


def test_a_class_of_the_split_that_an_image_lacks_counts_as_found_there() -> None:
    counts = counts_of((image(1, 2), image(1, 2)), (image(1), image(1)))
    assert headline(counts)["dice"] == 1
    assert [row["dice"] for row in per_image_rows(["x", "y"], counts, {}, NAMES)] == [1, 1, 1, 1]


def test_nothing_to_find_and_nothing_found_has_no_score() -> None:
    counts = counts_of((image(), image()), classes=2)
    assert all(np.isnan(value) for value in headline(counts).values())
    assert set(headline(counts)) == set(MEASURES.of_counts)
    distances = surface_distances(image(), image(), 2)[None]
    summary = summarise(counts, {"hd95": distances[..., 0], "assd": distances[..., 1]}, ["background", "polyp"])
    json.dumps(summary, allow_nan=False)
    assert summary["images"] == 1
    assert {of["mean"] for of in summary["headline"].values()} == {None}
    assert summary["conventions"]["pooled_dice"] is None
    assert summary["conventions"]["mean_dice_with_background"] == 1
    assert summary["conventions"]["accuracy"] == 1
    assert summary["absent"] == ["polyp"]
    assert summary["distances"] == {"left_out": 0, "set_to_diagonal": 0, "images_left_out": 1}


def test_mean_dice_with_background_is_over_the_classes_that_occur() -> None:
    counts = counts_of((image(1, 0), image(1, 1)), (image(1), image(1)))
    # Pooled: a has tp 16, fn 8; the background tp 104, fp 8.
    expected = (2 * 104 / (2 * 104 + 8) + 2 * 16 / (2 * 16 + 8)) / 2
    assert summary_of(counts)["conventions"]["mean_dice_with_background"] == pytest.approx(expected)
    measure = MEASURES.choose(None, "mean_dice_with_background")
    assert (measure.name, measure.score, measure.title) == (
        "mean_dice_with_background",
        "dice",
        "mean Dice with background",
    )


def test_headline_is_that_of_the_summary() -> None:
    rng = np.random.default_rng(3)
    for _ in range(30):
        labels = rng.integers(1, 5)
        predictions, truths = rng.integers(0, labels, (2, rng.integers(1, 4), 3, 4))
        counts = count_pixels(predictions, truths, 5)
        summary = summarise(counts, {}, ["background", *"abcd"])
        means = {name: summary["headline"][name]["mean"] for name in MEASURES.of_counts}
        expected = {name: None if np.isnan(value) else value for name, value in headline(counts).items()}
        assert means == pytest.approx(expected)
