"""Ranks over the six datasets of `experiments/six_datasets`, from runs with known differences."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from medseg.metrics.measures import MEASURES
from medseg.reporting.comparison import Comparison, compare_runs
from medseg.reporting.ranks import critical_difference
from medseg.reporting.tables.outlook import stability_tables
from medseg.reporting.tables.tests import ranking_table
from medseg.runs.reading import read_runs
from tests.reporting.fabricate import fabricate
from tests.reporting.tables.reading import displayed

DATASETS = ("kvasir", "isic", "dsb", "cvc", "drive", "busi")


def compared(folder: Path, networks: dict[str, float]) -> Comparison:
    fabricate(folder, networks, data=DATASETS, seeds=(0, 1), images=20, seed_noise=0.003, groups=10, group_noise=0.005)
    return compare_runs(read_runs([folder]).runs, MEASURES["dice"])


def test_networks_that_differ_everywhere_have_ranks_that_differ(tmp_path: Path) -> None:
    made = compared(tmp_path, {"unet": 0.0, "convunext": 0.05, "amsunet": 0.1, "resunet": -0.1})
    ranking, stability = made.ranking, made.stability
    assert ranking is not None
    assert [row.label for row in ranking.rows] == ["amsunet", "convunext", "unet", "resunet"]
    assert ranking.ranks == (1.0, 2.0, 3.0, 4.0)
    assert ranking.datasets == 6
    assert ranking.p == pytest.approx(0.00044, rel=0.05)  # of four networks in one order on all of six datasets
    assert ranking.critical == pytest.approx(critical_difference(4, 6))
    notes = ranking_table(ranking, MEASURES["dice"]).notes
    assert any("Friedman's test over 6 datasets: p <0.001" in note for note in notes), notes
    assert stability is not None
    assert {column.label for column in stability.columns} == set(DATASETS)
    assert stability.overall is not None
    best = [row.label for row in stability.overall.rows].index("amsunet")
    assert stability.overall.shares[best, 0] > 0.95
    overall, *of_each = stability_tables(made)
    assert len(of_each) == 6
    assert displayed(overall)[best]["network"] == "amsunet"
    assert displayed(overall)[best]["rank 1"] in (">99 %", *(f"{percent} %" for percent in range(95, 101)))


def test_networks_that_are_equal_are_not_told_apart(tmp_path: Path) -> None:
    made = compared(tmp_path, {"unet": 0.0, "convunext": 0.0, "amsunet": 0.0})
    assert made.ranking is not None
    assert made.ranking.p is not None
    assert made.ranking.p > 0.05
    assert made.stability is not None
    assert made.stability.overall is not None
    shares = made.stability.overall.shares
    np.testing.assert_allclose(shares.sum(axis=0), 1)
    assert shares.max() < 0.95


def test_datasets_of_medsegbench_are_columns_of_their_own(tmp_path: Path) -> None:
    networks = {f"{model} data.dataset.name={name}": 0.0 for model in ("unet", "unext") for name in ("busi", "yeaz")}
    fabricate(tmp_path / "bench", networks, data=("medsegbench",), images=5)
    made = compare_runs(read_runs([tmp_path]).runs, MEASURES["dice"])
    assert [row.label for row in made.rows] == ["unet", "unext"]
    assert ["busi" in column.label for column in made.columns] == [True, False]
    assert ["yeaz" in column.label for column in made.columns] == [False, True]
    assert len(made.cells) == 4
