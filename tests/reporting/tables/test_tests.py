"""The tables of tests: pairs with their verdicts, wins, ranks, ablations."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from medseg.metrics.measures import MEASURES
from medseg.reporting.ablation import find_ablations
from medseg.reporting.comparison import Comparison, compare_runs
from medseg.reporting.formatting import p_value
from medseg.reporting.pairs import Pair
from medseg.reporting.ranks import Ranking
from medseg.reporting.render.markdown import as_markdown
from medseg.reporting.tables.tests import MOST_PAIRS, ablation_tables, pairs_table, ranking_table, wins_table
from medseg.runs.reading import read_runs
from tests.reporting.fabricate import fabricate
from tests.reporting.tables.made import make_ablation, make_comparison
from tests.reporting.tables.reading import displayed, in_csv


def with_pairs(**changed) -> Comparison:
    made = make_comparison(3, 1)
    return replace(made, pairs=tuple(replace(pair, **changed) for pair in made.pairs))


# Pairs.


def test_a_pair_has_its_interval_its_p_and_its_verdict() -> None:
    table = pairs_table(make_comparison(3, 1))
    assert displayed(table)[1] == {
        "dataset": "data1",
        "network": "network1",
        "against": "network3",
        "difference, points [interval]": "+3.00 [+2.00, +4.00]",
        "p": "0.012",
        "p, Holm": "0.036",
        "verdict": "better",
        "a new training is better": "83 % [61, 95]",
    }
    row = in_csv(table)[1]
    expected = {
        "difference": 0.03, "low": 0.02, "high": 0.04, "confidence": 0.983, "p_interval": 0.012, "p_ranks": 0.0004,
        "p_holm": 0.036, "superiority": 0.83, "superiority_low": 0.61, "units": 120,
    }  # fmt: skip
    assert {key: float(row[key]) for key in expected} == pytest.approx(expected)


@pytest.mark.parametrize(
    ("changed", "shown", "note"),
    [
        ({"state": "equivalent"}, "equivalent", "differ by less than 1 point (two one-sided tests)"),
        ({"state": "undecided"}, "undecided", "Better or worse: corrected p below 0.05"),
        (
            {"state": "not judged", "reason": "4 groups are too few for 28 pairs", "low": None, "high": None},
            "not judged (4 groups are too few for 28 pairs)",
            "",
        ),
    ],
)
def test_every_verdict_is_a_word_with_its_note(changed: dict, shown: str, note: str) -> None:
    table = pairs_table(with_pairs(**changed))
    assert {row["verdict"] for row in displayed(table)} == {shown}
    assert note in "\n".join(table.notes)


def test_one_seed_has_a_difference_and_no_verdict() -> None:
    table = pairs_table(make_comparison(3, 1, seeds=1))
    for row in displayed(table):
        assert set(row) == {"dataset", "network", "against", "difference, points [interval]", "verdict"}
        assert row["verdict"] == "not judged (one seed)"
        assert "[" not in row["difference, points [interval]"]
    assert "Not judged (one seed): a single training" in "\n".join(table.notes)
    assert "Holm" not in "\n".join(table.notes)
    assert {(row["verdict"], row["reason"], row["p"]) for row in in_csv(table)} == {("not judged", "one seed", "")}


def test_the_notes_say_over_what_the_tests_are_and_at_which_level() -> None:
    (first, *_) = pairs_table(make_comparison(3, 1)).notes
    assert "Wilcoxon's signed-rank test over images and of the t interval over images and trainings" in first
    assert "(98.3 %)" in first
    assert "over groups of images" in pairs_table(make_comparison(3, 1, groups=6)).notes[0]
    made = make_comparison(3, 1)
    levels = [replace(pair, confidence=level) for pair, level in zip(made.pairs, (0.95, 0.975, 0.983), strict=True)]
    assert "(95 % to 98.3 %)" in pairs_table(replace(made, pairs=tuple(levels))).notes[0]
    pooled = replace(made, measure=MEASURES["pooled_dice"])
    assert "Wilcoxon" not in pairs_table(pooled).notes[0]
    assert "jackknife" in pairs_table(pooled).notes[0]


def test_a_margin_of_distances_is_in_their_unit() -> None:
    made = make_comparison(3, 1)
    pairs = tuple(replace(pair, state="equivalent") for pair in made.pairs)
    text = "\n".join(pairs_table(replace(made, measure=MEASURES["hd95"], pairs=pairs)).notes)
    assert "Equivalent: shown to differ by less than 1 pixel (two one-sided tests)." in text
    assert "point" not in text


def test_of_many_networks_the_pairs_with_the_best_are_displayed_and_all_are_in_csv() -> None:
    made = make_comparison(8, 2)
    table = pairs_table(made)
    assert len(displayed(table)) == 2 * 7
    assert {row["network"] for row in displayed(table)} == {"network1"}
    assert len(in_csv(table)) == 2 * 28
    assert "all pairs are in pairs.csv" in table.notes[-1]
    assert len(displayed(pairs_table(make_comparison(6, 1)))) == MOST_PAIRS
    worst = replace(made, measure=replace(made.measure, higher_is_better=False))
    assert {row["network"] for row in displayed(pairs_table(worst))} == {"network8"}


def test_one_seed_of_many_networks_is_seen_from_the_highest_mean() -> None:
    assert {row["network"] for row in displayed(pairs_table(make_comparison(8, 1, seeds=1)))} == {"network1"}


# Wins and ranks.


def test_wins_are_side_by_side_and_in_csv_below_one_another() -> None:
    made = make_comparison(3, 2)
    rows = made.rows
    table = wins_table(replace(made, wins={**made.wins, (rows[0], rows[2]): (2, 0, 0), (rows[2], rows[0]): (0, 0, 2)}))
    first = displayed(table)[0]
    assert first == {"network": "(1) network1", "(1)": "-", "(2)": "1/1/0", "(3)": "2/0/0", "all": "3/1/0"}
    counts = {(row["network"], row["against"]): row for row in in_csv(table)}
    assert (counts["network3", "network1"]["worse"], counts["network3", "all"]["better"]) == ("2", "1")
    assert table.notes == (
        "Datasets, of 2, on which the network is better / no difference is shown / the network is worse.",
    )
    assert displayed(wins_table(make_comparison(1, 2))) == []
    assert displayed(wins_table(replace(made, wins=dict.fromkeys(made.wins, (0, 0, 0))))) == [], "nothing is judged"


def test_ranks_have_letters_where_there_is_a_test() -> None:
    rows = make_comparison(4, 1).rows
    tested = Ranking(rows, (1.2, 1.9, 3.1, 3.8), 6, 0.003, 1.0, ())
    table = ranking_table(tested, MEASURES["dice"])
    assert [row["no difference shown"] for row in displayed(table)] == ["a", "a", "b", "b"]
    assert "Critical difference of Nemenyi at 0.05: 1.00 ranks" in table.notes[0]
    assert float(in_csv(table)[1]["average_rank"]) == 1.9
    few = ranking_table(replace(tested, p=None, critical=None, left_out=rows[3:]), MEASURES["dice"])
    assert "too few to test ranks" in few.notes[0]
    assert few.notes[-1] == "Not ranked, without a score on every dataset: network4."
    assert "no difference shown" not in displayed(few)[0]


# Ablations.


def test_an_ablation_shows_the_difference_from_the_default(tmp_path: Path) -> None:
    networks = {f"convunext model.kernel_size={k}": effect for k, effect in ((3, -0.015), (7, 0.0), (9, 0.004))}
    comparison = compare_runs(read_runs([fabricate(tmp_path / "s", networks, seeds=(0, 1, 2))]).runs, MEASURES["dice"])
    ablations = find_ablations(comparison)
    (table,) = ablation_tables(ablations, comparison)
    default, *others = displayed(table)
    assert table.title == "Ablation: kernel_size (Dice)"
    assert default["value"] == "7 (default)"
    assert default["kvasir: p, Holm"] == default["kvasir: difference, points [interval]"] == ""
    for row, pair in zip(others, ablations[0].blocks[0].pairs.values(), strict=True):
        values = tuple(100 * value for value in (pair.difference, pair.low, pair.high))
        assert row["kvasir: difference, points [interval]"] == "{:+.2f} [{:+.2f}, {:+.2f}]".format(*values)
        assert row["kvasir: p, Holm"] == p_value(pair.corrected)


def test_ablations_share_a_csv_file_with_the_columns_of_pairs() -> None:
    made = make_comparison(3, 2)
    one = make_ablation(made)
    tables = ablation_tables([one, replace(one, factor="model.other")], made)
    assert [table.name for table in tables] == ["ablation-kernel_size", "ablation-other"]
    assert {table.csv for table in tables} == {"ablations"}
    assert in_csv(tables[0]) == in_csv(tables[1])
    rows = in_csv(tables[0])
    assert len(rows) == 2 * 3 * 2
    assert set(in_csv(pairs_table(made))[0]) - {"against"} <= set(rows[0])
    assert [row["difference"] for row in rows[:2]] == ["", ""]


def test_a_default_that_is_not_there_is_named() -> None:
    made = make_comparison(2, 1)
    one = make_ablation(made)
    guessed = replace(one, blocks=(replace(one.blocks[0], known=False),))
    (table,) = ablation_tables([guessed], made)
    assert "the first is taken for it: network1." in table.notes[-1]


def test_a_pair_seen_from_the_other_side_turns_everything_around() -> None:
    pair: Pair = make_comparison(3, 1).pairs[1].reversed()
    made = replace(make_comparison(3, 1), pairs=(pair,))
    (row,) = displayed(pairs_table(made))
    assert (row["network"], row["verdict"]) == ("network3", "worse")
    assert row["difference, points [interval]"] == "-3.00 [-4.00, -2.00]"
    assert row["a new training is better"] == "17 % [5, 39]"
    assert "worse" in as_markdown(pairs_table(made))
