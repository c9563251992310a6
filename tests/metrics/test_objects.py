"""AP, PQ and AJI: against explicit loops over objects and thresholds, torchmetrics, and cases done by hand."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from scipy import ndimage
from torchmetrics.functional.detection import panoptic_quality as their_quality

from medseg.metrics import ImageScores, MaskPair
from medseg.metrics.objects import aggregated_jaccard, average_precision, overlaps_of, panoptic_quality

Objects = list[set[tuple[int, int]]]


def flood(mask: np.ndarray) -> Objects:
    """The regions of a mask, found by walking from pixel to pixel along edges."""
    left = set(map(tuple, np.argwhere(mask).tolist()))
    found = []
    while left:
        region, waiting = set(), [left.pop()]
        while waiting:
            row, column = waiting.pop()
            region.add((row, column))
            for near in ((row + 1, column), (row - 1, column), (row, column + 1), (row, column - 1)):
                if near in left:
                    left.remove(near)
                    waiting.append(near)
        found.append(region)
    return found


def numbered(instances: np.ndarray) -> Objects:
    return [set(map(tuple, np.argwhere(instances == n).tolist())) for n in np.unique(instances) if n]


def matched(predicted: Objects, true: Objects, threshold: float) -> Iterator[float]:
    for p in predicted:
        for t in true:
            iou = len(p & t) / len(p | t)
            if iou > threshold:
                yield iou


def ap_by_hand(predicted: Objects, true: Objects) -> float:
    values = []
    for percent in range(50, 100, 5):
        tp = len(list(matched(predicted, true, percent / 100)))
        values.append(tp / (len(predicted) + len(true) - tp))
    return sum(values) / 10


def pq_by_hand(predicted: Objects, true: Objects) -> float:
    ious = list(matched(predicted, true, 0.5))
    fp, fn = len(predicted) - len(ious), len(true) - len(ious)
    return sum(ious) / (len(ious) + fp / 2 + fn / 2)


def aji_by_hand(predicted: Objects, true: Objects) -> float:
    shared, either, used = 0, 0, set()
    for t in true:
        best = max(range(len(predicted)), key=lambda n: len(predicted[n] & t) / len(predicted[n] | t))
        if predicted[best] & t:
            shared += len(predicted[best] & t)
            either += len(predicted[best] | t)
            used.add(best)
        else:
            either += len(t)
    return shared / (either + sum(len(p) for n, p in enumerate(predicted) if n not in used))


def blobs(rng: np.random.Generator, smooth: float, level: float) -> np.ndarray:
    noise = ndimage.gaussian_filter(rng.random((32, 41)), smooth)
    return noise > np.quantile(noise, level)


@pytest.mark.parametrize("seed", range(16))
def test_against_loops_over_objects(seed: int) -> None:
    rng = np.random.default_rng(seed)
    smooth, level = [(0, 0.9), (1, 0.6), (2, 0.7), (3, 0.5)][seed % 4]
    truth = blobs(rng, smooth, level)
    # Of the same objects some are shifted, some joined, some gone, and some were never there.
    prediction = np.roll(truth, rng.integers(0, 2, 2), (0, 1)) ^ (blobs(rng, 2, 0.9) & (rng.random() < 0.8))
    pair = MaskPair(prediction, truth)
    objects = flood(prediction), flood(truth)
    assert average_precision(pair) == pytest.approx(ap_by_hand(*objects))
    assert panoptic_quality(pair) == pytest.approx(pq_by_hand(*objects))
    assert aggregated_jaccard(pair) == pytest.approx(aji_by_hand(*objects))


@pytest.mark.parametrize("seed", range(8))
def test_the_datasets_own_objects_touch(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth = blobs(rng, 2, 0.5)
    own = np.where(truth, (np.arange(41) // 9 + 10 * (np.arange(32)[:, None] // 7)) * 3 + 2, 0)
    prediction = np.roll(truth, 1, 1) & (np.arange(41) % 9 > 0)
    pair = MaskPair(prediction, truth, instances=own)
    objects = flood(prediction), numbered(own)
    assert average_precision(pair) == pytest.approx(ap_by_hand(*objects))
    assert panoptic_quality(pair) == pytest.approx(pq_by_hand(*objects))
    assert aggregated_jaccard(pair) == pytest.approx(aji_by_hand(*objects))


@pytest.mark.parametrize("seed", range(4))
def test_panoptic_quality_is_that_of_torchmetrics(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth = blobs(rng, 1.5, 0.6)
    prediction = np.roll(truth, 1, 0)
    pair = MaskPair(prediction, truth)
    # Category 0 is a thing, with an instance number; category 1 stuff, the background.
    both = [
        torch.from_numpy(np.stack([np.where(each > 0, 0, 1), each], axis=-1))[None]
        for each in (np.zeros(truth.shape, int) + each for each in (regions(prediction), regions(truth)))
    ]
    of_each = their_quality(*both, things={0}, stuffs={1}, return_per_class=True)
    assert panoptic_quality(pair) == pytest.approx(float(of_each[0, 0]))


def regions(mask: np.ndarray) -> np.ndarray:
    return ndimage.label(mask)[0]  # along edges, as here


def squares(*corners: tuple[int, int, int]) -> np.ndarray:
    """Numbered squares: row, column, side."""
    mask = np.zeros((20, 20), int)
    for number, (row, column, side) in enumerate(corners, start=1):
        mask[row : row + side, column : column + side] = number
    return mask


def test_by_hand() -> None:
    # One square is found as it is; one of 4 x 4 is found 4 x 3, IoU 0.75; one is missed; one is invented.
    truth = squares((0, 0, 3), (5, 5, 4), (12, 12, 2))
    prediction = squares((0, 0, 3), (5, 5, 4), (16, 2, 3)) > 0
    prediction[5:9, 8] = False
    pair = MaskPair(prediction, truth > 0, instances=truth)
    # Above 0.5 to 0.7, five thresholds, TP 2, FP 1, FN 1; from 0.75 on, five, TP 1, FP 2, FN 2.
    assert average_precision(pair) == pytest.approx((5 * 2 / 4 + 5 * 1 / 5) / 10)
    assert panoptic_quality(pair) == pytest.approx((1 + 0.75) / (2 + 1 / 2 + 1 / 2))
    assert aggregated_jaccard(pair) == pytest.approx((9 + 12) / (9 + 16 + 4 + 9))


def test_two_touching_objects_found_as_one() -> None:
    truth = squares((4, 4, 4))
    truth[4:8, 8:12] = 2
    pair = MaskPair(truth > 0, truth > 0, instances=truth)
    assert average_precision(pair) == 0  # IoU 0.5 with both is not above it
    assert panoptic_quality(pair) == 0
    assert aggregated_jaccard(pair) == pytest.approx((16 + 16) / (32 + 32))
    # Without objects of the dataset's own, the region is one object, and found.
    assert average_precision(MaskPair(truth > 0, truth > 0)) == 1


def test_corners_do_not_connect() -> None:
    mask = np.eye(4, dtype=bool)
    assert len(overlaps_of(MaskPair(mask, mask)).true) == 4


EMPTY, SOME = np.zeros((9, 9), bool), squares((2, 2, 3))[:9, :9] > 0


@pytest.mark.parametrize("score", [average_precision, panoptic_quality, aggregated_jaccard])
@pytest.mark.parametrize(
    ("prediction", "truth", "value"), [(EMPTY, EMPTY, 1), (SOME, EMPTY, 0), (EMPTY, SOME, 0), (SOME, SOME, 1)]
)
def test_empty_masks(score, prediction: np.ndarray, truth: np.ndarray, value: float) -> None:
    assert score(MaskPair(prediction, truth)) == value
    assert score(MaskPair(prediction, truth, instances=truth * 7)) == value


def test_each_class_has_its_own_objects_and_ignored_pixels_are_of_none() -> None:
    truth, prediction, instances = np.zeros((8, 16), int), np.zeros((8, 16), int), np.zeros((8, 16), int)
    for number, (column, label) in enumerate([(0, 1), (4, 2), (8, 1)], start=1):
        truth[2:5, column : column + 3] = label
        instances[2:5, column : column + 3] = number
    prediction[2:5, :3], prediction[2:5, 4:7] = 1, 1
    truth[:, 8:] = 255
    prediction[:, 9] = 2
    measured = ImageScores(["pq", "aji"]).measure(prediction, truth, 3, instances)
    # Class 1: its object is found, and one invented where class 2 is; the third is ignored.
    assert measured["pq"].tolist() == [pytest.approx(1 / 1.5), 0]
    assert measured["aji"].tolist() == [pytest.approx(9 / 18), 0]
