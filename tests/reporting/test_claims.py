"""Verdicts on claims: those of the pairs of the comparison, on every dataset alike, under the protocol of the file."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import yaml

from medseg.errors import UserError
from medseg.metrics.measures import MEASURES, Measure, Measures
from medseg.reporting.claims import judging
from medseg.reporting.claims.file import EPOCHS, SIZE, STEPS, read_claims
from medseg.reporting.claims.judging import judge, judge_studies
from medseg.reporting.claims.power import power_text
from medseg.reporting.claims.verdict import Verdict, as_rows
from medseg.reporting.line import Line
from medseg.reporting.planning import Variances, plan, smallest_difference
from medseg.reporting.published import experiments_folder
from medseg.reporting.tables.papers import levels
from medseg.runs.naming import flatten
from medseg.runs.run import Run
from tests.reporting.test_planning import KNOWN as ONE_PAIR

BETTER = {"better": {"model": "convunext"}, "than": {"model": "unet"}}

PARAMETERS = {"unet": 4_320_000, "convunext": 3_510_000, "amsunet": 2_620_000}

# A comparison as far as claims look at it.


@dataclass(frozen=True)
class Pair:
    first: Line
    second: Line
    column: Line
    difference: float
    state: str
    low: float | None = None
    high: float | None = None
    reason: str = ""
    grouped: bool = False

    def reversed(self) -> Pair:
        state = {"better": "worse", "worse": "better"}.get(self.state, self.state)
        low, high = (None if end is None else -end for end in (self.high, self.low))
        return Pair(self.second, self.first, self.column, -self.difference, state, low, high, self.reason)


@dataclass(frozen=True)
class Sample:
    ids: tuple[str, ...]
    counts: Any


@dataclass(frozen=True, eq=False)
class Cell:
    row: Line
    column: Line
    runs: tuple[Run, ...]
    sample: Sample | None
    unused: tuple[Run, ...] = ()


@dataclass
class Comparison:
    cells: dict[tuple[Line, Line], Cell] = field(default_factory=dict)
    pairs: list[Pair] = field(default_factory=list)
    measure: Measure = MEASURES["dice"]
    measures: Measures = field(default_factory=lambda: MEASURES)


def make_run(row: Line, data: str, seed: int = 0, **settings: Any) -> Run:
    """A run that is `finished`, or in another `state`."""
    given = {"trainer.max_epochs": "5", **dict(row.facts)}
    groups = {key: given.pop(key) for key in list(given) if "." not in key and key != "experiment"}
    choices = {"model": row.name, "data": data, "protocol": "medseg", "optimizer": "adamw", **groups}
    run = Run(
        folder=Path(row.label, data, str(seed)), name=row.label, state=settings.get("state", "finished"), error=None,
        experiment=given.pop("experiment", "sweep"), model=row.name, data=data, seed=seed, fold=settings.get("fold"),
        setting=row.label, choices=choices, defaults={key: None for key in given if key.startswith("model.")},
    )  # fmt: skip
    flat = {"model.kernel_size": 7, **{key: yaml.safe_load(value) for key, value in given.items()}}
    limit = {"trainer": {"limit_train_batches": settings["limit"]}} if "limit" in settings else {}
    run.__dict__["_configuration"] = (limit or {"model": {}}, flat)
    run.__dict__["epochs"] = [{"step": 100.0}, {"step": 200.0}]
    size = settings.get("size", 96)
    run.__dict__["summary"] = {
        "evaluation_size": [size, settings.get("width", size)],
        "epochs": settings.get("epochs", 5),
        "parameters": PARAMETERS.get(row.name),
    }
    return run


def line(name: str, **facts: str) -> Line:
    return Line(" ".join([name, *facts.values()]), name, tuple((k.replace("__", "."), v) for k, v in facts.items()))


UNET, CONVUNEXT, AMSUNET = line("unet"), line("convunext"), line("amsunet")
KVASIR, ISIC, DSB = line("kvasir"), line("isic"), line("dsb")


def compared(
    states: Mapping[tuple[Line, Line], Sequence[str]],
    columns: Sequence[Line] = (KVASIR, ISIC, DSB),
    seeds: Iterable[int] = (0, 1, 2),
    **settings: Any,
) -> Comparison:
    """A comparison whose pairs have the given states on the datasets; a better one is better by .02."""
    made = Comparison()
    for (first, second), of in states.items():
        for column, state in zip(columns, of, strict=True):
            for row in (first, second):
                if (row, column) not in made.cells:
                    runs = tuple(make_run(row, column.name, seed, **settings) for seed in seeds)
                    made.cells[row, column] = Cell(row, column, runs, Sample(("a", "b"), np.ones((3, 2, 1, 4), int)))
            mean = {"better": 0.02, "worse": -0.02}.get(state, 0.005)
            pair = Pair(first, second, column, mean, state, mean - 0.01, mean + 0.01)
            unjudged = replace(pair, low=None, high=None, reason="one seed")
            made.pairs.append(unjudged if state == "not judged" else pair)
    return made


def verdicts(folder: Path, comparison: Any, *given: Mapping[str, Any], **protocol: Any) -> list[Verdict]:
    """Judge claims under a protocol of 64 pixels and 5 epochs."""
    items = [{"says": "It is so.", "source": "abstract", **claim} for claim in given]
    length = {STEPS: protocol["steps"]} if "steps" in protocol else {EPOCHS: protocol.get("epochs", 5)}
    least = {SIZE: protocol.get("size", 64), **length}
    file = folder / "claims.yaml"
    file.write_text(yaml.safe_dump({"title": "A paper", "protocol": least, "claims": items}))
    return judge(file, comparison)


@dataclass
class Known:
    """A family whose pairs all have the same variances."""

    of_each: Variances | None

    def variances(self, first: Line, second: Line) -> Variances | None:
        return self.of_each


@pytest.fixture(autouse=True)
def other_pairs(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[Pair]]:
    """The pairs under other measures and on thirds of the images, as a test fills them in: `hd95`, `dice 6 7 8`."""
    given: dict[str, list[Pair]] = {}

    def pairs_under(comparison: Any, measure: Measure, images: Mapping[Line, Sequence[str]] | None) -> list[Pair]:
        return given[" ".join([measure.name, *(images[KVASIR] if images else ())])]

    monkeypatch.setattr(judging, "pairs_under", pairs_under)
    monkeypatch.setattr(judging, "family_under", lambda *_: Known(None))
    return given


# Over datasets.


@pytest.mark.parametrize(
    ("states", "expected", "remarks"),
    [
        (("better", "better", "better"), "supported", ()),
        (("worse", "worse", "worse"), "contradicted", ()),
        (("equivalent", "equivalent", "equivalent"), "equivalent", ()),
        (("undecided", "undecided", "undecided"), "undecided", ()),
        (("better", "undecided", "better"), "undecided", ("better on 2, undecided on 1 of 3 datasets",)),
        (("worse", "undecided", "undecided"), "undecided", ("worse on 1, undecided on 2 of 3 datasets",)),
        (("better", "equivalent", "better"), "undecided", ("better on 2, equivalent on 1 of 3 datasets",)),
        (("better", "worse", "undecided"), "mixed", ("better on 1, worse on 1, undecided on 1 of 3 datasets",)),
        (("better", "not judged", "better"), "supported",
         ("not judged: one seed", "better on 2, not judged on 1 of 3 datasets")),
    ],
)  # fmt: skip
def test_a_claim_needs_the_same_verdict_on_every_dataset(
    states: tuple[str, ...], expected: str, remarks: tuple[str, ...], tmp_path: Path
) -> None:
    (verdict,) = verdicts(tmp_path, compared({(CONVUNEXT, UNET): states}), BETTER)
    assert (verdict.state, verdict.reason, verdict.remarks) == (expected, "", remarks)
    assert [on.pair.state for on in verdict.datasets] == list(states)
    assert (verdict.runs, verdict.protocol) == (18, "protocol=medseg, 96 x 96, 5 epochs, 3 seeds")


def test_a_pair_is_seen_from_the_side_that_should_be_better(tmp_path: Path) -> None:
    (verdict,) = verdicts(tmp_path, compared({(UNET, CONVUNEXT): ("worse", "worse", "worse")}), BETTER)
    assert verdict.state == "supported"
    assert [on.pair.difference for on in verdict.datasets] == [0.02] * 3


def test_one_seed_is_not_judged(tmp_path: Path) -> None:
    made = compared({(CONVUNEXT, UNET): ("not judged",) * 3}, seeds=(0,))
    (verdict,) = verdicts(tmp_path, made, {**BETTER, "with_fewer_parameters": True})
    assert (verdict.state, verdict.reason) == ("not judged", "one seed")
    (row,) = as_rows([verdict])
    assert row["verdict"] == "not judged: one seed"
    assert row["datasets"].startswith("kvasir +0.50 not judged; ")


ALL, NONE, ONE = ("better",) * 3, ("undecided",) * 3, ("worse",) * 3


@pytest.mark.parametrize(
    ("against_unet", "against_amsunet", "expected"),
    [
        (ALL, ALL, "supported"),
        (ALL, NONE, "undecided"),
        (ALL, ONE, "contradicted"),
        (ALL, ("better", "worse", "better"), "mixed"),
        (("equivalent",) * 3, ("equivalent",) * 3, "equivalent"),
        (ALL, ("equivalent",) * 3, "undecided"),
        (ALL, ("not judged",) * 3, "undecided"),
    ],
)
def test_better_than_each_needs_all_and_falls_with_one(
    against_unet: tuple[str, ...], against_amsunet: tuple[str, ...], expected: str, tmp_path: Path
) -> None:
    made = compared({(CONVUNEXT, UNET): against_unet, (CONVUNEXT, AMSUNET): against_amsunet})
    (verdict,) = verdicts(tmp_path, made, {**BETTER, "than": [{"model": "unet"}, {"model": "amsunet"}]})
    assert verdict.state == expected
    assert [on.against for on in verdict.datasets] == ["unet", "amsunet"] * 3
    assert verdict.runs == 27


def test_a_pair_that_cannot_be_decided_says_why(tmp_path: Path) -> None:
    made = compared({(CONVUNEXT, UNET): NONE})
    made.pairs = [replace(pair, reason="4 groups are too few for 28 pairs") for pair in made.pairs[:1]]
    (verdict,) = verdicts(tmp_path, made, BETTER)
    assert (verdict.state, verdict.remarks[-1]) == ("undecided", "undecided: 4 groups are too few for 28 pairs")


def test_better_than_each_without_runs_of_one_is_undecided(tmp_path: Path) -> None:
    claim = {**BETTER, "than": [{"model": "unet"}, {"model": "resunet"}]}
    (verdict,) = verdicts(tmp_path, compared({(CONVUNEXT, UNET): ALL}), claim)
    assert (verdict.state, verdict.remarks) == ("undecided", ("no comparable runs of resunet",))


# The protocol.


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"size": 48}, "48 x 48, 5 epochs"),
        ({"size": 48, "width": 96}, "48 x 96, 5 epochs"),
        ({"epochs": 4}, "96 x 96, 4 epochs"),
        ({"size": 64, "epochs": 5, "limit": 50}, "64 x 64, 200 steps"),
        ({"limit": 1}, "96 x 96, 200 steps"),
        ({"size": 64, "epochs": 5}, ""),
        ({"size": 480, "epochs": 300, "limit": 1.0}, ""),
    ],
)
def test_runs_below_the_protocol_are_not_comparable(settings: dict[str, Any], reason: str, tmp_path: Path) -> None:
    for state in ("better", "worse"):
        made = compared({(CONVUNEXT, UNET): (state,) * 3}, **settings)
        (verdict,) = verdicts(tmp_path, made, {**BETTER, "with_fewer_parameters": True})
        if not reason:
            assert verdict.state in ("supported", "contradicted")
            continue
        assert (verdict.state, verdict.reason, verdict.datasets) == ("not comparable", reason, ())
        assert as_rows([verdict])[0]["verdict"] == f"not comparable: {reason}"
        assert verdict.runs == 18


@pytest.mark.parametrize(("steps", "expected"), [(200, "supported"), (201, "not comparable")])
def test_a_protocol_may_count_steps(steps: int, expected: str, tmp_path: Path) -> None:
    made = compared({(CONVUNEXT, UNET): ("better",) * 3}, limit=50)
    (verdict,) = verdicts(tmp_path, made, BETTER, steps=steps)
    assert verdict.state == expected


@pytest.mark.parametrize(("settings", "expected"), [({"epochs": 1}, "not comparable"), ({"seeds": (0,)}, "not judged")])
def test_more_parameters_do_not_contradict_where_nothing_is_judged(
    settings: dict[str, Any], expected: str, tmp_path: Path
) -> None:
    made = compared({(CONVUNEXT, AMSUNET): ("not judged",) * 3}, **settings)
    (verdict,) = verdicts(tmp_path, made, {**BETTER, "than": {"model": "amsunet"}, "with_fewer_parameters": True})
    assert verdict.state == expected
    assert "3,510,000 parameters against 2,620,000" in verdict.remarks


def test_a_dataset_below_the_protocol_is_left_out_and_named(tmp_path: Path) -> None:
    made = compared({(CONVUNEXT, UNET): ("better", "better", "worse")})
    for run in made.cells[UNET, DSB].runs:
        run.summary["epochs"] = 1
    (verdict,) = verdicts(tmp_path, made, BETTER)
    assert (verdict.state, verdict.remarks) == ("supported", ("dsb: not comparable: 96 x 96, 1 epoch",))
    assert [on.pair.column for on in verdict.datasets] == [KVASIR, ISIC]


def test_a_protocol_can_differ_between_datasets(tmp_path: Path) -> None:
    made = compared({(CONVUNEXT, UNET): ("better", "better", "worse")})
    (verdict,) = verdicts(tmp_path, made, BETTER, epochs={"kvasir": 5, "isic": 6})
    assert verdict.state == "supported"
    assert verdict.remarks == (
        "isic: not comparable: 96 x 96, 5 epochs",
        "dsb: not comparable: the protocol does not name dsb",
    )


def test_sizes_are_counted_under_any_protocol(tmp_path: Path) -> None:
    made = compared({(CONVUNEXT, UNET): ALL}, size=8, epochs=1, seeds=(0,))
    size = {"parameters_of": {"model": "convunext"}, "of": {"model": "unet"}, "within": 0.1}
    right, wrong = verdicts(tmp_path, made, {**size, "are_percent": 81.2}, {**size, "are_percent": 80})
    assert (right.state, wrong.state) == ("supported", "contradicted")
    assert right.counted == pytest.approx(81.25)
    assert as_rows([right])[0]["difference"] == "81.2 % counted, 81.2 % claimed"
    (missing,) = verdicts(tmp_path, made, {**size, "are_percent": 60, "parameters_of": {"model": "amsunet"}})
    assert missing.state == "no runs"


def test_a_share_is_counted_on_each_dataset(tmp_path: Path) -> None:
    made = compared({(CONVUNEXT, UNET): ALL})
    for (row, column), cell in made.cells.items():
        for run in cell.runs:  # more classes on DSB
            run.summary["parameters"] = {"convunext": 747, "unet": 1000}[row.name] + 10 * (column == DSB)
    size = {"parameters_of": {"model": "convunext"}, "of": {"model": "unet"}, "are_percent": 74.6}
    exact, near, far = verdicts(tmp_path, made, *({**size, "within": within} for within in (0.1, 0.4, 0.01)))
    assert [one.state for one in (exact, near, far)] == ["mixed", "supported", "contradicted"]
    assert exact.remarks[0].startswith("747 parameters against 1,000; 757 parameters against 1,010; within 0.1 ")


def test_of_several_sizes_that_of_the_shipped_network_counts(tmp_path: Path) -> None:
    wide, wider = line("convunext", model__base_channels="64"), line("convunext", model__base_channels="96")
    made = compared({(CONVUNEXT, UNET): ALL, (wide, UNET): ALL, (wider, UNET): ALL})
    for number, row in enumerate((wide, wider), start=2):
        for run in made.cells[row, KVASIR].runs:
            run.summary["parameters"] = number * 4_320_000
    size = {"of": {"model": "unet"}, "are_percent": 81.25}
    (shipped,) = verdicts(tmp_path, made, {**size, "parameters_of": {"model": "convunext"}})
    assert shipped.counted == pytest.approx(81.25)
    del made.cells[CONVUNEXT, KVASIR], made.cells[CONVUNEXT, ISIC], made.cells[CONVUNEXT, DSB]
    for column in (ISIC, DSB):
        del made.cells[wide, column], made.cells[wider, column]
    (several,) = verdicts(tmp_path, made, {**size, "parameters_of": {"model": "convunext"}})
    assert several.state == "undecided"
    assert several.remarks == ("several sizes of convunext; name what tells them apart",)
    chosen = {"model": "convunext", "model.base_channels": 64}
    assert verdicts(tmp_path, made, {**size, "parameters_of": chosen})[0].counted == pytest.approx(200)


def test_settings_that_a_claim_asks_for_are_not_another_network(tmp_path: Path) -> None:
    wide = line("convunext", model__base_channels="64")
    narrow = line("convunext", model__base_channels="64", model__kernel_size="3")
    made = compared({(wide, UNET): ALL, (narrow, UNET): ONE})
    (verdict,) = verdicts(tmp_path, made, {**BETTER, "better": {"model": "convunext", "model.base_channels": 64}})
    assert (verdict.state, {on.pair.first for on in verdict.datasets}) == ("supported", {wide})


def test_fewer_parameters_are_part_of_a_claim(tmp_path: Path) -> None:
    made = compared({(CONVUNEXT, UNET): ALL, (CONVUNEXT, AMSUNET): ALL})
    fewer = [{**BETTER, "than": {"model": name}, "with_fewer_parameters": True} for name in ("unet", "amsunet")]
    right, wrong = verdicts(tmp_path, made, *fewer)
    assert (right.state, right.remarks) == ("supported", ("3,510,000 parameters against 4,320,000",))
    assert wrong.state == "contradicted"
    for run in made.cells[UNET, KVASIR].runs + made.cells[UNET, ISIC].runs + made.cells[UNET, DSB].runs:
        run.summary["parameters"] = None
    (unknown,) = verdicts(tmp_path, made, fewer[0])
    assert (unknown.state, unknown.remarks) == ("undecided", ("the number of parameters is not known",))


# Which runs.


def test_without_finished_runs_of_both_sides_there_is_no_verdict(tmp_path: Path) -> None:
    made = compared({(CONVUNEXT, UNET): ALL})
    for column in (KVASIR, ISIC, DSB):
        runs = tuple(make_run(CONVUNEXT, column.name, state="failed") for _ in range(2))
        made.cells[CONVUNEXT, column] = Cell(CONVUNEXT, column, runs, None)
    (verdict,) = verdicts(tmp_path, made, BETTER)
    assert (verdict.state, verdict.runs, verdict.remarks) == ("no runs", 0, ("6 of 15 runs not finished",))


def test_runs_that_are_not_in_the_score_do_not_count(tmp_path: Path) -> None:
    made = compared({(CONVUNEXT, UNET): ALL})
    cell = made.cells[UNET, DSB]
    late = make_run(UNET, "dsb", 4, state="running")
    made.cells[UNET, DSB] = replace(cell, runs=(*cell.runs, late), unused=cell.runs[2:])
    (verdict,) = verdicts(tmp_path, made, BETTER)
    assert (verdict.state, verdict.runs, verdict.remarks) == ("supported", 17, ("1 of 19 runs not finished",))


def test_only_rows_that_share_the_other_settings_are_compared(tmp_path: Path) -> None:
    sgd = {"optimizer": "sgd", "optimizer__lr": "0.1"}
    unet, convunext = line("unet", **sgd), line("convunext", **sgd)
    made = compared({(CONVUNEXT, UNET): ALL, (unet, UNET): ONE, (unet, CONVUNEXT): ONE})
    (verdict,) = verdicts(tmp_path, made, BETTER)
    assert (verdict.state, verdict.runs) == ("supported", 18)
    by_optimizer = {"where": {"model": "unet"}, "better": {"optimizer": "sgd"}, "than": {"optimizer": "adamw"}}
    assert [found.state for found in verdicts(tmp_path, made, by_optimizer)] == ["contradicted"]

    two = compared({(CONVUNEXT, UNET): ALL, (convunext, unet): ONE})
    found = verdicts(tmp_path, two, BETTER)
    assert [(one.state, one.protocol.partition("3 seeds")[2]) for one in found] == [
        ("supported", ""),
        ("contradicted", ", optimizer=sgd, optimizer.lr=0.1"),
    ]
    # Of each network by itself: U-Net with SGD is not compared with ConvUNeXt with AdamW.
    del by_optimizer["where"]
    both = verdicts(tmp_path, compared({(unet, UNET): ALL, (convunext, CONVUNEXT): ONE}), by_optimizer)
    assert [(one.state, one.protocol.rpartition(", ")[2]) for one in both] == [
        ("contradicted", "model=convunext"),
        ("supported", "model=unet"),
    ]


def test_of_a_network_with_several_settings_the_shipped_one_counts(tmp_path: Path) -> None:
    narrow, wide = line("convunext", model__kernel_size="3"), line("convunext", model__kernel_size="9")
    made = compared({(CONVUNEXT, UNET): ALL, (narrow, UNET): ONE, (CONVUNEXT, narrow): NONE})
    kernels = {"model": "convunext"}, {"model.kernel_size": 7}, {"model.kernel_size": 3}
    claim, ablation = verdicts(tmp_path, made, BETTER, dict(zip(("where", "better", "than"), kernels, strict=True)))
    assert (claim.state, claim.runs) == ("supported", 18)
    assert (ablation.state, ablation.datasets[0].pair.second) == ("undecided", narrow)
    (verdict,) = verdicts(tmp_path, compared({(narrow, UNET): ALL, (wide, UNET): ALL}), BETTER)
    assert verdict.state == "no runs"
    assert "kvasir: a side has several settings or networks; name what tells them apart" in verdict.remarks


def test_a_side_of_several_networks_is_not_narrowed_to_one(tmp_path: Path) -> None:
    made = compared({(CONVUNEXT, UNET): ALL, (CONVUNEXT, AMSUNET): NONE})
    (verdict,) = verdicts(tmp_path, made, {"better": {"model": "convunext"}, "than": {"model.kernel_size": 7}})
    assert verdict.state == "no runs"
    assert "kvasir: a side has several settings or networks; name what tells them apart" in verdict.remarks
    (same,) = verdicts(tmp_path, made, {"better": {"model": "unet"}, "than": {"model": "unet"}})
    assert (same.state, same.remarks[0]) == ("no runs", "kvasir: both sides are the same runs")


def test_a_network_of_two_experiments_is_taken_from_that_of_the_other_side(tmp_path: Path) -> None:
    first, second = line("convunext", experiment="ablation"), line("convunext", experiment="sweep")
    made = compared({(first, UNET): ONE, (second, UNET): ALL})
    (verdict,) = verdicts(tmp_path, made, BETTER)
    assert (verdict.state, verdict.runs) == ("supported", 18)


def test_rows_that_were_not_tested_against_each_other_have_no_verdict(tmp_path: Path) -> None:
    made = compared({(CONVUNEXT, AMSUNET): ALL, (UNET, AMSUNET): ALL})
    (verdict,) = verdicts(tmp_path, made, BETTER)
    assert (verdict.state, verdict.remarks[0]) == ("no runs", "kvasir: no Dice of both on the same images")


# Scores and images.


def test_another_score_has_pairs_and_a_direction_and_a_unit(tmp_path: Path, other_pairs: dict[str, list[Pair]]) -> None:
    other_pairs["hd95"] = [Pair(CONVUNEXT, UNET, KVASIR, -4.0, "better", -5.0, -3.0)]
    hd95 = {**BETTER, "score": "hd95"}
    distance, dice = verdicts(tmp_path, compared({(CONVUNEXT, UNET): NONE}), hd95, BETTER)
    assert (distance.state, dice.state) == ("supported", "undecided")
    (row,) = as_rows([distance])
    assert (row["difference"], row["datasets"]) == ("+4.00 pixels", "kvasir +4.00 [+3.00, +5.00] better")


def test_pairs_under_another_score_are_judged_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def pairs_under(comparison: Any, measure: Measure, images: Any) -> list[Pair]:
        asked.append((measure.name, images))
        return []

    monkeypatch.setattr(judging, "pairs_under", pairs_under)
    verdicts(tmp_path, compared({(CONVUNEXT, UNET): NONE}), *[{**BETTER, "score": "iou"}] * 3)
    assert asked == [("iou", None)]


def test_targets_take_a_third_of_the_images(tmp_path: Path, other_pairs: dict[str, list[Pair]]) -> None:
    made = compared({(CONVUNEXT, UNET): ("undecided",)}, (KVASIR,))
    counts = np.zeros((3, 9, 2, 4), int)
    counts[:, :, 0, 0], counts[:, :, 1, 2] = np.arange(9), 10 * (8 - np.arange(9))  # image 0 has the most foreground
    counts[..., 1] = counts[..., 3] = 100 * np.arange(9)[:, None]  # false positives and true negatives are not of it
    for key, cell in made.cells.items():
        made.cells[key] = replace(cell, sample=Sample(tuple("012345678"), counts))
    for images, state in (("6 7 8", "better"), ("3 4 5", "worse"), ("0 1 2", "equivalent")):
        other_pairs[f"dice {images}"] = [Pair(CONVUNEXT, UNET, KVASIR, 0.1, state)]
    thirds = [{**BETTER, "targets": name} for name in ("small", "medium", "large")]
    assert [one.state for one in verdicts(tmp_path, made, *thirds)] == ["supported", "contradicted", "equivalent"]


# Power.

KNOWN = replace(ONE_PAIR, pairs=6)


def test_a_decided_claim_has_its_power_and_an_undecided_one_what_would_decide_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = replace(KNOWN, training=(2e-5, 2e-5), unit=1e-4, residual=1e-4)
    monkeypatch.setattr(judging, "family_under", lambda comparison, measure, column, images: Known(known))
    made = compared({(CONVUNEXT, UNET): ("worse", "undecided")}, (KVASIR, ISIC))
    (verdict,) = verdicts(tmp_path, made, BETTER)
    smallest = smallest_difference(known)
    assert smallest is not None
    shown, needed = verdict.power
    assert shown == f"kvasir: differences from {100 * smallest:.2f} points on are shown with a power of 80 %"
    seeds = plan(known, 0.005).seeds_needed
    assert seeds is not None
    assert needed == f"isic: {seeds} seeds would show a difference of 0.50 points with a power of 80 %"
    assert as_rows([verdict])[0]["power"] == f"{shown}; {needed}"


def test_the_protocol_counts_the_seeds_of_each_network(tmp_path: Path) -> None:
    made = compared({(CONVUNEXT, UNET): ("better",)}, (KVASIR,))
    cell = made.cells[UNET, KVASIR]
    made.cells[UNET, KVASIR] = replace(cell, runs=tuple(make_run(UNET, "kvasir", seed) for seed in (5, 6, 7, 8)))
    (verdict,) = verdicts(tmp_path, made, BETTER)
    assert verdict.protocol.endswith(", 3 to 4 seeds")


def test_what_rounds_to_no_difference_has_no_sign(tmp_path: Path) -> None:
    made = compared({(CONVUNEXT, UNET): ("undecided",)}, (KVASIR,))
    made.pairs = [replace(made.pairs[0], difference=-1e-6, low=-1e-6, high=2e-6)]
    (row,) = as_rows(verdicts(tmp_path, made, BETTER))
    assert (row["difference"], row["datasets"]) == ("0.00 points", "kvasir 0.00 [0.00, 0.00] undecided")


def test_several_others_are_named_as_in_the_tables(tmp_path: Path) -> None:
    other = replace(UNET, label="U-Net")
    made = compared({(CONVUNEXT, other): ("undecided",), (CONVUNEXT, AMSUNET): ("better",)}, (KVASIR,))
    than = [{"model": "unet"}, {"model": "amsunet"}]
    (verdict,) = verdicts(tmp_path, made, {"better": {"model": "convunext"}, "than": than})
    assert as_rows([verdict])[0]["difference"] == "+0.50 points (U-Net); +2.00 points (amsunet)"


def test_the_note_of_a_table_has_the_level_of_its_intervals() -> None:
    pair = SimpleNamespace(low=-0.1, confidence=0.9991)
    verdict = SimpleNamespace(datasets=[SimpleNamespace(pair=pair)])
    study: Any = SimpleNamespace(verdicts=[verdict])
    assert levels(study) == " on the datasets, at 99.91 %, all pairs of a dataset being judged together"
    verdict.datasets.append(SimpleNamespace(pair=SimpleNamespace(low=-0.1, confidence=0.95)))
    assert levels(study).startswith(" on the datasets, at 95.00 % to 99.91 %,")
    verdict.datasets[:] = [SimpleNamespace(pair=SimpleNamespace(low=None, confidence=0.95))]
    assert levels(study) == ""


@pytest.mark.parametrize(
    ("known", "state", "expected"),
    [
        (replace(KNOWN, training=(1e-8, 1e-8)), "undecided", "kvasir: 3 seeds and "),
        (KNOWN, "undecided", "kvasir: 100 seeds and "),
        (replace(KNOWN, training=(1.0, 1.0)), "undecided", "kvasir: 100 seeds and 100,000 images would not show"),
        (replace(KNOWN, seeds=(1, 1)), "better", "kvasir: no difference can be shown"),
    ],
)
def test_power_where_seeds_do_not_help(known: Variances, state: str, expected: str) -> None:
    assert expected in power_text(Pair(CONVUNEXT, UNET, KVASIR, 0.005, state), known, MEASURES["dice"])


def test_power_of_an_undecided_pair_whose_mean_is_decided_names_no_runs() -> None:
    pair = Pair(CONVUNEXT, UNET, KVASIR, 0.2, "undecided")
    assert power_text(pair, KNOWN, MEASURES["dice"]).endswith("since the mean and the ranks disagree")


def test_power_of_no_difference_is_that_of_the_runs() -> None:
    text = power_text(Pair(CONVUNEXT, UNET, KVASIR, 1e-6, "undecided"), KNOWN, MEASURES["dice"])
    assert text.startswith("kvasir: differences from ")


def test_more_seeds_are_more_than_there_are() -> None:
    known = replace(KNOWN, seeds=(20, 30), freedom=(48, 48))
    text = power_text(Pair(CONVUNEXT, UNET, KVASIR, 0.005, "undecided"), known, MEASURES["dice"])
    seeds = re.search(r"(\d+) seeds and", text)
    assert seeds is not None
    assert int(seeds[1]) in (50, 100)


def test_seeds_and_images_together_have_the_power() -> None:
    text = power_text(Pair(CONVUNEXT, UNET, KVASIR, 0.005, "undecided"), KNOWN, MEASURES["dice"])
    seeds, images = (int(number.replace(",", "")) for number in re.findall(r"([\d,]+) (?:seeds|images)", text))
    powers = [KNOWN.power(0.005, seeds=seeds, units=units) for units in (images, images - 1000)]
    assert powers[0] >= 0.8 > powers[1]
    assert all(KNOWN.power(0.005, seeds=fewer, units=100_000) < 0.8 for fewer in (3, 10, 20, 30, 50))
    # More seeds where these save more images than they cost.
    large = power_text(Pair(CONVUNEXT, UNET, KVASIR, 0.01, "undecided"), KNOWN, MEASURES["dice"])
    seeds, images = (int(number.replace(",", "")) for number in re.findall(r"([\d,]+) (?:seeds|images)", large))
    assert KNOWN.power(0.01, seeds=seeds, units=images) >= 0.8
    fewer = next(k for k in (10, 20, 30, 50, 100) if KNOWN.power(0.01, seeds=k, units=100_000) >= 0.8)
    assert fewer < seeds


def test_a_claim_names_a_network_by_its_option_too(tmp_path: Path) -> None:
    row = line("smp_unet_tu-lite0")
    made = compared({(row, UNET): ALL})
    for cell in made.cells.values():
        for run in cell.runs:
            if run.model != "unet":
                run.choices["model"] = "smp"  # type: ignore[index]
    (verdict,) = verdicts(tmp_path, made, {**BETTER, "better": {"model": "smp"}})
    assert verdict.state == "supported"


def test_power_is_of_the_score_and_the_images_that_a_claim_asks_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, other_pairs: dict[str, list[Pair]]
) -> None:
    asked = []

    def family_under(comparison: Any, measure: Measure, column: Line, images: Any) -> Known:
        asked.append((measure.name, column.name, images))
        return Known(None)

    monkeypatch.setattr(judging, "family_under", family_under)
    made = compared({(CONVUNEXT, UNET): ("undecided",)}, (KVASIR,))
    for key, cell in made.cells.items():
        made.cells[key] = replace(cell, sample=Sample(tuple("012"), np.ones((3, 3, 1, 4), int)))
    other_pairs["dice 0"] = other_pairs["iou"] = [Pair(CONVUNEXT, UNET, KVASIR, 0.1, "undecided")]
    verdicts(tmp_path, made, BETTER, BETTER, {**BETTER, "score": "iou"}, {**BETTER, "targets": "small"})
    assert asked == [("dice", "kvasir", None), ("iou", "kvasir", None), ("dice", "kvasir", ["0"])]


def test_rows_are_text_for_a_table(tmp_path: Path) -> None:
    made = compared({(AMSUNET, UNET): ALL, (AMSUNET, CONVUNEXT): ALL})
    claim = {"better": {"model": "amsunet"}, "than": [{"model": "unet"}, {"model": "convunext"}]}
    (row,) = as_rows(verdicts(tmp_path, made, claim))
    assert row["claim"] == "It is so."
    assert row["verdict"] == "supported"
    assert row["difference"] == "+2.00 points (unet); +2.00 points (convunext)"
    assert row["datasets"].startswith("kvasir +2.00 [+1.00, +3.00] better (unet); kvasir +2.00 ")
    assert (row["runs"], row["source"]) == ("27", "abstract")


def test_studies_without_runs_are_left_out(tmp_path: Path) -> None:
    for study, model in (("b", "convunext"), ("a", "resunet"), ("c", "convunext")):
        (tmp_path / study).mkdir()
        others = [BETTER | {"better": {"model": name}} for name in (model, "other")]
        verdicts(tmp_path / study, compared({}), *others)
    judged: Any = judge_studies(compared({(CONVUNEXT, UNET): ALL}), tmp_path)  # type: ignore[arg-type]
    assert [(one.study, one.title, len(one.verdicts), one.without_runs) for one in judged] == [
        ("b", "A paper", 1, 1),
        ("c", "A paper", 1, 1),
    ]


# The file.


def test_every_shipped_file_names_its_protocol() -> None:
    files = sorted(experiments_folder().glob("*/claims.yaml"))
    assert {file.parent.name for file in files} >= {"convunext", "amsunet", "lightweight", "optimizers", "unet2015"}
    for file in files:
        read = read_claims(file)
        assert read.claims
        assert all(flatten(dict(read.protocol)).values()), file


KEYS = "protocol: {data.image_size: 256, trainer.max_epochs: 100}\ntitle: x\n"
CLAIM = KEYS + "claims: [{says: a, source: b, better: {a: b}, than: {a: b}"
SHARE = KEYS + "claims: [{says: a, source: b, parameters_of: {a: b}, of: {a: b}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a", "damaged (list instead of keys with values"),
        ("title: [\n", "damaged (while parsing a flow node"),
        ("title: x\nclaims: []", " has no 'protocol'"),
        ("title: x\nprotocol: {data.image_size: 256}\nclaims: []", "'protocol' must be {data.image_size: 256, "),
        ("title: x\nprotocol: {data.image_size: 256, trainer.max_epochs: {isbi: many}}\nclaims: []", "'protocol' must"),
        ("title: x\nprotocol: {data.image_size: 256, trainer.max_epochs: -1}\nclaims: []", "'protocol' must be"),
        ("title: x\nprotocol: {data.image_size: 9, trainer.max_epochs: 1, steps: 1}\nclaims: []", "'protocol' must be"),
        (KEYS + "claims: {}", "'claims' must be a list"),
        (KEYS + "clams: []", "unknown key 'clams'; did you mean 'claims'?"),
        (KEYS + "claims: [better]", "claim 1 must be keys with values, got 'better'"),
        (KEYS + "claims: [{says: a, source: b, better: {model: a}}]", "claim 1 has no 'than'"),
        (KEYS + "claims: [{says: a, better: {model: a}, than: {model: b}}]", "claim 1 has no 'source'"),
        (KEYS + "claims: [{says: a, source: b, beter: {a: b}, than: {a: b}}]", "key 'beter'; did you mean 'better'?"),
        (KEYS + "claims: [{says: a, source: b, better: unet, than: {a: b}}]", "1: 'better' must be keys with values"),
        (KEYS + "claims: [{says: a, source: b, better: {a: b}, than: []}]", "claim 1: 'than' must be keys with values"),
        (CLAIM + ", score: dise}]", "'score' must be one of dice, "),
        (CLAIM + ", targets: tiny}]", "of small, medium, large"),
        (CLAIM + ", with_fewer_parameters: 1}]", "true or false"),
        (KEYS + "claims: [{says: 1, source: b, better: {a: b}, than: {a: b}}]", "'says' must be a text, got 1"),
        (SHARE + ", are_percent: yes}]", "a number from 0"),
        (SHARE + "}]", "claim 1 has no 'are_percent'"),
        (SHARE + ", than: {a: b}}]", "unknown key 'than'"),
        (KEYS + "claims: [{says: a, source: b, better: {}, than: {a: b}}]", "1: 'better' must be keys with values"),
    ],
)  # fmt: skip
def test_a_malformed_file_is_named_in_one_line(text: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "claims.yaml"
    file.write_text(text)
    with pytest.raises(UserError) as error:
        read_claims(file)
    assert str(error.value).startswith(str(file))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="missing"):
        read_claims(tmp_path / "none.yaml")
