"""What is said of each dataset: the verdicts of the rule in words, for one seed, ties, missing runs, lower scores."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from medseg.metrics.measures import MEASURES
from medseg.reporting.cells import Cell, Score
from medseg.reporting.claims.file import Claim
from medseg.reporting.claims.sentences import conclude_claims
from medseg.reporting.claims.verdict import JudgedStudy, OnDataset, Verdict
from medseg.reporting.comparison import Comparison
from medseg.reporting.conclusions import conclude, kind_of, kinds_of
from medseg.reporting.line import Line
from medseg.reporting.planning import Plan
from medseg.reporting.report import Report, compare
from medseg.runs.reading import read_runs
from medseg.system.files import write_json
from tests.reporting.fabricate import fabricate
from tests.reporting.fabricate_evaluations import fabricate_evaluations
from tests.reporting.tables.made import make_comparison, make_pair, make_run

MANY = ["best", *"bcdefg"]


def judged(names: list[str], *states: Any, seeds: int = 3, **plans: Any) -> Comparison:
    """Compare networks on one dataset; `states`: of the pair of the first with each other one, seen from the first."""
    made = make_comparison(names, ["data"], seeds=seeds)
    first, *others = made.rows
    pairs = []
    for row, state in zip(others, states, strict=True):
        state, reason = state if isinstance(state, tuple) else (state, "")
        pairs.append(make_pair(first, row, made.columns[0], 0.02, state=state, reason=reason))
    return replace(made, pairs=tuple(pairs), plans=())


def planned(comparison: Comparison, one: int | None, two: int | None, images: int | None = None) -> Comparison:
    """Add the plans of 1 point and 2 points: how many seeds each takes."""
    column = comparison.columns[0]
    plans = ((column, Plan(size, 3, 3, 120, 0.4, seeds, images)) for size, seeds in ((0.01, one), (0.02, two)))
    return replace(comparison, plans=tuple(plans))


def text_of(comparison: Comparison) -> str:
    (one,) = conclude(comparison)
    return one.text


@pytest.mark.parametrize(
    ("states", "rest"),
    [
        (["better"], "; it is better than b."),
        (["undecided"], "; b is not shown to differ from it."),
        (["equivalent"], "; b is equivalent to it within 1 point."),
        (["better", "better"], "; it is better than both others."),
        (["better", "undecided"], "; it is better than 1 of 2 others, and c is not shown to differ."),
        (["undecided", "undecided"], "; b and c are not shown to differ from it."),
        (["undecided"] * 4, "; none of the 4 others is shown to differ from it."),
        (["better"] + ["undecided"] * 4, "; it is better than 1 of 5 others, and 4 are not shown to differ."),
        (
            ["better", "equivalent", "undecided"],
            "; it is better than 1 of 3 others, and d is not shown to differ, and c is equivalent to it within 1 "
            "point.",
        ),
        (
            ["better", ("not judged", "one seed")],
            "; it is better than 1 of 2 others, and c is not judged (one seed).",
        ),
        (
            [("undecided", "4 images are too few to judge a pair")],
            "; b is not shown to differ from it (4 images are too few to judge a pair).",
        ),
        (["worse"], "; b is better than it on the images that both were tested on."),
    ],
)
def test_the_verdicts_of_the_pairs_are_in_words(states: list[Any], rest: str) -> None:
    assert text_of(judged(MANY[: len(states) + 1], *states)) == f"On data, best has the highest Dice, 0.900{rest}"


def test_no_pair_is_judged_again() -> None:
    # Against its numbers: what is said follows from the state alone, as everything in the report does.
    made = judged(MANY[:2], "undecided")
    pair = replace(made.pairs[0], p=0.0, corrected=0.0, low=0.1, high=0.2)
    assert "b is not shown to differ from it" in text_of(replace(made, pairs=(pair,)))


def test_of_a_score_that_is_better_when_lower_the_lowest_is_best() -> None:
    made = judged(MANY[:3], "better", ("undecided", ""))
    text = text_of(replace(made, measure=MEASURES["hd95"]))
    assert text == (
        "On data, best has the lowest HD95, 30.0 pixels; it is better than 1 of 2 others, and c is not shown to differ."
    )
    assert "equivalent to it within 1 pixel" in text_of(
        replace(judged(MANY[:2], "equivalent"), measure=MEASURES["hd95"])
    )


def test_one_seed_each_is_no_verdict() -> None:
    made = make_comparison(["a", "b"], ["data"], seeds=1)
    assert text_of(made) == (
        "On data, a has the highest Dice, 0.900, but each network has one seed, so there is no verdict: it takes two "
        "seeds."
    )
    assert {kind_of(one) for one in conclude(made)[0].standings} == {"unjudged"}
    # Of the best one alone.
    several = judged(["a", "b"], ("not judged", "one seed"))
    cells = dict(several.cells)
    cells[made.rows[0], made.columns[0]] = made.cells[made.rows[0], made.columns[0]]
    assert text_of(replace(several, cells=cells)) == (
        "On data, a has the highest Dice, 0.900, but with one seed, so it is not judged: it takes two seeds."
    )


def test_equal_means_share_the_place() -> None:
    made = judged(["a", "b", "c"], "equivalent", "better")
    key = (made.rows[1], made.columns[0])
    same: Cell = replace(made.cells[key], scores=made.cells[made.rows[0], made.columns[0]].scores)
    text = text_of(replace(made, cells={**made.cells, key: same}))
    assert text == (
        "On data, a and b have the highest Dice, 0.900 each; a is better than 1 of 2 others, and b is equivalent to a "
        "within 1 point."
    )


def test_a_single_network_is_compared_with_none() -> None:
    assert text_of(make_comparison(["a"], ["data"])) == (
        "On data, a has a mean Dice of 0.900; there is no other network to compare it with."
    )
    assert "of 0.900, with one seed;" in text_of(make_comparison(["a"], ["data"], seeds=1))


def test_a_network_whose_others_have_no_score_is_not_alone() -> None:
    made = make_comparison(["a", "b"], ["data"])
    key = (made.rows[1], made.columns[0])
    failed = tuple(replace(run, state="failed") for run in made.cells[key].runs)
    without = replace(made.cells[key], runs=failed, sample=None, scores={})
    assert text_of(replace(made, cells={**made.cells, key: without}, pairs=())) == (
        "On data, a has a mean Dice of 0.900; no other network has a score. 3 of 6 runs are missing: b has no Dice."
    )


def test_folds_of_one_seed_are_no_single_training(tmp_path: Path) -> None:
    folder = fabricate(tmp_path / "s", {"unet": 0.0, "convunext": 0.05}, folds=(0, 1), images=10)
    (text,) = compare(read_runs([folder])).sentences
    assert text.endswith(", but each network has one seed, so there is no verdict: it takes two seeds.")


def test_names_with_commas_are_told_apart() -> None:
    made = judged(["best", "net, lr=1", "net, lr=2"], "undecided", "undecided")
    assert "; net, lr=1 and net, lr=2 are not shown" in text_of(made)
    made = judged(["best", "net, lr=1", "net, lr=2", "net, lr=3"], *["undecided"] * 3)
    assert "; net, lr=1; net, lr=2 and net, lr=3 are not shown" in text_of(made)


# What more seeds would do.


@pytest.mark.parametrize(
    ("one", "two", "images", "sentence"),
    [
        (
            12,
            5,
            None,
            "To show a difference of 2 points with a power of 80 % would take about 5 seeds; 1 point would take about "
            "12.",
        ),
        (
            None,
            7,
            None,
            "To show a difference of 2 points with a power of 80 % would take about 7 seeds; for 1 point, 100 are not "
            "enough on these images.",
        ),
        (
            9,
            2,
            None,
            "The seeds are enough to show a difference of 2 points with a power of 80 %; 1 point would take about 9.",
        ),
        (3, 2, None, "The seeds are enough to show a difference of 1 point with a power of 80 %."),
        (
            None,
            None,
            2157,
            "On these images, 100 seeds would not show a difference of 2 points with a power of 80 %; about 2,200 "
            "images would, with 3 seeds.",
        ),
        (None, None, None, "On these images, 100 seeds would not show a difference of 2 points with a power of 80 %."),
    ],
)
def test_what_is_undecided_says_how_many_seeds_would_decide(
    one: int | None, two: int | None, images: int | None, sentence: str
) -> None:
    assert text_of(planned(judged(MANY[:2], "undecided"), one, two, images)).endswith(f"from it. {sentence}")


def test_what_the_plan_counts_is_named() -> None:
    made = judged(MANY[:2], "undecided")
    of_groups = make_comparison(MANY[:2], ["data"], groups=8)
    text = text_of(planned(replace(made, cells=of_groups.cells), None, None, 40))
    assert text.endswith("with a power of 80 %; about 40 groups of images would, with 3 seeds.")


@pytest.mark.parametrize("state", ["better", "equivalent"])
def test_what_is_decided_needs_no_plan(state: str) -> None:
    assert "seeds" not in text_of(planned(judged(MANY[:2], state), 12, 5))


# What is missing.


def test_missing_runs_and_scores_are_counted() -> None:
    made = judged(MANY[:3], "better", "better")
    _, second, third = (made.cells[row, made.columns[0]] for row in made.rows)
    failed = tuple(replace(run, state="failed") for run in third.runs)
    one = (*second.runs[:2], make_run("b", "data", 2, "waiting"))
    cells = {(cell.row, cell.column): cell for cell in made.cells.values()}
    cells[third.row, third.column] = replace(third, runs=failed, sample=None, scores={})
    made = replace(made, cells=cells, pairs=made.pairs[:1])
    assert text_of(made).endswith("; it is better than b. 3 of 9 runs are missing: c has no Dice.")
    cells = {**cells, (second.row, second.column): replace(second, runs=one)}
    assert text_of(replace(made, cells=cells)).endswith("4 of 9 runs are missing: c has no Dice.")
    assert text_of(replace(made, cells={k: replace(c, scores={}) for k, c in cells.items()})).startswith(
        "On data, no network has a score yet (Dice). 4 of 9"
    )


def test_finished_folds_of_a_seed_that_lacks_one_are_not_missing(tmp_path: Path) -> None:
    folder = fabricate(tmp_path / "s", {"unet": 0.0, "convunext": 0.05}, seeds=(0, 1), folds=range(3), images=6)
    tree = read_runs([folder])
    last = next(run for run in tree.runs if (run.model, run.seed, run.fold) == ("unet", 1, 2))
    write_json(last.folder / "status.json", {"state": "failed", "error": "x"})
    (text,) = compare(read_runs([folder])).sentences
    assert text.endswith("1 of 12 runs is missing, and 2 are finished but not in the scores.")
    for run in tree.runs:
        if (run.model, run.seed, run.fold) == ("unet", 1, 2):
            shutil.rmtree(run.folder)
    (folder / "sweep.json").unlink()
    (text,) = compare(read_runs([folder])).sentences
    assert text.endswith(" 2 of 11 runs are finished but not in the scores.")


def test_missing_evaluations_are_counted() -> None:
    made = make_comparison(["a", "b", "c"], ["data"])
    own = made.columns[0]
    external = Line("data -> other", "data -> other", (), of=own)
    a, b, c = (made.cells[row, own] for row in made.rows)
    assert a.sample is not None
    c = replace(c, runs=(*c.runs[:2], make_run("c", "data", 2, "failed")))
    some = replace(a, column=external, runs=a.runs[:2], sample=replace(a.sample, seeds=(0, 1)))

    def text(**cells: Cell) -> str:
        there = {(cell.row, external): replace(cell, column=external) for cell in cells.values()}
        whole = replace(made, columns=(own, external), cells={**made.cells, (c.row, own): c, **there})
        return conclude(whole)[1].text

    start = "On the external test data -> other, a has "
    assert text(a=a) == f"{start}a mean Dice of 0.900; no other network has a score. 5 of 8 evaluations are missing: b and c have no Dice."  # fmt: skip  # noqa: E501
    assert text(a=some, b=b).endswith(". 3 of 8 evaluations are missing: c has no Dice.")
    assert text(a=some, b=b, c=replace(c, runs=c.runs[:2])).endswith(". 1 of 8 evaluations is missing.")
    assert "missing" not in text(a=a, b=b, c=replace(c, runs=c.runs[:2]))


def test_a_sentence_begins_with_the_name_of_the_dataset(tmp_path: Path) -> None:
    networks = {"unet data.image_size=32": 0.0, "unet data.image_size=96": 0.0}
    folder = fabricate(tmp_path / "s", networks, seeds=(0, 1), images=8)
    first, second = compare(read_runs([folder])).sentences
    assert first.startswith("On kvasir, image_size=32, unet has ")
    assert second.startswith("On kvasir, image_size=96, unet has ")


def test_kinds_are_those_of_the_legend() -> None:
    made = judged(MANY[:6], "better", "undecided", "equivalent", ("not judged", "one seed"), "worse")
    (one,) = conclude(made)
    assert {standing.row.label: kind_of(standing) for standing in one.standings} == {
        "best": "best", "b": "behind", "c": "alike", "d": "alike", "e": "unjudged", "f": "ahead",
    }  # fmt: skip
    assert kinds_of(one.standings, MEASURES["hd95"])["best"] == "lowest HD95"
    assert list(kinds_of(one.standings[:3], MEASURES["dice"])) == ["best", "alike", "behind"]


# Of runs.


def test_a_report_of_runs_says_it_everywhere(tmp_path: Path) -> None:
    folder = fabricate(tmp_path / "s", {"unet": 0.0, "convunext": 0.05}, seeds=(0, 1, 2), images=30)
    fabricate_evaluations(folder, "cvc", effects={"convunext": 0.08}, groups=8)
    made = compare(read_runs([folder]))
    external = "On the external test kvasir -> cvc, convunext has the highest Dice, "
    assert made.sentences[0].startswith("On kvasir, convunext has the highest Dice, ")
    assert made.sentences[0].endswith("; it is better than unet.")
    assert made.sentences[1].startswith(external)
    assert str(made).endswith("\n".join(made.sentences))
    assert f"<p>{made.sentences[0]}</p>" in made._repr_html_()
    made.write(tmp_path / "out", "markdown")
    page = (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
    start, _, rest = page.partition("\n## Comparison\n")
    assert start.startswith("# Comparison of 2 networks on kvasir\n\ns: 6 runs (6 finished)")
    assert start.index("![overview](figures/overview.png)") < start.index(f"- {made.sentences[0]}")
    assert "overview" not in rest.partition("## Figures")[2]


# Claims.


def claim(says: str) -> Claim:
    return Claim(says=says, source="abstract", better={"model": says}, than=(), where={}, measure=MEASURES["dice"])


def test_claims_are_counted_and_contradictions_are_stated() -> None:
    first, second, data = (Line(name, name, ()) for name in ("a", "b", "data"))
    pair = make_pair(first, second, data, -0.031, low=-0.05, high=-0.012, state="worse")
    against = Verdict(
        claim("A is better than B."), "contradicted", "", (OnDataset("b", pair),), 6, "256 x 256, 9 epochs",
        ("data: differences from 2.90 points on are shown with a power of 80 %",),
    )  # fmt: skip
    others = [Verdict(claim(f"claim {k}"), state) for k, state in enumerate(["supported", *["not comparable"] * 4])]
    paper = JudgedStudy("study", "A et al., 2024", (*others, against), 0)
    assert conclude_claims([paper]) == (
        "Of 6 claims, 1 is supported, 1 contradicted and 4 not comparable.",
        "Contradicted: “A is better than B” (A et al., 2024: abstract). Here: data -3.10 [-5.00, -1.20] worse; data: "
        "differences from 2.90 points on are shown with a power of 80 % (runs: 256 x 256, 9 epochs).",
    )
    undecided = replace(against, state="undecided")
    assert conclude_claims([replace(paper, verdicts=(*others[1:], undecided))]) == (
        "Of 5 claims, 0 are supported, 0 contradicted, 1 undecided and 4 not comparable.",
    )
    twice = replace(paper, verdicts=(against, replace(against, protocol="other"), others[1]))
    assert conclude_claims([twice])[0].startswith("Of 3 verdicts on 2 claims, some under several settings, 0 are")
    # Another study asks the same in other words; the runs are too short for it.
    again = replace(against, claim=replace(against.claim, says="B is worse.", source="us"), state="not comparable")
    first = JudgedStudy("first", "Ours", (again,), 0)
    assert conclude_claims([first, paper]) == conclude_claims([paper])
    assert conclude_claims([]) == ()


def test_claims_are_not_counted_where_none_about_a_score_was_judged() -> None:
    counted = Verdict(claim("A has 10 % of the parameters of B."), "contradicted", counted=20.0)
    first, second, data = (Line(name, name, ()) for name in ("a", "b", "data"))
    pair = make_pair(first, second, data, 0.0, state="not judged")
    one_seed = Verdict(claim("A is better than B."), "not judged", "one seed", (OnDataset("b", pair),))
    small = Verdict(claim("A is better than C."), "not comparable", "2 epochs")
    assert conclude_claims([JudgedStudy("study", "A et al., 2024", (counted, one_seed, small), 0)]) == ()


# Titles.


@pytest.mark.parametrize(
    ("rows", "datasets", "title"),
    [
        (["a", "b"], ["x"], "Comparison of 2 networks on x"),
        (["a"], ["x", "y"], "Scores of a on x and y"),
        (["a", "b"], list("vwxyz"), "Comparison of 2 networks on 5 datasets"),
    ],
)
def test_a_title_says_what_is_compared(rows: list[str], datasets: list[str], title: str) -> None:
    made = make_comparison(rows, datasets)
    runs = [run for cell in made.cells.values() for run in cell.runs]
    assert Report(runs, made, [], []).title == title


def test_a_title_tells_settings_from_networks() -> None:
    made = make_comparison(["a", "b", "c"], ["x"])
    one = tuple(replace(row, name="net") for row in made.rows)
    assert Report([], replace(made, rows=one), [], []).title == "Comparison of 3 settings of net on x"
    two = (*one[:2], made.rows[2])
    assert Report([], replace(made, rows=two), [], []).title == "Comparison of 3 settings of 2 networks on x"


def test_the_score_is_as_in_the_table() -> None:
    made = judged(["a", "b"], "better")
    key = (made.rows[0], made.columns[0])
    cell = replace(made.cells[key], scores={"dice": Score(0.91249, 0.01, 0.9, 0.92)})
    assert "the highest Dice, 0.912;" in text_of(replace(made, cells={**made.cells, key: cell}))
