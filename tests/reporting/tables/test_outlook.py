"""Rank stability and planning."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from medseg.reporting.planning import Plan
from medseg.reporting.ranks import Shares, Stability
from medseg.reporting.tables.outlook import MOST_RANKS, planning_table, stability_tables
from tests.reporting.tables.made import make_comparison
from tests.reporting.tables.reading import displayed, in_csv


def test_each_network_has_its_share_at_each_rank() -> None:
    made = make_comparison(2, ["kvasir", "isic"])
    overall, kvasir = np.array([[0.9, 0.1], [0.1, 0.9]]), np.array([[1.0, 0.0], [0.0, 1.0]])
    stability = Stability({made.columns[0]: Shares(made.rows, kvasir)}, Shares(made.rows, overall))
    tables = stability_tables(replace(made, stability=stability))
    assert [table.name for table in tables] == ["stability", "stability-kvasir"]
    assert displayed(tables[0])[0] == {"network": "network1", "rank 1": "90 %", "rank 2": "10 %"}
    assert displayed(tables[1])[1] == {"network": "network2", "rank 1": "0 %", "rank 2": "100 %"}
    assert "bootstrap samples of datasets, images (or groups of them) and seeds" in tables[0].notes[0]
    assert "bootstrap samples of images (or groups of them) and seeds" in tables[1].notes[0]
    assert "one seed" not in tables[0].notes[-1]
    assert "one seed" in stability_tables(make_comparison(2, 1, seeds=1))[0].notes[-1]
    rows = in_csv(tables[0])
    assert rows == in_csv(tables[1])
    assert [row["dataset"] for row in rows] == ["all datasets"] * 4 + ["kvasir"] * 4
    assert (rows[1]["rank"], rows[1]["share"]) == ("2", "0.1")


def test_of_many_networks_the_first_ranks_are_displayed_and_all_are_in_csv() -> None:
    made = make_comparison(9, 1)
    tables = stability_tables(made)
    assert list(displayed(tables[0])[0]) == ["network", *(f"rank {k + 1}" for k in range(MOST_RANKS))]
    assert {row["rank"] for row in in_csv(tables[0])} == {str(k) for k in range(1, 10)}
    assert stability_tables(replace(made, stability=None)) == []


def test_of_one_dataset_there_is_no_overall_order() -> None:
    made = make_comparison(2, 1)
    assert made.stability is not None
    (table,) = stability_tables(replace(made, stability=replace(made.stability, overall=None)))
    assert table.title == "Rank stability, data1: Dice"


def test_planning_has_the_seeds_and_images_that_it_takes() -> None:
    made = make_comparison(2, ["kvasir"])
    column = made.columns[0]
    plans = ((column, Plan(0.01, 3, 3, 120, 0.17, None, 900)), (column, Plan(0.02, 3, 3, 120, 0.62, 4, 230)))
    table = planning_table(replace(made, plans=plans))
    assert [list(row.values()) for row in displayed(table)] == [
        ["kvasir", "1", "3", "120", "17 %", ">100", "900"],
        ["kvasir", "2", "3", "120", "62 %", "4", "230"],
    ]
    assert [(row["seeds"], row["seeds_needed"], row["power"]) for row in in_csv(table)] == [
        ("3", "", "0.17"), ("3", "4", "0.62")
    ]  # fmt: skip
    assert "for a power of 80 %" in table.notes[0]
    assert "images, with these seeds" in displayed(table)[0]
    assert "images or groups, with these seeds" in displayed(planning_table(make_comparison(2, 1, groups=6)))[0]
    assert displayed(planning_table(replace(made, plans=()))) == []
