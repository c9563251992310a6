"""Which networks differ: pairs, wins, ranks over datasets, ablations."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from medseg.reporting.ablation import find_ablations
from medseg.reporting.comparison import compare
from medseg.reporting.layout import Line
from medseg.reporting.pairs import Pair, Ranking, rank
from medseg.reporting.records import read_runs
from medseg.reporting.statistics import holm, wilcoxon_each
from tests.reporting.fabricate import fabricate
from tests.reporting.test_comparison import DICE, cell, compared


def lay_line(name: str) -> Line:
    return Line(name, name, ())


# Pairs.


def test_pairs_are_wilcoxon_of_means_over_seeds_and_holm_over_all_pairs(tmp_path: Path) -> None:
    networks = {"unet": 0.0, "resunet": 0.01, "convunext": 0.03}
    folder = fabricate(tmp_path / "s", networks, data=("kvasir", "dsb"), seeds=(0, 1))
    comparison = compared(folder)
    assert len(comparison.pairs) == 6
    dice = {}
    for run in read_runs([folder]):
        dice.setdefault((run.model, run.data), []).append(run.per_image.scores["dice"])
    for data in ("kvasir", "dsb"):
        here = [pair for pair in comparison.pairs if pair.column.label == data]
        means = [(dice[p.first.label, data], dice[p.second.label, data]) for p in here]
        tested = wilcoxon_each([np.mean(first, axis=0) - np.mean(second, axis=0) for first, second in means])
        expected = [p for p, _ in tested]
        assert [pair.p for pair in here] == pytest.approx(expected)
        assert [pair.corrected for pair in here] == pytest.approx(list(holm(expected)))
        for pair in here:
            means = [cell(comparison, row.label, data).scores["dice"].mean for row in (pair.first, pair.second)]
            assert pair.difference == pytest.approx(means[0] - means[1])
            assert pair.low < pair.difference < pair.high
            assert pair.images == 60


@pytest.mark.parametrize(
    ("low", "corrected", "direction", "expected"),
    [(0.01, 0.01, 0.5, 1), (-0.01, 0.01, 0.5, 0), (0.01, 0.06, 0.5, 0), (0.01, 0.01, -0.1, 0)],
)
def test_better_needs_test_interval_and_ranks(low: float, corrected: float, direction: float, expected: int) -> None:
    one, other = (lay_line(name) for name in ("a", "b"))
    pair = Pair(one, other, lay_line("d"), 50, 0.02, low, 0.03, corrected, corrected, direction)
    assert pair.verdict(higher_is_better=True) == expected
    assert pair.verdict(higher_is_better=False) == -expected
    assert pair.reversed().verdict(higher_is_better=True) == -expected
    assert pair.reversed().reversed() == pair


def test_wins_are_counted_over_datasets_from_both_sides(tmp_path: Path) -> None:
    networks = {"unet": 0.0, "convunext": 0.06, "amsunet": 0.06}
    comparison = compared(fabricate(tmp_path / "s", networks, data=("a", "b", "c")))
    wins = {(one.label, other.label): found for (one, other), found in comparison.wins.items()}
    assert wins["convunext", "unet"] == (3, 0, 0)
    assert wins["unet", "convunext"] == (0, 0, 3)
    ahead, even, behind = wins["convunext", "amsunet"]
    assert ahead + even + behind == 3
    assert wins["amsunet", "convunext"] == (behind, even, ahead)


def test_rows_on_different_images_are_compared_on_those_they_share(tmp_path: Path) -> None:
    folder = fabricate(tmp_path / "s", {"unet": 0.0, "convunext": 0.06}, folds=(0, 1), images=20)
    runs = [run for run in read_runs([folder]) if (run.model, run.fold) != ("unet", 1)]
    comparison = compare(runs, DICE)
    (pair,) = comparison.pairs
    assert pair.images == 20
    assert any("same images" in warning for warning in comparison.warnings)


def test_a_pooled_measure_is_tested_by_its_interval(tmp_path: Path) -> None:
    comparison = compared(fabricate(tmp_path / "s", {"unet": 0.0, "convunext": 0.06}), "mean_iou_with_background")
    (pair,) = comparison.pairs
    assert pair.verdict(higher_is_better=True) == -1
    assert pair.p < 0.01


# Ranks.


def test_ranks_need_datasets(tmp_path: Path) -> None:
    rows, columns = [lay_line(name) for name in "xyz"], [lay_line(name) for name in "abcde"]
    values = {(row, column): 0.5 + 0.1 * r for r, row in enumerate(rows) for column in columns}
    found = rank(rows, columns, values, higher_is_better=True)
    assert found is not None
    assert [row.label for row in found.rows] == ["z", "y", "x"]
    assert found.ranks == (1.0, 2.0, 3.0)
    assert found.p == pytest.approx(0.0067, abs=1e-4)  # chi-square 10 with 2 degrees of freedom
    assert found.critical == pytest.approx(2.343 * (3 * 4 / 30) ** 0.5, rel=1e-3)
    assert found.groups() == [(0, 1), (1, 2)]
    few = rank(rows, columns[:4], values, higher_is_better=True)
    assert few is not None
    assert (few.p, few.critical, few.groups()) == (None, None, [])
    assert rank(rows, columns[:1], values, higher_is_better=True) is None
    del values[rows[0], columns[0]]
    partly = rank(rows, columns, values, higher_is_better=False)
    assert isinstance(partly, Ranking)
    assert [row.label for row in partly.left_out] == ["x"]
    assert [row.label for row in partly.rows] == ["y", "z"]


# Ablations.


def test_an_ablation_compares_with_the_default_of_the_configuration(tmp_path: Path) -> None:
    networks = {f"convunext model.kernel_size={k}": effect for k, effect in ((3, -0.06), (7, 0.0), (9, 0.0))}
    comparison = compared(fabricate(tmp_path / "s", networks, data=("kvasir", "dsb")))
    (ablation,) = find_ablations(comparison)
    assert ablation.factor == "model.kernel_size"
    (block,) = ablation.blocks
    assert (block.label, block.known) == ("convunext", True)
    assert list(block.values.values()) == ["7", "3", "9"]
    assert block.values[block.default] == "7"
    three = next(row for row, value in block.values.items() if value == "3")
    for column in comparison.columns:
        pair = block.pairs[three, column]
        means = [comparison.cells[row, column].scores["dice"].mean for row in (three, block.default)]
        assert pair.difference == pytest.approx(means[0] - means[1])
        assert pair.verdict(higher_is_better=True) == -1
        raw = [block.pairs[row, column].p for row in list(block.values)[1:]]
        assert [block.pairs[row, column].corrected for row in list(block.values)[1:]] == pytest.approx(list(holm(raw)))


def test_the_row_that_was_not_given_the_factor_is_the_default(tmp_path: Path) -> None:
    networks = ("amsunet model.dilations=[1,1,1,1,1]", "amsunet", "amsunet model.norm=layer")
    comparison = compared(fabricate(tmp_path / "s", dict.fromkeys(networks, 0.0), images=8))
    dilations, norm = find_ablations(comparison)
    (block,) = dilations.blocks
    assert list(block.values.values()) == ["[1, 1, 1, 3, 5]", "[1,1,1,1,1]"]
    assert list(norm.blocks[0].values.values()) == ["batch", "layer"]


def test_a_list_is_the_default_however_it_is_spelt(tmp_path: Path) -> None:
    networks = ("amsunet model.dilations=[1,1,1,1,1]", "amsunet model.dilations=[1,1,1,3,5]")
    comparison = compared(fabricate(tmp_path / "s", dict.fromkeys(networks, 0.0), images=8))
    (ablation,) = find_ablations(comparison)
    assert ablation.blocks[0].values[ablation.blocks[0].default] == "[1,1,1,3,5]"


def test_a_factor_of_several_networks_has_a_block_for_each(tmp_path: Path) -> None:
    networks = [f"{model} optimizer={name}" for model in ("unet", "convunext") for name in ("adamw", "sgd")]
    comparison = compared(fabricate(tmp_path / "s", dict.fromkeys(networks, 0.0), images=8))
    (ablation,) = find_ablations(comparison)
    assert [block.label for block in ablation.blocks] == ["unet", "convunext"]
    assert [list(block.values.values()) for block in ablation.blocks] == [["adamw", "sgd"]] * 2


def test_a_factor_without_a_known_default_says_so(tmp_path: Path) -> None:
    networks = {"mine model.depth=3": 0.0, "mine model.depth=4": 0.0}
    (ablation,) = find_ablations(compared(fabricate(tmp_path / "s", networks, images=8)))
    assert not ablation.blocks[0].known
    assert list(ablation.blocks[0].values.values()) == ["3", "4"]


def test_networks_alone_are_no_ablation(tmp_path: Path) -> None:
    networks = {"unet": 0.0, "convunext optimizer=sgd": 0.0}
    assert find_ablations(compared(fabricate(tmp_path / "s", networks, images=8))) == []
