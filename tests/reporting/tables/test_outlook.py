"""Rank stability and planning."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np

from medseg.reporting.tables.outlook import MOST_RANKS, planning_table, stability_tables
from tests.reporting.tables.made import make_comparison
from tests.reporting.tables.reading import displayed, in_csv


def test_each_network_has_its_share_at_each_rank() -> None:
    made = make_comparison(2, ["kvasir", "isic"])
    overall, kvasir = np.array([[0.9, 0.1], [0.1, 0.9]]), np.array([[1.0, 0.0], [0.0, 1.0]])
    stability = SimpleNamespace(rows=made.rows, overall=overall, datasets={made.columns[0]: kvasir}, samples=999)
    tables = stability_tables(replace(made, stability=stability))
    assert [table.name for table in tables] == ["stability", "stability-kvasir"]
    assert displayed(tables[0])[0] == {"network": "network1", "rank 1": "90 %", "rank 2": "10 %"}
    assert displayed(tables[1])[1] == {"network": "network2", "rank 1": "0 %", "rank 2": "100 %"}
    assert "999 bootstrap samples of datasets" in tables[0].notes[0]
    assert "999 bootstrap samples of images" in tables[1].notes[0]
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


def test_planning_has_the_seeds_and_images_that_it_takes() -> None:
    made = make_comparison(2, ["kvasir"])
    plans = (SimpleNamespace(column=made.columns[0], points=1.0, seeds=None, images=900),
             SimpleNamespace(column=made.columns[0], points=2.0, seeds=4, images=230))  # fmt: skip
    table = planning_table(replace(made, plans=plans))
    assert [list(row.values()) for row in displayed(table)] == [
        ["kvasir", "1", "-", "900"],
        ["kvasir", "2", "4", "230"],
    ]
    assert [row["seeds"] for row in in_csv(table)] == ["", "4"]
    assert displayed(planning_table(replace(made, plans=()))) == []
