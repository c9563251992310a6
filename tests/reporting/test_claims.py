"""Verdicts on claims: right where the truth is known, undecided where it cannot be, never louder than the level."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from medseg.errors import UserError
from medseg.reporting.claims import Verdict, as_rows, judge
from medseg.reporting.claims_file import read_claims
from medseg.reporting.records import read_runs
from tests.reporting.fabricate import fabricate

BETTER = "better: {model: convunext}, than: {model: unet}"


def claims(folder: Path, *claims: str) -> Path:
    file = folder / "claims.yaml"
    lines = [f"  - {{says: It is so., source: abstract, {claim}}}" for claim in claims]
    file.write_text("\n".join(["paper: A paper", "claims:", *lines, ""]))
    return file


def verdicts(folder: Path, *given: str) -> list[Verdict]:
    return judge(claims(folder, *given), read_runs([folder / "sweep"]))


def state(folder: Path, *given: str) -> list[str]:
    return [verdict.state for verdict in verdicts(folder, *given)]


# Verdicts.


@pytest.mark.parametrize(("effect", "expected"), [(0.05, "supported"), (-0.05, "contradicted"), (0.0, "undecided")])
def test_a_known_difference_is_found(effect: float, expected: str, tmp_path: Path) -> None:
    data, seeds = ("kvasir", "isic", "dsb"), (0, 1, 2)
    fabricate(tmp_path / "sweep", {"unet": 0.0, "convunext": effect}, data=data, seeds=seeds, seed_noise=0.005)
    (verdict,) = verdicts(tmp_path, BETTER)
    assert verdict.state == expected
    assert verdict.runs == 18
    (comparison,) = verdict.comparisons
    low, high = comparison.overall.interval()
    assert low < comparison.overall.mean < high
    assert comparison.overall.mean == pytest.approx(effect, abs=0.012)
    assert [on.data for on in comparison.datasets] == sorted(data)
    assert {(on.images, on.seeds) for on in comparison.datasets} == {(60, (3, 3))}
    assert verdict.protocol == "96 x 96, 5 epochs, 3 seeds"


def test_the_difference_is_the_mean_over_datasets_of_the_means_over_images_and_seeds(tmp_path: Path) -> None:
    fabricate(tmp_path / "sweep", {"unet": 0.0, "convunext": 0.02}, data=("kvasir", "dsb"), seeds=(0, 1), images=30)
    (verdict,) = verdicts(tmp_path, BETTER)
    means: dict[tuple[str, str], list[float]] = {}
    for run in read_runs([tmp_path / "sweep"]):
        means.setdefault((run.model, run.data), []).append(run.summary["headline"]["dice"]["mean"])
    by_hand = [np.mean(means["convunext", data]) - np.mean(means["unet", data]) for data in ("dsb", "kvasir")]
    (comparison,) = verdict.comparisons
    assert [on.difference.mean for on in comparison.datasets] == pytest.approx(by_hand, abs=1e-12)
    assert comparison.overall.mean == pytest.approx(np.mean(by_hand), abs=1e-12)


def test_without_runs_of_both_sides_there_is_no_verdict(tmp_path: Path) -> None:
    fabricate(tmp_path / "sweep", {"unet": 0.0, "convunext": 0.1}, states={("convunext", "kvasir", 0): "failed"})
    (verdict,) = verdicts(tmp_path, BETTER)
    assert (verdict.state, verdict.runs) == ("no runs", 0)
    assert verdict.detail == "1 of 2 runs not finished"


def test_one_seed_does_not_decide(tmp_path: Path) -> None:
    fabricate(tmp_path / "sweep", {"unet": 0.0, "convunext": 0.1}, seeds=(0,))
    (verdict,) = verdicts(tmp_path, BETTER)
    assert verdict.state == "undecided"
    assert verdict.detail == "one seed: how far trainings differ is not known"


def test_unfinished_runs_are_counted_and_said(tmp_path: Path) -> None:
    states = {("unet", "kvasir", 2): "failed", ("convunext", "kvasir", 1): "waiting"}
    fabricate(tmp_path / "sweep", {"unet": 0.0, "convunext": 0.1}, seeds=(0, 1, 2), states=states)
    (verdict,) = verdicts(tmp_path, BETTER)
    assert verdict.runs == 4
    assert verdict.detail == "2 of 6 runs not finished"
    assert verdict.comparisons[0].datasets[0].seeds == (2, 2)


def test_a_dataset_on_the_other_side_keeps_a_claim_undecided(tmp_path: Path) -> None:
    for data, effect in (("kvasir", 0.2), ("dsb", -0.05)):
        fabricate(tmp_path / "sweep" / data, {"unet": 0.0, "convunext": effect}, data=(data,), seeds=(0, 1, 2))
    (verdict,) = verdicts(tmp_path, BETTER)
    assert verdict.comparisons[0].overall.interval()[0] > 0
    assert verdict.state == "undecided"


def test_better_than_each_needs_all_and_falls_with_one(tmp_path: Path) -> None:
    networks = {"amsunet model.skip=rsc": 0.05, "amsunet model.skip=se": 0.0, "amsunet model.skip=cbam": 0.1}
    fabricate(tmp_path / "sweep", networks, seeds=(0, 1, 2))
    claim = "where: {model: amsunet}, better: {model.skip: rsc}, than: "
    assert state(tmp_path, f"{claim}{{model.skip: se}}", f"{claim}[{{model.skip: se}}, {{model.skip: cbam}}]") == [
        "supported",
        "contradicted",
    ]
    (verdict,) = verdicts(tmp_path, f"{claim}[{{model.skip: se}}, {{model.skip: scse}}]")
    assert verdict.state == "undecided"
    assert verdict.detail == "no runs of skip=scse"
    assert [one.against for one in verdict.comparisons] == ["skip=se"]


def test_only_runs_that_share_the_other_settings_are_compared(tmp_path: Path) -> None:
    fabricate(
        tmp_path / "sweep", {"unet": 0.0, "convunext": 0.1, "unet optimizer=sgd optimizer.lr=0.1": 0.3}, seeds=(0, 1, 2)
    )
    (verdict,) = verdicts(tmp_path, BETTER)
    assert verdict.state == "supported"
    fabricate(tmp_path / "sweep", {"convunext optimizer=sgd optimizer.lr=0.1": 0.1}, seeds=(0, 1, 2))
    assert [(verdict.state, "optimizer=sgd" in verdict.protocol) for verdict in verdicts(tmp_path, BETTER)] == [
        ("supported", False),
        ("contradicted", True),
    ]
    by_optimizer = "where: {model: unet}, better: {optimizer: sgd}, than: {optimizer: adamw}"
    assert state(tmp_path, by_optimizer) == ["supported"]


def test_verdicts_that_would_read_the_same_say_what_differs(tmp_path: Path) -> None:
    networks = {"unet": 0.0, "convunext": 0.1, "unet optimizer.lr=0.1": 0.2, "convunext optimizer.lr=0.1": 0.1}
    fabricate(tmp_path / "sweep", networks, seeds=(0, 1, 2))
    found = verdicts(tmp_path, BETTER)
    assert [(verdict.state, verdict.protocol.split(", ")[-1]) for verdict in found] == [
        ("supported", "optimizer.lr=0.001"),
        ("contradicted", "optimizer.lr=0.1"),
    ]


def test_sizes_of_images_that_were_varied_are_judged_apart(tmp_path: Path) -> None:
    networks = {"unet": 0.0, "convunext": 0.1}
    for size in (64, 128):
        extra = [f"data.image_size={size}"]
        fabricate(tmp_path / "sweep" / f"s{size}", networks, seeds=(0, 1), extra=extra, size=size, seed_noise=1e-3)
    assert [verdict.protocol.split(", ")[-3] for verdict in verdicts(tmp_path, BETTER)] == ["128 x 128", "64 x 64"]


def test_of_a_network_with_several_settings_the_shipped_one_counts(tmp_path: Path) -> None:
    networks = {"unet": 0.0, "convunext": 0.1, "convunext model.kernel_size=3": -0.2}
    fabricate(tmp_path / "sweep", networks, seeds=(0, 1, 2))
    (verdict,) = verdicts(tmp_path, BETTER)
    assert (verdict.state, verdict.runs) == ("supported", 6)
    kernels = "where: {model: convunext}, better: {model.kernel_size: 7}, than: {model.kernel_size: 3}"
    assert state(tmp_path, kernels) == ["supported"]


def test_two_settings_that_nothing_tells_apart_are_not_compared(tmp_path: Path) -> None:
    networks = {"unet": 0.0, "convunext model.kernel_size=3": 0.1, "convunext model.kernel_size=9": 0.1}
    fabricate(tmp_path / "sweep", networks, seeds=(0, 1))
    (verdict,) = verdicts(tmp_path, BETTER)
    assert verdict.state == "no runs"
    assert "several settings of convunext; name what tells them apart" in verdict.detail


def test_a_run_in_two_experiments_counts_once(tmp_path: Path) -> None:
    for experiment in ("a", "b"):
        fabricate(tmp_path / "sweep" / experiment, {"unet": 0.0, "convunext": 0.1}, seeds=(0, 1))
    (verdict,) = verdicts(tmp_path, BETTER)
    assert verdict.runs == 4
    assert verdict.comparisons[0].datasets[0].seeds == (2, 2)


def test_other_images_are_not_compared(tmp_path: Path) -> None:
    fabricate(tmp_path / "sweep" / "a", {"unet": 0.0}, seeds=(0, 1))
    fabricate(tmp_path / "sweep" / "b", {"convunext": 0.0}, seeds=(0, 1), images=50)
    (verdict,) = verdicts(tmp_path, BETTER)
    assert (verdict.state, verdict.detail.split("; ")[0]) == ("no runs", "kvasir: not the same test images")


def test_folds_are_pooled_and_incomplete_ones_left_out(tmp_path: Path) -> None:
    fabricate(tmp_path / "sweep", {"unet": 0.0, "convunext": 0.1}, seeds=(0, 1, 2), folds=(0, 1), images=20)
    (lost,) = (tmp_path / "sweep").glob("unet-kvasir-fold1-*-seed1")
    (lost / "status.json").write_text('{"state": "interrupted"}')
    (verdict,) = verdicts(tmp_path, BETTER)
    (on,) = verdict.comparisons[0].datasets
    assert (on.images, on.seeds, verdict.state, verdict.runs) == (40, (3, 2), "supported", 10)
    assert verdict.detail == "1 of 12 runs not finished"


def test_of_distances_smaller_is_better(tmp_path: Path) -> None:
    fabricate(tmp_path / "sweep", {"unet": 0.0, "convunext": 0.1}, seeds=(0, 1, 2))
    (verdict,) = verdicts(tmp_path, f"{BETTER}, score: hd95")
    assert verdict.state == "supported"
    assert as_rows([verdict])[0]["difference"].startswith("+4.")
    assert " px" in as_rows([verdict])[0]["difference"]


def test_targets_take_a_third_of_the_images(tmp_path: Path) -> None:
    fabricate(tmp_path / "sweep", {"unet": 0.0, "convunext": 0.1}, seeds=(0, 1), images=30)
    areas = {}
    for run in read_runs([tmp_path / "sweep"]):
        counts = run.per_image.counts[:, 0]
        areas |= dict(zip(run.per_image.ids, counts[:, 0] + counts[:, 2], strict=True))
    found = verdicts(tmp_path, *[f"{BETTER}, targets: {name}" for name in ("small", "medium", "large")])
    assert [verdict.comparisons[0].datasets[0].images for verdict in found] == [10, 10, 10]
    whole = verdicts(tmp_path, BETTER)[0].comparisons[0].overall.mean
    assert np.mean([verdict.comparisons[0].overall.mean for verdict in found]) == pytest.approx(whole)


def test_fewer_parameters_are_part_of_a_claim(tmp_path: Path) -> None:
    fabricate(tmp_path / "sweep", {"unet": 0.0, "convunext": 0.1}, seeds=(0, 1, 2))
    given = f"{BETTER}, with_fewer_parameters: true"
    other = "better: {model: unet}, than: {model: convunext}, with_fewer_parameters: true"
    right, wrong = verdicts(tmp_path, given, other)
    assert (right.state, right.detail) == ("supported", "3,510,000 parameters against 4,320,000")
    assert wrong.state == "contradicted"


@pytest.mark.parametrize(("percent", "expected"), [(81.2, "supported"), (80, "contradicted")])
def test_shares_of_parameters_are_counted(percent: float, expected: str, tmp_path: Path) -> None:
    fabricate(tmp_path / "sweep", {"unet": 0.0, "convunext": 0.0})
    size = f"parameters_of: {{model: convunext}}, are_percent: {percent}, of: {{model: unet}}, within: 0.1"
    (verdict,) = verdicts(tmp_path, size)
    assert verdict.state == expected
    assert verdict.counted == pytest.approx(81.25)
    assert as_rows([verdict])[0]["difference"] == f"81.2 % counted, {percent:g} % claimed"
    missing = "parameters_of: {model: amsunet}, are_percent: 60, of: {model: unet}"
    assert state(tmp_path, missing) == ["no runs"]


def test_rows_are_text_for_a_table(tmp_path: Path) -> None:
    fabricate(tmp_path / "sweep", {"unet": 0.0, "convunext": 0.1, "amsunet": 0.2}, seeds=(0, 1, 2))
    (row,) = as_rows(verdicts(tmp_path, "better: {model: amsunet}, than: [{model: unet}, {model: convunext}]"))
    assert row["claim"] == "It is so."
    assert row["verdict"] == "supported"
    assert row["difference"].count("points (") == 2
    assert row["datasets"].startswith("kvasir +")
    assert (row["runs"], row["source"]) == ("9", "abstract")
    # As for a file of results, the same runs give the same text.
    assert as_rows(verdicts(tmp_path, "better: {model: amsunet}, than: [{model: unet}, {model: convunext}]")) == [row]


# The file.


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("claims: []", "it must have two keys, 'paper', a text, and 'claims', a list"),
        ("paper: x\nclaims: {}", "it must have two keys"),
        ("paper: [\n", "not YAML (while parsing a flow node"),
        ("paper: x\nclaims: [better]", "claim 1 must be keys with values, got 'better'"),
        ("paper: x\nclaims: [{says: a, source: b, better: {model: a}}]", "claim 1 has no 'than'"),
        ("paper: x\nclaims: [{says: a, better: {model: a}, than: {model: b}}]", "claim 1 has no 'source'"),
        ("paper: x\nclaims: [{says: a, source: b, beter: {}, than: {}}]", "key 'beter'; did you mean 'better'?"),
        ("paper: x\nclaims: [{says: a, source: b, better: unet, than: {}}]", "1: 'better' must be keys with values"),
        ("paper: x\nclaims: [{says: a, source: b, better: {}, than: []}]", "claim 1: 'than' is empty"),
        ("paper: x\nclaims: [{says: a, source: b, better: {}, than: {}, score: dise}]", "'score' is 'dise'; it must"),
        ("paper: x\nclaims: [{says: a, source: b, better: {}, than: {}, targets: tiny}]", "of small, medium, large"),
        ("paper: x\nclaims: [{says: a, source: b, better: {}, than: {}, with_fewer_parameters: 1}]", "true, false"),
        ("paper: x\nclaims: [{says: 1, source: b, better: {}, than: {}}]", "'says' must be a text, got 1"),
        ("paper: x\nclaims: [{says: a, source: b, parameters_of: {}, of: {}, are_percent: yes}]", "a number from 0"),
        ("paper: x\nclaims: [{says: a, source: b, parameters_of: {}, of: {}}]", "claim 1 has no 'are_percent'"),
        ("paper: x\nclaims: [{says: a, source: b, parameters_of: {}, of: {}, than: {}}]", "unknown key 'than'"),
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
    with pytest.raises(UserError, match="cannot be read"):
        read_claims(tmp_path / "none.yaml")
