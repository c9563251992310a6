"""Wilcoxon's test against scipy and against all signs, counted."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from medseg.reporting.signed_ranks import average_ties, wilcoxon_each

Array = np.ndarray


def wilcoxon(difference: Array) -> tuple[float, float]:
    return wilcoxon_each([difference])[0]


def by_enumeration(difference: Array) -> float:
    """Exact two-sided p: the share of all signs whose rank sum is as far from the middle."""
    ranks = stats.rankdata(np.abs(difference))
    middle = ranks.sum() / 2
    seen = abs(ranks[difference > 0].sum() - middle)
    sums = [
        sum(r for r, up in zip(ranks, signs, strict=True) if up)
        for signs in itertools.product((0, 1), repeat=len(ranks))
    ]
    return float(np.mean([abs(total - middle) >= seen - 1e-9 for total in sums]))


@pytest.mark.parametrize("images", [4, 7, 10])
@pytest.mark.parametrize("seed", range(5))
def test_wilcoxon_is_exact_for_few_images(images: int, seed: int) -> None:
    difference = np.random.default_rng(seed).normal(0.3, 1, images)
    assert wilcoxon(difference)[0] == pytest.approx(by_enumeration(difference), abs=1e-12)


def test_wilcoxon_for_many_images_by_its_normal_approximation() -> None:
    difference = np.random.default_rng(8).normal(0.15, 1, 200)
    ranks = stats.rankdata(np.abs(difference))
    up = ranks[difference > 0].sum()
    n = len(difference)
    z = (up - n * (n + 1) / 4) / math.sqrt(n * (n + 1) * (2 * n + 1) / 24)
    p, direction = wilcoxon(difference)
    assert p == pytest.approx(math.erfc(abs(z) / math.sqrt(2)), rel=1e-3)
    assert direction == pytest.approx((2 * up - ranks.sum()) / ranks.sum())


@pytest.mark.slow
@pytest.mark.parametrize("digits", [1, 2, 12])
def test_wilcoxon_is_scipys_with_and_without_ties(digits: int) -> None:
    random = np.random.default_rng(digits)
    for images in (5, 13, 14, 49, 50, 51, 52, 200):
        difference = np.round(random.normal(0.1, 1, images), digits)
        difference = difference[difference != 0]
        expected = stats.wilcoxon(difference)
        p, direction = wilcoxon(difference)
        assert p == pytest.approx(expected.pvalue, rel=1e-12)
        ranks, ties = average_ties(np.abs(difference)[None])
        assert (ranks[0] == stats.rankdata(np.abs(difference))).all()
        assert (ties[0] == [(np.abs(difference) == one).sum() for one in np.abs(difference)]).all()
        assert min(ranks[0][difference > 0].sum(), ranks[0][difference < 0].sum()) == expected.statistic
        assert direction == pytest.approx((ranks[0] * np.sign(difference)).sum() / ranks.sum())


def test_wilcoxon_leaves_out_what_is_equal_or_missing() -> None:
    difference = np.array([0.3, -0.1, 0.2, 0.5, 0.4])
    more = np.r_[difference, 0.0, np.nan, 0.0]
    assert wilcoxon(more) == wilcoxon(difference)
    assert wilcoxon(np.zeros(9)) == (1.0, 0.0)
    assert wilcoxon(np.full(3, np.nan)) == (1.0, 0.0)


def test_wilcoxon_has_a_direction() -> None:
    assert wilcoxon(np.array([1.0, 2.0, 3.0]))[1] == 1.0
    assert wilcoxon(-np.array([1.0, 2.0, 3.0]))[1] == -1.0
