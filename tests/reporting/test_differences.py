"""Differences of means with their intervals, against calculations of their own and in cases whose truth is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from medseg.metrics.measures import MEASURES
from medseg.reporting.differences import average, difference
from medseg.reporting.records import read_runs
from medseg.reporting.samples import Sample, gather
from tests.reporting.fabricate import fabricate


def test_the_interval_is_welchs_where_images_do_not_vary() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.normal(0.8, 0.02, (4, 1)), rng.normal(0.8, 0.05, (3, 1))
    found = difference(np.repeat(first, 50, axis=1), np.repeat(second, 50, axis=1))
    welch = stats.ttest_ind(first[:, 0], second[:, 0], equal_var=False)
    assert found.freedom == pytest.approx(welch.df)
    assert found.interval() == pytest.approx(tuple(welch.confidence_interval()))
    assert found.p == pytest.approx(welch.pvalue)


def test_the_interval_is_students_where_trainings_do_not_vary() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.normal(0.8, 0.1, 40), rng.normal(0.7, 0.1, 40)
    found = difference(np.stack([first] * 3), np.stack([second] * 2))
    paired = stats.ttest_rel(first, second)
    assert found.interval() == pytest.approx(tuple(paired.confidence_interval()))
    assert found.p == pytest.approx(paired.pvalue)


def test_an_average_of_datasets_has_less_error_and_more_freedom() -> None:
    rng = np.random.default_rng(0)
    one = difference(rng.normal(0, 1, (3, 50)), rng.normal(0, 1, (3, 50)))
    three = average([one, one, one])
    assert three.mean == pytest.approx(one.mean)
    assert three.error == pytest.approx(one.error / 3**0.5)
    assert three.freedom == pytest.approx(3 * one.freedom)


def test_equal_networks_have_no_interval_to_speak_of() -> None:
    same = np.ones((2, 10))
    assert difference(same, same).interval() == (0.0, 0.0)
    assert difference(same, same).p == 1.0
    assert difference(same, same * 0.9).p == 0.0


@pytest.mark.parametrize("datasets", [1, 3])
@pytest.mark.parametrize(("seeds", "images", "training_sd"), [(2, 60, 0.01), (3, 120, 0.02), (5, 60, 0.0)])
def test_where_nothing_differs_one_in_twenty_is_called_at_most(
    seeds: int, images: int, training_sd: float, datasets: int
) -> None:
    rng = np.random.default_rng(seeds)

    def made_up() -> tuple[np.ndarray, np.ndarray]:
        difficulty = rng.normal(0.8, 0.1, images)
        sides = [
            difficulty
            + rng.normal(0, 0.04, images)
            + rng.normal(0, training_sd, (seeds, 1))
            + rng.normal(0, 0.04, (seeds, images))
            for _ in range(2)
        ]
        return sides[0], sides[1]

    trials = 1000
    called = 0
    for _ in range(trials):
        low, high = average([difference(*made_up()) for _ in range(datasets)]).interval()
        called += low > 0 or high < 0
    # At most the level, with what 1000 trials leave open; and not so cautious that nothing would ever be found.
    assert 0.02 < called / trials < 0.05 + 3 * (0.05 * 0.95 / trials) ** 0.5


# Of what no single image has.


@pytest.mark.parametrize("name", [name for name, measure in MEASURES.items() if measure.convention != "per_image"])
def test_pseudo_values_are_those_of_leaving_each_image_out(tmp_path: Path, name: str) -> None:
    folder = fabricate(tmp_path / "s", {"unet": 0}, seeds=(0, 1), images=12, classes=("background", "a", "b"))
    sample, measure = gather(read_runs([folder])), MEASURES[name]
    assert sample is not None
    found = sample.pseudo_values(measure)
    for n, image in enumerate(sample.ids):
        rest = sample.restricted([other for other in sample.ids if other != image])
        assert found[:, n] == pytest.approx(12 * sample.values(measure) - 11 * rest.values(measure)), image


def test_pseudo_values_of_a_mean_are_the_scores(tmp_path: Path) -> None:
    folder = fabricate(tmp_path / "s", {"unet": 0}, seeds=(0, 1), images=12)
    sample = gather(read_runs([folder]))
    assert sample is not None
    assert sample.pseudo_values(MEASURES["dice"]) == pytest.approx(sample.scores["dice"])


def test_an_image_without_a_distance_adds_nothing() -> None:
    scores = np.array([[1.0, 2.0, 6.0, np.nan]])
    counts = np.ones((1, 4, 1, 4), dtype=np.int64)
    sample = Sample((0,), tuple("abcd"), {"hd95": scores}, counts, np.ones((1, 4, 4)))
    found = sample.pseudo_values(MEASURES["hd95"])
    assert found[0, 3] == 3.0
    assert found.mean() == pytest.approx(3.0)
    # Variance of the mean of the three that there are, but for the degrees of freedom of the fourth.
    assert found.var(ddof=1) / 4 == pytest.approx(scores[0, :3].var(ddof=1) / 3, rel=0.15)


def test_the_interval_of_a_pooled_score_holds_the_truth() -> None:
    # 40 images each; pooled IoU of a network that misses a tenth of every object, which are of all sizes.
    rng = np.random.default_rng(3)
    trials, held = 400, 0
    for _ in range(trials):
        sides = []
        size = rng.integers(50, 2000, 40)
        for share in (0.90, 0.92):
            tp = rng.binomial(size, np.clip(rng.normal(share, 0.05, 40), 0, 1))
            counts = np.stack([tp, 0 * tp, size - tp, 4096 - size], axis=-1)[None, :, None]
            sides.append(Sample((0,), tuple(map(str, range(40))), {}, counts, np.full((1, 40, 4), np.nan)))
        low, high = difference(*(side.pseudo_values(MEASURES["pooled_iou"]) for side in sides)).interval()
        held += low <= 0.90 - 0.92 <= high
    assert 0.91 <= held / trials <= 0.98
