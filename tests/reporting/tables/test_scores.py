"""The tables of scores: cells, costs, one seed, groups, published figures."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np

from medseg.metrics.measures import MEASURES
from medseg.reporting.cells import Score
from medseg.reporting.comparison import Comparison
from medseg.reporting.costs import Costs
from medseg.reporting.published import Published, PublishedCell
from medseg.reporting.render.latex import as_latex
from medseg.reporting.render.markdown import as_markdown
from medseg.reporting.tables.papers import published_table
from medseg.reporting.tables.scores import comparison_table, score_tables
from tests.reporting.tables.made import make_comparison, make_run
from tests.reporting.tables.reading import displayed, in_csv


def with_cell(comparison: Comparison, row: int, **changed) -> Comparison:
    """The comparison with another cell in its first column."""
    key = (comparison.rows[row], comparison.columns[0])
    return replace(comparison, cells={**comparison.cells, key: replace(comparison.cells[key], **changed)})


def notes(comparison: Comparison) -> str:
    table = comparison_table(comparison)
    return "\n".join([*table.notes, *table.grid.footnotes])


# Cells.


def test_a_cell_has_place_spread_interval_and_runs() -> None:
    rows = displayed(comparison_table(make_comparison(3, ["kvasir"])))
    assert [row["kvasir, 120 images"] for row in rows] == [
        "**0.900** ± 0.012 [0.880, 0.920] (3)",
        "__0.885__ ± 0.012 [0.865, 0.905] (3) ≈",
        "0.870 ± 0.012 [0.850, 0.890] (3)",
    ]


def test_csv_has_a_row_for_each_cell_in_full_precision() -> None:
    made = with_cell(make_comparison(3, 2, groups=6), 0, scores={"dice": Score(1 / 3, 0.1, 0.2, 0.4)})
    rows = in_csv(comparison_table(made))
    assert [(row["network"], row["dataset"]) for row in rows] == [
        (f"network{n}", f"data{d}") for n in (1, 2, 3) for d in (1, 2)
    ]
    shown = {key: rows[0][key] for key in ("mean", "sd_over_seeds", "low", "high", "rank", "seeds", "images", "groups")}
    assert shown == {"mean": "0.333333333333", "sd_over_seeds": "0.1", "low": "0.2", "high": "0.4", "rank": "1",
                     "seeds": "3", "images": "120", "groups": "6"}  # fmt: skip
    assert rows[0]["parameters"] == "4320000"


def test_what_a_cell_lacks_is_a_footnote() -> None:
    runs = (make_run("network1", "data1", 0), make_run("network1", "data1", 1, "failed"))
    table = comparison_table(with_cell(make_comparison(2, 1), 0, runs=runs))
    (first, _) = displayed(table)
    assert first["data1, 120 images"].endswith("(1 of 2)^1")
    assert table.grid.footnotes == ("network1 on data1: seed 1 failed",)
    waiting = tuple(make_run("network1", "data1", seed, "waiting") for seed in range(2))
    table = comparison_table(with_cell(make_comparison(2, 1), 0, runs=waiting, scores={}, sample=None, rank=None))
    assert displayed(table)[0]["data1, 120 images"] == "waiting^1"


def test_a_cell_without_runs_is_a_dash() -> None:
    made = make_comparison(2, 2)
    cells = {place: one for place, one in made.cells.items() if place != (made.rows[1], made.columns[0])}
    rows = displayed(comparison_table(replace(made, cells=cells)))
    assert rows[1]["data1, 120 images"] == "-"
    assert rows[1]["data2, 120 images"].startswith("0.885")


def test_too_few_seeds_stand_where_the_interval_would() -> None:
    made = with_cell(make_comparison(2, 1, seeds=2), 0, scores={"dice": Score(0.9, 0.2, None, None, "too few seeds")})
    assert displayed(comparison_table(made))[0]["data1, 120 images"] == "**0.900** ± 0.200 [too few seeds] (2)"
    assert "the interval would leave the range of the score" in notes(made)
    assert in_csv(comparison_table(made))[0]["remark"] == "too few seeds"


# One seed.


def test_one_seed_is_not_judged_in_any_format() -> None:
    made = make_comparison(3, 1, seeds=1)
    table = comparison_table(made)
    assert [row["data1, 120 images"] for row in displayed(table)] == [
        f"{mean} [{low}, {high}] (1)^1"
        for mean, low, high in (("0.900", "0.880", "0.920"), ("0.885", "0.865", "0.905"), ("0.870", "0.850", "0.890"))
    ]
    for text in (as_markdown(table), as_latex(table)):
        assert "Not judged (one seed)" in text
        assert "≈" not in text
        assert "approx" not in text
        assert "**" not in text
        assert "textbf" not in text
        assert "Bold" not in text
    for scores in score_tables(made):
        assert "**" not in as_markdown(scores)


def test_one_network_alone_is_not_said_to_be_unjudged() -> None:
    assert "Not judged" not in notes(make_comparison(1, 1, seeds=1))


# The legend.


def test_the_legend_says_over_what_the_interval_is() -> None:
    assert "[95 % t interval over images and trainings]" in notes(make_comparison(2, 1))
    assert "[95 % t interval over groups of images and trainings]" in notes(make_comparison(2, 1, groups=6))
    assert "[95 % t interval over images alone (one seed)]" in notes(make_comparison(2, 1, seeds=1))
    mixed = with_cell(make_comparison(2, 1), 1, sample=make_comparison(2, 1, seeds=1).cells[FIRST].sample)
    assert "over images and trainings, or over images alone (one seed)]" in notes(mixed)


FIRST = (make_comparison(1, 1).rows[0], make_comparison(1, 1).columns[0])


def test_without_groups_images_are_said_to_be_taken_as_independent() -> None:
    assert "Images are taken as independent." in notes(make_comparison(2, 1))
    assert "independent" not in notes(make_comparison(2, 1, groups=6))


def test_the_marks_are_explained_that_are_there() -> None:
    assert "Bold: best of the dataset; underlined: second; ≈:" in notes(make_comparison(3, 1))
    made = with_cell(make_comparison(2, 1), 1, like_best=False)
    assert "Bold: best of the dataset." in notes(made)


def test_a_dataset_is_named_with_its_images_and_their_groups() -> None:
    def headings(comparison: Comparison) -> list[str]:
        return [heading.text for heading in comparison_table(comparison).grid.headings]

    assert "cvc, 120 images" in headings(make_comparison(1, ["cvc"]))
    made = make_comparison(2, ["cvc"], groups=6)
    assert "cvc, 120 images of 6 groups (effective number 6)" in headings(made)
    other = made.cells[made.rows[1], made.columns[0]].sample
    assert other is not None
    # As many as images where those of a group are no more alike than others.
    noise = np.random.default_rng(0).normal(size=(3, len(other.ids)))
    alike = with_cell(made, 1, sample=replace(other, scores={"dice": noise}))
    assert any(re.search(r"\(effective number 6 to \d{2,3}\)", text) for text in headings(alike))
    assert "cvc" in headings(with_cell(made, 1, sample=replace(other, ids=other.ids[1:])))


# Costs.


def test_costs_that_nothing_was_measured_of_have_no_column() -> None:
    known = {heading.text for heading in comparison_table(make_comparison()).grid.headings}
    assert "parameters, M" in known
    assert not {text for text in known if text.startswith(("MACs", "latency", "memory"))}
    assert "MACs" not in notes(make_comparison())
    for one in (as_latex(comparison_table(make_comparison())), as_markdown(comparison_table(make_comparison()))):
        assert "latency" not in one
    half = make_comparison(measured=True)
    half = replace(half, costs={**half.costs, half.rows[0]: Costs(1)})
    assert [row["latency, ms"] for row in displayed(comparison_table(half))] == ["-", "12.5", "12.5"]


def test_costs_stand_in_their_columns() -> None:
    row = displayed(comparison_table(make_comparison(1, 1, measured=True)))[0]
    assert row["parameters, M"] == "4.32"
    assert row["MACs, G (256 x 256)"] == "1.23"
    assert (row["latency, ms"], row["memory, MiB"], row["training, min"]) == ("12.5", "1300", "1.5")
    table = comparison_table(make_comparison(1, 1, measured=True))
    assert "Measured on: NVIDIA A100, bf16-mixed, batch 8." in "\n".join(table.notes)
    assert in_csv(table)[0]["measured_on"] == "NVIDIA A100, bf16-mixed, batch 8"


# Scores of a dataset, published figures.


def test_every_score_of_a_dataset_has_a_column_and_csv_a_row() -> None:
    made = make_comparison(3, ["kvasir", "isic"])
    tables = score_tables(made)
    assert [table.title for table in tables] == [
        f"{kind}: {data}" for data in ("kvasir", "isic") for kind in ("All scores", "Other conventions")
    ]
    first = displayed(tables[0])[0]
    assert first["Dice"] == "**0.900** ± 0.012"
    assert first["HD95, pixels ↓"] == "**30.0** ± 2.5"
    assert {"pooled Dice", "accuracy", "Dice"} <= set(displayed(tables[1])[0])
    files = {table.csv: in_csv(table) for table in tables}
    assert list(files) == ["scores"]
    assert len(files["scores"]) == 3 * 2 * len(MEASURES)
    assert len({(row["network"], row["dataset"], row["measure"]) for row in files["scores"]}) == len(files["scores"])


def test_a_score_that_is_in_no_run_has_no_column() -> None:
    made = make_comparison(2, 1)
    cells = {k: replace(c, scores={n: s for n, s in c.scores.items() if n != "hd95"}) for k, c in made.cells.items()}
    assert not any(
        "HD95, pixels" in heading.text for heading in score_tables(replace(made, cells=cells))[0].grid.headings
    )


def test_a_published_figure_has_its_source_and_our_difference() -> None:
    made = make_comparison(1, 1)
    ((place, cell),) = made.cells.items()
    row = {"source": "A paper", "year": "2022"}
    source = Published(row, "dice", 0.7, "per image", "dice", True)
    one = PublishedCell(*place, MEASURES["dice"], cell.scores["dice"], source, 0.2, ("size (256)",))
    (row,) = displayed(published_table([one]))
    assert (row["published"], row["source"]) == ("0.700", "A paper, 2022")
    assert (row["ours"], row["difference, points"]) == ("0.900 [0.880, 0.920]", "+20.0")
    assert row["protocol differs in"] == "size (256)"
    (row,) = displayed(published_table([replace(one, difference=None, differs_in=())]))
    assert row["protocol differs in"] == "nothing known"
    assert "difference, points" not in row
    assert in_csv(published_table([one]))[0]["difference"] == "0.2"
