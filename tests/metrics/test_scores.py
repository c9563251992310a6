"""Scores: every cell of the empty-mask policy, hand-computed values, what is averaged over what."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from medseg.metrics import count_pixels, headline, per_image_rows, summarise
from medseg.metrics.measures import MEASURES
from medseg.metrics.scores import accuracy, dice, iou, pool
from tests.metrics.measured import surface_distances

SIZE = 64
DIAGONAL = SIZE * 2**0.5


def square(top: int, left: int, side: int) -> np.ndarray:
    mask = np.zeros((SIZE, SIZE), int)
    mask[top : top + side, left : left + side] = 1
    return mask


EMPTY, OBJECT, SHIFTED = np.zeros((SIZE, SIZE), int), square(20, 20, 20), square(20, 22, 20)
NAN = float("nan")

# prediction, truth -> dice, iou, precision, recall, hd95, assd. The shift by 2 of 20 pixels: tp = 360, fp = fn = 40.
POLICY = {
    "both empty": (EMPTY, EMPTY, 1, 1, 1, 1, NAN, NAN),
    "truth empty": (OBJECT, EMPTY, 0, 0, 0, 0, DIAGONAL, DIAGONAL),
    "prediction empty": (EMPTY, OBJECT, 0, 0, 0, 0, DIAGONAL, DIAGONAL),
    "disjoint": (square(0, 0, 5), square(50, 50, 5), 0, 0, 0, 0, None, None),
    "shifted": (SHIFTED, OBJECT, 0.9, 360 / 440, 0.9, 0.9, 2.0, None),
    "equal": (OBJECT, OBJECT, 1, 1, 1, 1, 0, 0),
}


@pytest.mark.parametrize("case", POLICY)
def test_policy(case: str) -> None:
    pred, truth, *expected = POLICY[case]
    counts = count_pixels(pred[None], truth[None], 2)
    distances = surface_distances(pred, truth, 2)
    for name, value in zip(("dice", "iou", "precision", "recall"), expected[:4], strict=True):
        assert MEASURES.of_counts[name](counts)[0, 1] == pytest.approx(value), name
    for measured, value in zip(distances[0], expected[4:], strict=True):
        assert value is None or measured == pytest.approx(value, nan_ok=True)


def test_the_shift_that_all_tools_agree_on() -> None:
    # A 10-pixel-wide object shifted by 2: Dice .8, IoU .667, HD95 2 (facts about libraries, section 4).
    pred, truth = square(20, 22, 10), square(20, 20, 10)
    counts = count_pixels(pred[None], truth[None], 2)
    assert dice(counts)[0, 1] == pytest.approx(0.8)
    assert iou(counts)[0, 1] == pytest.approx(2 / 3)
    hd95, assd = surface_distances(pred, truth, 2)[0]
    assert hd95 == 2
    # By hand, of the 36 border pixels of each: the far side (10) is 2 off; of the near side without its corners (8),
    # which lies inside the other, the outer 2 are 1 off the other's top or bottom row and 6 are 2 off; in the top and
    # bottom rows one pixel each is 1 past the other's corner; all else coincides.
    far_side, near_side, overhang = 10 * 2, 2 * 1 + 6 * 2, 2 * 1
    assert assd == pytest.approx((far_side + near_side + overhang) / 36)
    assert assd == pytest.approx(1.0)


def test_specificity() -> None:
    assert MEASURES.of_counts["specificity"]([3, 1, 2, 9]) == pytest.approx(0.9)
    assert MEASURES.of_counts["specificity"]([5, 0, 5, 0]) == 1  # no pixel outside the class


def test_an_ignored_image_is_two_empty_masks() -> None:
    counts = count_pixels(np.ones((1, 2, 2), int), np.full((1, 2, 2), 255), 2)
    assert [float(score(counts)[0, 1]) for score in MEASURES.of_counts.values()] == [1] * 5
    assert np.isnan(surface_distances(np.ones((2, 2), int), np.full((2, 2), 255), 2)).all()


# Three images, three classes; tp, fp, fn, tn. The third has no class 1 and 2, but 2 is found.
COUNTS = np.array(
    [
        [[60, 5, 5, 30], [20, 5, 5, 70], [10, 0, 0, 90]],
        [[90, 0, 4, 6], [4, 4, 0, 92], [2, 0, 0, 98]],
        [[95, 0, 5, 0], [0, 0, 0, 100], [0, 5, 0, 95]],
    ]
)


def test_headline_is_the_mean_over_images_of_the_mean_over_foreground_classes() -> None:
    per_image = [(0.8 + 1.0) / 2, (8 / 12 + 1.0) / 2, (1.0 + 0.0) / 2]
    assert headline(COUNTS)["dice"] == pytest.approx(np.mean(per_image))
    per_image = [(20 / 30 + 1) / 2, (4 / 8 + 1) / 2, (1 + 0) / 2]
    assert headline(COUNTS)["iou"] == pytest.approx(np.mean(per_image))
    assert set(headline(COUNTS)) == set(MEASURES.of_counts)


def test_pooled_conventions() -> None:
    # Summed over the images: class 0 245, 5, 14, 36; class 1 24, 9, 5, 262; class 2 12, 5, 0, 283.
    assert pool(COUNTS).tolist() == [[245, 5, 14, 36], [24, 9, 5, 262], [12, 5, 0, 283]]
    assert MEASURES["mean_iou_with_background"].function(pool(COUNTS)) == pytest.approx(
        (245 / 264 + 24 / 38 + 12 / 17) / 3
    )
    assert accuracy(pool(COUNTS)) == pytest.approx(281 / 300)
    conventions = summarise(COUNTS, {}, ["background", "a", "b"])["conventions"]
    assert conventions["pooled_dice"] == pytest.approx((48 / 62 + 24 / 29) / 2)
    assert conventions["pooled_iou"] == pytest.approx((24 / 38 + 12 / 17) / 2)
    assert conventions["pooled_recall"] == pytest.approx((245 / 259 + 24 / 29 + 1) / 3)


def named(distances: np.ndarray) -> dict[str, np.ndarray]:
    """HD95 and ASSD of images and classes, N x C x 2, by their names."""
    return {"hd95": distances[..., 0], "assd": distances[..., 1]}


def test_summary() -> None:
    distances = np.array([[[2.0, 1.0], [4.0, 3.0]], [[8.0, 5.0], [0.0, 0.0]], [[NAN, NAN], [10.0, 10.0]]])
    summary = summarise(COUNTS, named(distances), ["background", "a", "b"])
    json.dumps(summary, allow_nan=False)
    assert summary["images"] == 3
    assert summary["headline"]["dice"]["mean"] == pytest.approx(headline(COUNTS)["dice"])
    assert summary["headline"]["dice"]["sd"] == pytest.approx(np.std([0.9, 5 / 6, 0.5], ddof=1))
    # Image 3 has class b alone: its mean is over that one.
    assert summary["headline"]["hd95"]["mean"] == pytest.approx((3 + 4 + 10) / 3)
    assert summary["classes"]["a"]["hd95"]["mean"] == pytest.approx(5)
    assert summary["classes"]["b"]["assd"]["mean"] == pytest.approx(13 / 3)
    assert summary["distances"] == {"left_out": 1, "set_to_diagonal": 1, "images_left_out": 0}


def test_rows() -> None:
    distances = np.full((3, 2, 2), NAN)
    distances[0, 1] = [4.0, 3.0]
    rows = per_image_rows(["x", "y", "z"], COUNTS, named(distances), ["background", "a", "b"])
    assert [(row["id"], row["class"]) for row in rows] == [(i, c) for i in "xyz" for c in "ab"]
    assert rows[1] == {
        "id": "x", "class": "b", "tp": 10, "fp": 0, "fn": 0, "tn": 90, "background_tp": 60, "dice": 1.0, "iou": 1.0,
        "precision": 1.0, "recall": 1.0, "specificity": 1.0, "hd95": 4.0, "assd": 3.0,
    }  # fmt: skip
    assert rows[5]["dice"] == 0
    assert rows[5]["hd95"] is None
    assert "hd95" not in per_image_rows(["x", "y", "z"], COUNTS, {}, ["background", "a", "b"])[0]


def test_scores_need_no_torch() -> None:
    # The report reads run folders on machines where torch need not be imported.
    code = "import sys, medseg.metrics; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
