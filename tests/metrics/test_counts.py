"""Pixel counts: hand-counted cases, ignored pixels, wrong labels, arrays and tensors, any batch."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from medseg.errors import DataError
from medseg.metrics import count_pixels

TARGET = np.array([[[0, 0, 1, 1], [2, 2, 1, 255]], [[0, 0, 0, 0], [0, 0, 0, 0]]])
PRED = np.array([[[0, 1, 1, 2], [2, 0, 1, 1]], [[0, 0, 0, 0], [0, 0, 0, 2]]])
# tp, fp, fn, tn of classes 0, 1, 2, counted by hand; the ignored pixel, predicted as 1, is nowhere.
EXPECTED = np.array([[[1, 1, 1, 4], [2, 1, 1, 3], [1, 1, 1, 4]], [[7, 0, 1, 0], [0, 0, 0, 8], [0, 1, 0, 7]]])


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.int64])
def test_counts_of_arrays(dtype: type) -> None:
    counts = count_pixels(PRED.astype(dtype), TARGET.astype(dtype), 3)
    assert isinstance(counts, np.ndarray)
    assert counts.dtype == np.int64
    np.testing.assert_array_equal(counts, EXPECTED)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64])
def test_counts_of_tensors(dtype: torch.dtype) -> None:
    counts = count_pixels(torch.from_numpy(PRED).to(dtype), torch.from_numpy(TARGET).to(dtype), 3)
    assert isinstance(counts, torch.Tensor)
    assert counts.dtype == torch.int64
    np.testing.assert_array_equal(counts.numpy(), EXPECTED)


def test_counts_do_not_depend_on_the_batch() -> None:
    rng = np.random.default_rng(0)
    pred, target = rng.integers(0, 4, (2, 7, 9, 11))
    together = count_pixels(pred, target, 4)
    for size in (1, 2, 5):
        parts = [count_pixels(pred[n : n + size], target[n : n + size], 4) for n in range(0, 7, size)]
        np.testing.assert_array_equal(np.concatenate(parts), together)
    assert (together.sum(-1) == 9 * 11).all()


def test_another_ignored_label_and_all_ignored() -> None:
    target = np.full((1, 2, 3), 9)
    assert count_pixels(np.ones((1, 2, 3), int), target, 2, ignore_index=9).tolist() == [[[0] * 4, [0] * 4]]
    assert count_pixels(torch.ones(1, 2, 3).long(), torch.full((1, 2, 3), 255), 2).tolist() == [[[0] * 4, [0] * 4]]


@pytest.mark.parametrize("wrap", [np.asarray, torch.as_tensor])
def test_a_label_that_is_no_class_is_refused(wrap: type) -> None:
    good, high, low = np.zeros((1, 2, 2), int), np.array([[[0, 0], [0, 2]]]), np.array([[[0, -1], [0, 0]]])
    with pytest.raises(DataError, match="the mask holds label 2, but there are 2 classes"):
        count_pixels(wrap(good), wrap(high), 2)
    with pytest.raises(DataError, match="the prediction holds label -1"):
        count_pixels(wrap(low), wrap(good), 2)
