"""The statistics of a score that some images do not have, such as HD95 of those whose masks are empty."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from medseg.metrics import MEASURES
from medseg.reporting.comparison import score_under
from medseg.reporting.line import Line
from medseg.reporting.pairs import Family, compare_pairs
from medseg.reporting.planning import Variances
from medseg.reporting.samples import Sample

HD95 = MEASURES["hd95"]
ROWS = [Line(name, name, ()) for name in ("unet", "convunext")]
COLUMN = Line("kvasir", "kvasir", ())


def sample_of(hd95: np.ndarray, groups: tuple[str, ...] | None = None) -> Sample:
    """The HD95 of S seeds on N images, S x N."""
    seeds, images = hd95.shape
    ids = tuple(f"{n:03d}" for n in range(images))
    counts = np.ones((seeds, images, 1, 4), np.int64)
    return Sample(tuple(range(seeds)), ids, {"hd95": hd95}, counts, counts[:, :, 0].astype(np.float64), groups)


def of_first(images: int, *means: float, seeds: int = 1, of: int = 60) -> list[Sample]:
    """A sample for each mean, in which only the first images have a score."""
    rng = np.random.default_rng(0)
    values = np.full((len(means), seeds, of), np.nan)
    values[:, :, :images] = (
        np.array(means)[:, None, None] + rng.normal(0, 8, images) + rng.normal(0, 1, (seeds, images))
    )
    return [sample_of(of_one) for of_one in values]


@pytest.mark.parametrize("images", [2, 3, 20])
def test_an_interval_is_students_over_the_images_that_have_the_score(images: int) -> None:
    (sample,) = of_first(images, 200.0)
    score = score_under({ROWS[0]: sample}, HD95)[ROWS[0]]
    values = sample.scores["hd95"][0, :images]
    expected = stats.t.interval(0.95, images - 1, values.mean(), stats.sem(values))
    assert (score.low, score.high) == pytest.approx(expected)


def test_one_image_with_the_score_has_no_interval() -> None:
    (sample,) = of_first(1, 200.0)
    score = score_under({ROWS[0]: sample}, HD95)[ROWS[0]]
    assert (score.low, score.high) == (None, None)


def test_groups_without_the_score_are_no_units() -> None:
    groups = tuple(f"patient {n // 10}" for n in range(60))
    (sample,) = of_first(30, 200.0)
    assert sample_of(sample.scores["hd95"], groups).with_score(HD95).unit_count == 3


def test_a_pair_is_judged_on_the_images_that_have_the_score() -> None:
    every, few = (dict(zip(ROWS, of_first(12, 200.0, 230.0, seeds=3, of=of), strict=True)) for of in (12, 60))
    (expected,), (pair,) = compare_pairs(COLUMN, every, HD95), compare_pairs(COLUMN, few, HD95)
    assert (pair.low, pair.high, pair.p) == pytest.approx((expected.low, expected.high, expected.p))
    assert (pair.images, pair.units, pair.state) == (12, 12, "worse" if pair.difference > 0 else "better")


def test_images_that_one_of_the_two_scores_count_for_both() -> None:
    one, other = of_first(12, 200.0, 230.0, seeds=3)
    other.scores["hd95"][:, 12:20] = 225.0
    (pair,) = compare_pairs(COLUMN, dict(zip(ROWS, (one, other), strict=True)), HD95)
    assert pair.units == 20
    assert pair.difference == pytest.approx(one.values(HD95).mean() - other.values(HD95).mean())


def test_an_image_counts_where_a_training_lacks_its_score() -> None:
    one, other = of_first(60, 200.0, 230.0, seeds=3)
    for sample in (one, other):
        for n in range(55):
            sample.scores["hd95"][n % 3, n] = np.nan  # 5 images have it in all trainings
    (pair,) = compare_pairs(COLUMN, dict(zip(ROWS, (one, other), strict=True)), HD95)
    assert (pair.units, pair.state) == (60, "better")
    assert one.per_image("hd95")[0] == pytest.approx(one.scores["hd95"][1:, 0].mean())


def test_images_that_both_score_have_to_be_enough_for_ranks() -> None:
    one, other = of_first(60, 200.0, 230.0, seeds=3)
    one.scores["hd95"][:, :30] = np.nan
    other.scores["hd95"][:, 32:] = np.nan
    samples = dict(zip(ROWS, (one, other), strict=True))
    (pair,) = compare_pairs(COLUMN, samples, HD95)
    assert pair.reason == "2 images are too few to judge a pair"
    known = Family.of(samples, HD95).variances(*ROWS)
    assert known is not None
    assert known.power(300.0) == 0.0
    assert known.power(300.0, units=600) > 0.9  # 20 of these have a rank


def test_power_is_of_the_images_that_have_the_score() -> None:
    family = Family.of(dict(zip(ROWS, of_first(12, 200.0, 230.0, seeds=3), strict=True)), HD95)
    known = family.variances(*ROWS)
    assert known is not None
    assert known.units == 12


def test_a_pooled_score_has_no_ranks_that_few_groups_would_be_too_few_for() -> None:
    known = Variances(10, (3, 3), 6, (1e-6, 1e-6), (4, 4), (2, 2), 1e-6, 1e-6)
    assert known.power(0.1) == 0.0  # 2 / 2^6 is above 5 % of 10 pairs
    pooled = Variances(10, (3, 3), 6, (1e-6, 1e-6), (4, 4), (2, 2), 1e-6, 1e-6, ranked=None)
    assert pooled.power(0.1) > 0.99
