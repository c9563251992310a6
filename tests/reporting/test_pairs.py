"""Which networks differ: pairs, wins, ranks over datasets, ablations."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from medseg.reporting.ablation import find_ablations
from medseg.reporting.comparison import compare_runs
from medseg.reporting.pairs import find_pair
from medseg.reporting.signed_ranks import wilcoxon_each
from medseg.reporting.statistics import holm
from tests.reporting.fabricate import fabricate
from tests.reporting.test_comparison import DICE, cell, compared, runs_in

# Pairs.


def test_p_is_the_larger_of_both_tests_and_holm_is_over_all_pairs(tmp_path: Path) -> None:
    networks = {"unet": 0.0, "resunet": 0.01, "convunext": 0.03}
    folder = fabricate(tmp_path / "s", networks, data=("kvasir", "dsb"), seeds=(0, 1))
    comparison = compared(folder)
    assert len(comparison.pairs) == 6
    dice = {}
    for run in runs_in(folder):
        dice.setdefault((run.model, run.data), []).append(run.per_image.scores["dice"])
    for data in ("kvasir", "dsb"):
        here = [pair for pair in comparison.pairs if pair.column.label == data]
        means = [(dice[p.first.label, data], dice[p.second.label, data]) for p in here]
        tested = wilcoxon_each([np.mean(first, axis=0) - np.mean(second, axis=0) for first, second in means])
        assert [pair.p_ranks for pair in here] == pytest.approx([p for p, _ in tested])
        assert [pair.p for pair in here] == [max(pair.p_ranks, pair.p_interval) for pair in here]
        assert [pair.corrected for pair in here] == pytest.approx(list(holm([pair.p for pair in here])))
        for pair in here:
            means = [cell(comparison, row.label, data).scores["dice"].mean for row in (pair.first, pair.second)]
            assert pair.difference == pytest.approx(means[0] - means[1])
            assert pair.low < pair.difference < pair.high
            assert pair.images == 60
            assert (pair.state in ("better", "worse")) <= (not pair.low <= 0 <= pair.high)


def test_a_pair_seen_from_the_other_side(tmp_path: Path) -> None:
    comparison = compared(fabricate(tmp_path / "s", {"unet": 0.0, "convunext": 0.06}, seeds=(0, 1, 2)))
    (pair,) = comparison.pairs
    other = pair.reversed()
    assert (pair.state, other.state) == ("worse", "better")
    assert (other.low, other.high) == (-pair.high, -pair.low)
    assert other.superiority == pytest.approx(
        (1 - pair.superiority[0], 1 - pair.superiority[2], 1 - pair.superiority[1])
    )
    assert other.reversed().superiority == pytest.approx(pair.superiority)
    assert (other.reversed().first, other.reversed().state) == (pair.first, pair.state)


def test_wins_are_counted_over_datasets_from_both_sides(tmp_path: Path) -> None:
    networks = {"unet": 0.0, "convunext": 0.06, "amsunet": 0.06}
    comparison = compared(fabricate(tmp_path / "s", networks, data=("a", "b", "c"), seeds=(0, 1, 2)))
    wins = {(one.label, other.label): found for (one, other), found in comparison.wins.items()}
    assert wins["convunext", "unet"] == (3, 0, 0)
    assert wins["unet", "convunext"] == (0, 0, 3)
    ahead, even, behind = wins["convunext", "amsunet"]
    assert ahead + even + behind == 3
    assert wins["amsunet", "convunext"] == (behind, even, ahead)


def test_rows_on_different_images_are_compared_on_those_they_share(tmp_path: Path) -> None:
    folder = fabricate(tmp_path / "s", {"unet": 0.0, "convunext": 0.06}, folds=(0, 1), images=20)
    runs = [run for run in runs_in(folder) if (run.model, run.fold) != ("unet", 1)]
    comparison = compare_runs(runs, DICE)
    (pair,) = comparison.pairs
    assert pair.images == 20
    assert any("same images" in warning for warning in comparison.warnings)


def test_a_pooled_measure_is_tested_by_its_interval(tmp_path: Path) -> None:
    comparison = compared(fabricate(tmp_path / "s", {"unet": 0.0, "convunext": 0.06}, seeds=(0, 1, 2)), "pooled_dice")
    (pair,) = comparison.pairs
    assert (pair.state, pair.p_ranks) == ("worse", None)
    assert pair.p < 0.01


# Ablations.


def test_an_ablation_compares_with_the_default_of_the_configuration(tmp_path: Path) -> None:
    networks = {f"convunext model.kernel_size={k}": effect for k, effect in ((3, -0.06), (7, 0.0), (9, 0.0))}
    comparison = compared(fabricate(tmp_path / "s", networks, data=("kvasir", "dsb"), seeds=(0, 1, 2)))
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
        assert pair.state == "worse"
        # The same verdict as in the table of pairs, corrected for all pairs of the dataset.
        assert pair == find_pair(comparison.pairs, three, block.default, column)


def test_the_row_that_was_not_given_the_factor_is_the_default(tmp_path: Path) -> None:
    networks = ("amsunet model.dilations=[1,1,1,1,1]", "amsunet", "amsunet model.norm=layer")
    comparison = compared(fabricate(tmp_path / "s", dict.fromkeys(networks, 0.0), images=8))
    dilations, norm = find_ablations(comparison)
    (block,) = dilations.blocks
    assert list(block.values.values()) == ["[1, 1, 1, 3, 5]", "[1, 1, 1, 1, 1]"]
    assert list(norm.blocks[0].values.values()) == ["batch", "layer"]


def test_a_list_is_the_default_however_it_is_spelt(tmp_path: Path) -> None:
    networks = ("amsunet model.dilations=[1,1,1,1,1]", "amsunet model.dilations=[1,1,1,3,5]")
    comparison = compared(fabricate(tmp_path / "s", dict.fromkeys(networks, 0.0), images=8))
    (ablation,) = find_ablations(comparison)
    assert ablation.blocks[0].values[ablation.blocks[0].default] == "[1, 1, 1, 3, 5]"


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
