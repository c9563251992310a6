"""Numbers and verdicts in words."""

from __future__ import annotations

from dataclasses import replace

import pytest

from medseg.metrics.measures import MEASURES, Measure
from medseg.reporting.cells import Score
from medseg.reporting.formatting import (
    describe_unused,
    difference,
    fixed,
    interval,
    last_line,
    margin,
    number,
    p_value,
    percent,
    signed,
    spread,
    verdict,
)
from tests.reporting.tables.made import lines, make_pair, make_run

DICE, HD95 = MEASURES["dice"], MEASURES["hd95"]
ROWS = lines("network", 2)
PAIR = make_pair(*ROWS, *lines("data", 1), 0.03)


def test_numbers() -> None:
    assert number(0.8235, 3) == "0.824"
    assert number(-0.0001, 3) == "0.000"
    assert number(None, 3) == "-"
    assert signed(1.25, 1) == "+1.2"
    assert signed(-0.001, 2) == "0.00"
    assert p_value(0.00099) == "<0.001"
    assert p_value(0.0499) == "0.050"
    assert p_value(None) == "-"
    assert fixed(2, 1e6)(4_320_000) == "4.32"


@pytest.mark.parametrize(
    ("share", "expected"), [(0, "0 %"), (0.001, "<1 %"), (0.834, "83 %"), (0.999, ">99 %"), (1, "100 %")]
)
def test_a_share_looks_certain_only_where_it_is(share: float, expected: str) -> None:
    assert percent(share) == expected


def test_the_last_line_of_an_error() -> None:
    assert last_line("Traceback\n  File\n\nValueError: no\n") == "ValueError: no"
    assert last_line(None) == ""
    assert len(last_line("x" * 500)) == 160


def test_a_score_has_its_interval_or_the_reason_why_not() -> None:
    score = Score(0.8, 0.012, 0.78, 0.82)
    assert spread(score, DICE) + interval(score, DICE) == " ± 0.012 [0.780, 0.820]"
    assert interval(replace(score, low=None, high=None, remark="too few seeds"), DICE) == " [too few seeds]"
    assert interval(replace(score, low=None, high=None), DICE) == ""
    assert spread(replace(score, sd=None), DICE) == ""


def test_a_difference_is_in_points_or_in_the_unit_of_the_score() -> None:
    assert difference(PAIR, DICE) == "+3.00 [+2.00, +4.00]"
    assert difference(replace(PAIR, difference=-1.25, low=-2, high=0.5), HD95) == "-1.2 [-2.0, +0.5]"
    assert difference(replace(PAIR, low=None, high=None), DICE) == "+3.00"


@pytest.mark.parametrize(
    ("measure", "expected"),
    [(DICE, "1 point"), (HD95, "1 pixel"), (replace(HD95, unit="mm"), "1 mm"), (replace(HD95, unit="s"), "1 s")],
)
def test_a_margin_is_one_of_the_unit_of_the_score(measure: Measure, expected: str) -> None:
    assert margin(measure) == expected


def test_what_is_not_judged_says_why() -> None:
    assert verdict(PAIR) == "better"
    assert verdict(replace(PAIR, state="not judged", reason="one seed")) == "not judged (one seed)"


def test_what_is_not_in_the_scores_has_its_reason() -> None:
    runs = [make_run("net", "data", seed) for seed in (1, 2)]
    assert describe_unused(runs) == "seed 1, seed 2 (tested on other images than the first seed)"
    folds = [replace(runs[0], fold=fold) for fold in (0, 1)]
    assert describe_unused(folds) == "seed 1 fold 0, seed 1 fold 1 (another fold of the seed is missing)"
