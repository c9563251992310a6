"""docs/scores.md: the tables of scores and of datasets are those of the code."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

from medseg.config.checks.commands import Scores
from medseg.data import datasets
from medseg.data.datasets.base import Dataset
from medseg.metrics import MEASURES
from medseg.metrics.measures import CHOOSABLE

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "scores.md").read_text(encoding="utf-8")


def table(heading: str) -> list[list[str]]:
    """The rows of the first table whose header begins with these cells."""
    rows = PAGE.partition(f"| {heading}")[2].split("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


def test_every_optional_score_is_described() -> None:
    assert tuple(row[0].strip("`") for row in table("score | what it is")) == CHOOSABLE


def test_the_scores_of_the_datasets_are_those_of_the_table() -> None:
    written = {}
    for names, scores, reason in table("`data=` | `scores`"):
        assert reason
        written |= {name: tuple(scores.split(", ")) for name in re.findall(r"[a-z0-9]+", names.split(" with ")[0])}
    known = {}
    for dataset in vars(datasets).values():
        if (
            isinstance(dataset, type)
            and issubclass(dataset, Dataset)
            and isinstance(getattr(dataset, "name", None), str)
        ):
            scores = dataset().scores if dataset.name == "synthetic" else dataset.scores
            known[dataset.name] = scores or ("-",)
    assert {name: written[name] for name in known} == known
    assert set(written) == {*known, "medsegbench"}
    assert {*CHOOSABLE} >= {score for scores in known.values() for score in scores} - {"-"}


def test_an_option_takes_every_optional_score() -> None:
    assert get_args(Scores) == CHOOSABLE


def test_every_score_is_compared_with_another_implementation() -> None:
    known = {measure.name for measure in MEASURES.per_image if measure.unit != "mm"}
    assert {row[0] for row in table("score | compared with")} == known
    assert all(float(row[4]) < 1e-4 for row in table("score | compared with") if "DeepMind" not in row[1])
