"""Rows, columns and cells of a report; pairs, ranks, ablations, costs and published figures made from them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from medseg.errors import ConfigError
from medseg.metrics import headline
from medseg.metrics.measures import MEASURES
from medseg.reporting.ablation import find_ablations
from medseg.reporting.cells import Cell
from medseg.reporting.comparison import Comparison, compare_runs, score_of
from medseg.reporting.published import find_published
from medseg.reporting.report import compare
from medseg.reporting.statistics import Side, TrainingVariance, estimate_means
from medseg.runs.reading import read_runs
from medseg.runs.run import Run
from medseg.system.files import read_csv, write_csv, write_json
from tests.reporting.fabricate import fabricate

DICE = MEASURES["dice"]


def runs_in(folder: Path) -> list[Run]:
    tree = read_runs([folder]).checked()
    assert tree.problems == []
    return tree.runs


def compared(folder: Path, measure: str = "dice") -> Comparison:
    return compare_runs(runs_in(folder), MEASURES[measure])


def cell(comparison: Comparison, row: str, column: str) -> Cell:
    return next(c for (r, k), c in comparison.cells.items() if (r.label, k.label) == (row, column))


def labels(comparison: Comparison) -> list[str]:
    return [row.label for row in comparison.rows]


# Cells.


def test_a_cell_is_mean_and_deviation_over_seeds_of_means_over_images(tmp_path: Path) -> None:
    folder = fabricate(tmp_path / "s", {"unet": 0}, seeds=(0, 1, 2), seed_noise=0.02)
    comparison = compared(folder)
    means = [run.summary["headline"]["dice"]["mean"] for run in runs_in(folder)]
    score = cell(comparison, "unet", "kvasir").scores["dice"]
    assert score.mean == pytest.approx(np.mean(means))
    assert score.sd == pytest.approx(np.std(means, ddof=1))
    assert score.low is not None
    assert score.high is not None
    assert score.low < score.mean < score.high
    conventions = [run.summary["conventions"] for run in runs_in(folder)]
    for name in ("pooled_dice", "pooled_iou", "mean_iou_with_background", "accuracy"):
        expected = np.mean([values[name] for values in conventions])
        assert cell(comparison, "unet", "kvasir").scores[name].mean == pytest.approx(expected), name


def test_one_seed_has_no_deviation(tmp_path: Path) -> None:
    score = cell(compared(fabricate(tmp_path / "s", {"unet": 0})), "unet", "kvasir").scores["dice"]
    assert score.sd is None
    assert score.low is not None


CLASSES = ("background", "cell", "membrane")


def test_several_classes_have_the_conventions_of_the_summary(tmp_path: Path) -> None:
    folder = fabricate(tmp_path / "s", {"unet": 0}, classes=CLASSES)
    (run,) = runs_in(folder)
    scores = cell(compared(folder), "unet", "kvasir").scores
    for name in ("pooled_dice", "pooled_iou", "mean_iou_with_background", "accuracy"):
        assert scores[name].mean == pytest.approx(run.summary["conventions"][name]), name
        assert scores[name].low is not None, name


def test_folds_of_several_classes_are_pooled_with_the_background(tmp_path: Path) -> None:
    folder = fabricate(tmp_path / "s", {"unet": 0}, folds=range(3), images=7, classes=CLASSES)
    scores = cell(compared(folder), "unet", "kvasir").scores
    each = [run.summary["conventions"]["accuracy"] for run in runs_in(folder)]
    # The folds have equally many images of one size.
    assert scores["accuracy"].mean == pytest.approx(np.mean(each))
    assert scores["mean_iou_with_background"].low is not None


def test_a_run_without_counts_of_the_background_lacks_what_needs_them(tmp_path: Path) -> None:
    folder = fabricate(tmp_path / "s", {"unet": 0}, classes=CLASSES)
    (file,) = folder.glob("*/test/per_image.csv")
    rows = [{key: value for key, value in row.items() if key != "background_tp"} for row in read_csv(file)]
    write_csv(file, rows)
    scores = cell(compared(folder), "unet", "kvasir").scores
    assert {"mean_iou_with_background", "accuracy"}.isdisjoint(scores)
    assert {"dice", "pooled_dice"} <= set(scores)


def test_best_second_and_like_the_best(tmp_path: Path) -> None:
    networks = {"unet": -0.1, "resunet": -0.05, "amsunet": 0.0, "convunext": 0.001}
    comparison = compared(fabricate(tmp_path / "s", networks, images=100, seeds=(0, 1, 2)))
    cells = {row: cell(comparison, row, "kvasir") for row in networks}
    order = sorted(networks, key=lambda row: -cells[row].scores["dice"].mean)
    assert [cells[row].rank for row in order] == [1, 2, None, None]
    assert cells[order[1]].like_best
    assert not cells[order[0]].like_best
    assert not cells["resunet"].like_best
    assert not cells["unet"].like_best


def test_of_distances_the_smallest_is_best(tmp_path: Path) -> None:
    networks = {"unet": 0.0, "convunext": 0.08}
    comparison = compared(fabricate(tmp_path / "s", networks, seeds=(0, 1), seed_noise=0.001), "hd95")
    assert cell(comparison, "convunext", "kvasir").rank == 1
    (pair,) = comparison.pairs
    assert pair.difference > 0
    assert pair.state == "worse"
    assert pair.reversed().state == "better"


def test_unfinished_runs_are_counted_not_left_out(tmp_path: Path) -> None:
    states = {("unet", "kvasir", 1): "failed", ("unet", "kvasir", 2): "waiting", ("convunext", "kvasir", 0): "running"}
    folder = fabricate(tmp_path / "s", {"unet": 0, "convunext": 0}, seeds=(0, 1, 2), states=states)
    comparison = compared(folder)
    unet = cell(comparison, "unet", "kvasir")
    assert [(run.seed, run.state) for run in unet.unfinished] == [(1, "failed"), (2, "waiting")]
    assert len(unet.runs) == 3
    assert unet.sample is not None
    assert unet.sample.seeds == (0,)
    only = {("unet", "kvasir", seed): "failed" for seed in (0, 1)}
    folder = fabricate(tmp_path / "t", {"unet": 0, "convunext": 0}, seeds=(0, 1), states=only)
    failed = cell(compared(folder), "unet", "kvasir")
    assert failed.scores == {}
    assert failed.rank is None


# Folds.


def test_folds_are_pooled_image_by_image(tmp_path: Path) -> None:
    folder = fabricate(tmp_path / "s", {"unet": 0}, seeds=(0, 1), folds=range(5), images=7, seed_noise=0.02)
    comparison = compared(folder)
    found = cell(comparison, "unet", "kvasir")
    assert len(found.runs) == 10
    assert found.sample is not None
    assert (len(found.sample.ids), found.sample.seeds) == (35, (0, 1))
    runs = runs_in(folder)
    counts = {seed: np.concatenate([r.per_image.counts for r in runs if r.seed == seed]) for seed in (0, 1)}
    per_seed = [DICE.function(counts[seed]).mean() for seed in (0, 1)]
    assert found.scores["dice"].mean == pytest.approx(np.mean(per_seed))
    assert found.scores["dice"].sd == pytest.approx(np.std(per_seed, ddof=1))
    pooled = np.mean([DICE.function(counts[seed].sum(axis=0)).mean() for seed in (0, 1)])
    assert found.scores["pooled_dice"].mean == pytest.approx(pooled)
    both = np.concatenate([counts[0][..., ::-1], counts[0]], axis=1)
    assert headline(both)["dice"] == pytest.approx(per_seed[0])


def test_a_seed_without_all_folds_is_said_not_mixed_in(tmp_path: Path) -> None:
    folder = fabricate(tmp_path / "s", {"unet": 0}, seeds=(0, 1), folds=range(3), images=7)
    runs = runs_in(folder)
    runs = [r.damaged("gone") if (r.seed, r.fold) == (1, 2) else r for r in runs]
    found = cell(compare_runs(runs, DICE), "unet", "kvasir")
    assert found.sample is not None
    assert found.sample.seeds == (0,)
    assert [(run.seed, run.fold) for run in found.unfinished] == [(1, 2)]
    assert [(run.seed, run.fold) for run in found.unused] == [(1, 0), (1, 1)]


# Costs.


def benchmark(folder: Path, run: Run, size: int, measured: str, *, name: str, macs: int) -> None:
    content = {
        "model": run.model,
        "arguments": run.config["model"],
        "image_size": [size, size],
        "batch_size": 8,
        "device": {"type": "cpu", "name": "A processor", "threads": 2},
        "precision": "32-true",
        "latency_ms": {"p50": 12.5, "p95": 20.0},
        "peak_memory_mib": {"train": 300.0, "inference": 100.0},
        "parameters": 1,
        "macs": macs,
        "measured": measured,
    }
    write_json(folder / "benchmarks" / f"{name}.json", content)


def test_costs_are_those_of_the_same_network_at_the_size_of_the_runs(tmp_path: Path) -> None:
    folder = fabricate(tmp_path / "s", {"unet": 0, "unet model.base_channels=64": 0}, size=96, images=8)
    first = next(run for run in runs_in(folder) if run.config["model"]["base_channels"] == 32)
    assert all(costs.macs is None for costs in compared(folder).costs.values())
    benchmark(folder, first, 96, "2026-11-01T10:00:00+00:00", name="a", macs=10)
    benchmark(folder, first, 480, "2026-11-02T10:00:00+00:00", name="b", macs=250)
    costs = {row.label: costs for row, costs in compared(folder).costs.items()}
    assert (costs["base_channels=32"].macs, costs["base_channels=32"].size) == (10, (96, 96))
    assert costs["base_channels=32"].latency_ms == 12.5
    assert costs["base_channels=32"].memory_mib == 300.0
    assert costs["base_channels=32"].measured_on == "A processor, 32-true, batch 8"
    assert costs["base_channels=32"].parameters == 4_320_000
    assert costs["base_channels=64"].macs is None
    chosen = compare_runs(runs_in(folder), DICE, (480, 480)).costs
    assert next(iter(chosen.values())).macs == 250
    assert next(iter(compare_runs(runs_in(folder), DICE, (64, 64)).costs.values())).macs is None
    benchmark(folder, first, 96, "2026-11-03T10:00:00+00:00", name="0", macs=11)
    assert next(iter(compared(folder).costs.values())).macs == 11


@pytest.mark.parametrize(
    ("key", "value"),
    [("image_size", 96), ("device", "cpu"), ("device", {"name": None}), ("measured", None), ("latency_ms", 3),
     ("peak_memory_mib", {"train": "much"}), ("macs", "many"), ("batch_size", [8])],
)  # fmt: skip
def test_a_wrong_type_in_a_benchmark_is_named_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, key: str, value: object
) -> None:
    folder = fabricate(tmp_path / "s", {"unet": 0, "convunext": 0}, images=8)
    benchmark(folder, runs_in(folder)[0], 96, "2026-11-01T10:00:00+00:00", name="a", macs=10)
    file = folder / "benchmarks" / "a.json"
    write_json(file, {**json.loads(file.read_text()), key: value})
    caplog.clear()
    assert all(costs.macs is None for costs in compared(folder).costs.values())
    (message,) = caplog.messages
    assert message.startswith(f"{file}: damaged ({key!r} is ")


def test_own_metrics_that_runs_describe_differently_are_named(tmp_path: Path) -> None:
    folder = fabricate(tmp_path / "s", {"unet": 0, "convunext": 0}, images=8)
    for number, file in enumerate(sorted(folder.glob("*/test/summary.json"))):
        own = {"mine": {"higher_is_better": bool(number), "unit": ""}, "other": {"higher_is_better": True, "unit": ""}}
        write_json(file, {**json.loads(file.read_text()), "own_metrics": own})
    (warning,) = compared(folder).warnings
    assert warning.startswith("mine: the runs do not agree")


# Published figures.


def test_published_figures_are_compared_under_their_own_convention(tmp_path: Path) -> None:
    row = dict.fromkeys(
        ("source", "year", "dataset", "split", "image_size", "model", "params_m", "macs_g", "dice", "iou",
         "metric_convention", "note"), ""
    )  # fmt: skip
    row |= {"source": "A paper", "dataset": "Kvasir-SEG", "split": "official 880/120", "image_size": "96"}
    rows = [
        row | {"model": "U-Net", "dice": "0.7", "metric_convention": "dataset-level"},
        row | {"model": "ConvUNeXt", "dice": "0.75", "metric_convention": "mean DSC"},
    ]
    folder = fabricate(tmp_path / "s", {"unet": 0, "convunext": 0, "amsunet": 0})
    comparison = compared(folder)
    unet, convunext = find_published(comparison, rows)
    assert unet.measure.name == "pooled_dice"
    assert unet.ours == cell(comparison, "unet", "kvasir").scores["pooled_dice"]
    assert unet.difference == pytest.approx(unet.ours.mean - 0.7)
    assert unet.differs_in == ()
    assert convunext.measure.name == "dice"
    assert convunext.differs_in == ("convention (not stated)",)


# Measures.


def test_measures_by_score_and_convention() -> None:
    assert MEASURES.choose(None, "per_image").name == "dice"
    assert MEASURES.choose("iou", "pooled").name == "pooled_iou"
    assert MEASURES.choose(None, "mean_iou_with_background").name == "mean_iou_with_background"
    assert MEASURES.choose(None, "accuracy").name == "accuracy"
    with pytest.raises(ConfigError, match="score is 'hd95'; with convention=pooled it must be one of dice, iou"):
        MEASURES.choose("hd95", "pooled")
    with pytest.raises(ConfigError, match="convention is 'batch'; it must be one of"):
        MEASURES.choose(None, "batch")


@pytest.mark.parametrize("convention", MEASURES.conventions)
def test_every_convention_has_a_table(tmp_path: Path, convention: str) -> None:
    folder = fabricate(tmp_path / "s", {"unet": 0, "convunext": 0.05}, images=20, seeds=(0, 1))
    comparison = compare_runs(runs_in(folder), MEASURES.choose(None, convention))
    assert cell(comparison, "convunext", "kvasir").rank == 1
    assert len(comparison.pairs) == 1


def test_a_seed_on_other_images_is_left_out(tmp_path: Path) -> None:
    folder = fabricate(tmp_path / "s", {"unet": 0}, seeds=(0, 1), images=8)
    file = runs_in(folder)[1].folder / "test" / "per_image.csv"
    file.write_text(file.read_text(encoding="utf-8").replace("kvasir_", "other_"), encoding="utf-8")
    left = cell(compared(folder), "unet", "kvasir")
    assert left.sample is not None
    assert left.sample.seeds == (0,)
    assert [run.seed for run in left.unused] == [1]


# One seed, groups, ranges.


def test_one_seed_is_never_judged(tmp_path: Path) -> None:
    networks = {"unet": 0.0, "convunext": 0.2, "amsunet": 0.2}
    comparison = compared(fabricate(tmp_path / "s", networks, noise=0.01))
    assert {(pair.state, pair.reason) for pair in comparison.pairs} == {("not judged", "one seed")}
    assert all(pair.low is None and pair.corrected is None and pair.superiority is None for pair in comparison.pairs)
    assert {(found.rank, found.like_best) for found in comparison.cells.values()} == {(None, False)}
    assert set(comparison.wins.values()) == {(0, 0, 0)}


def test_a_second_seed_of_one_row_alone_judges_nothing(tmp_path: Path) -> None:
    folder = fabricate(tmp_path / "s", {"unet": 0.0}, seeds=(0, 1))
    fabricate(folder, {"convunext": 0.2}, seeds=(0,))
    comparison = compared(folder)
    assert [pair.reason for pair in comparison.pairs] == ["one seed"]
    assert {found.rank for found in comparison.cells.values()} == {None}


def test_second_needs_three_networks(tmp_path: Path) -> None:
    two = compared(fabricate(tmp_path / "two", {"unet": 0.0, "convunext": 0.05}, seeds=(0, 1)))
    assert [found.rank for found in two.cells.values()] == [None, 1]
    three = compared(fabricate(tmp_path / "three", {"unet": 0.0, "convunext": 0.05, "amsunet": 0.1}, seeds=(0, 1)))
    assert [found.rank for found in three.cells.values()] == [None, 2, 1]


def test_groups_are_what_everything_is_over(tmp_path: Path) -> None:
    options = {"seeds": (0, 1, 2), "images": 120, "group_noise": 0.05}
    networks = {"unet": 0.0, "convunext": 0.0}
    alone = compared(fabricate(tmp_path / "alone", networks, **options))
    grouped = compared(fabricate(tmp_path / "grouped", networks, groups=8, **options))
    (one,), (other,) = alone.pairs, grouped.pairs
    assert (one.units, one.grouped, one.images) == (120, False, 120)
    assert (other.units, other.grouped, other.images) == (8, True, 120)
    sample = cell(grouped, "unet", "kvasir").sample
    assert sample is not None
    assert sample.unit_count == 8
    narrow, wide = (cell(c, "unet", "kvasir").scores["dice"] for c in (alone, grouped))
    assert wide.high is not None
    assert narrow.high is not None
    assert wide.high - wide.mean > 1.2 * (narrow.high - narrow.mean)


def test_pseudo_values_of_groups_are_those_of_leaving_a_group_out(tmp_path: Path) -> None:
    folder = fabricate(tmp_path / "s", {"unet": 0.0}, images=23, groups=4, classes=CLASSES)
    sample = cell(compared(folder), "unet", "kvasir").sample
    assert sample is not None
    assert sample.groups is not None
    for name in ("dice", "hd95", "pooled_dice", "mean_iou_with_background", "accuracy"):
        measure = MEASURES[name]
        whole = sample.values(measure)[0]
        for unit in range(4):
            rest = [i for i, of in zip(sample.ids, sample.units, strict=True) if of != unit]
            without = sample.restricted(rest).values(measure)[0]
            assert sample.pseudo_values(measure)[0, unit] == pytest.approx(4 * whole - 3 * without)


@pytest.mark.parametrize(
    ("name", "seeds", "spread", "remark"),
    [
        ("dice", [0.5, 0.7], 0.1, "too few seeds"),
        ("dice", [0.4, 0.6, 0.9], 0.1, "too few seeds"),
        ("dice", [0.5], 2.0, "too few images"),
        ("hd95", [3.0, 9.0], 1.0, "too few seeds"),
        ("dice", [0.97, 0.98, 0.99], 0.02, ""),
        ("dice", [0.6, 0.61, 0.62], 0.02, ""),
    ],
)
def test_an_interval_beyond_the_range_of_the_score_is_not_printed(
    name: str, seeds: list[float], spread: float, remark: str
) -> None:
    noise = np.random.default_rng(0).normal(0, spread, 20)
    side = Side.of(np.array(seeds)[:, None] + noise - noise.mean())
    (low,), (high,) = estimate_means([side], TrainingVariance.of([seeds])).interval()
    score = score_of(side, low, high, MEASURES[name])
    assert score.mean == pytest.approx(np.mean(seeds))
    assert score.remark == remark
    if remark:
        assert (score.low, score.high) == (None, None)
    else:
        assert 0 <= score.low < score.mean < score.high <= 1


def test_the_report_needs_nothing_but_the_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A changed default of today, or none at all, changes nothing."""

    folder = fabricate(tmp_path / "s", {"convunext model.kernel_size=9": 0.0, "convunext": 0.02}, seeds=(0, 1))
    before = [find_ablations(compared(folder)), labels(compared(folder))]
    monkeypatch.setattr("medseg.config.yaml_files.config_root", lambda: tmp_path / "nowhere")
    after = [find_ablations(compared(folder)), labels(compared(folder))]
    assert after == before
    ((block,),) = [ablation.blocks for ablation in after[0]]  # type: ignore[attr-defined]
    assert (block.known, list(block.values.values())) == (True, ["7", "9"])


def test_other_sizes_and_other_data_are_said(tmp_path: Path) -> None:
    folder = fabricate(tmp_path / "s", {"unet": 0, "convunext": 0}, images=8)
    file = runs_in(folder)[0].folder / "test" / "summary.json"
    summary = json.loads(file.read_text(encoding="utf-8"))
    write_json(file, summary | {"data_identity": "else"})
    assert compared(folder).warnings == ("kvasir: the runs were tested on data that were prepared differently",)
    write_json(file, summary | {"evaluation_size": [64, 64]})
    assert "different sizes (64 x 64, 96 x 96)" in compared(folder).warnings[0]


def test_a_prepared_size_that_limits_the_scores_is_said(tmp_path: Path) -> None:
    folder = fabricate(tmp_path / "s", {"unet": 0, "convunext": 0}, images=8)
    for run in runs_in(folder):
        write_json(run.folder / "test" / "summary.json", {**run.summary, "reachable_dice": 0.832})
    said = "kvasir: a perfect prediction at 96 x 96 reaches a mean Dice of 0.832 at native size"
    assert compare(read_runs([folder])).comparison.warnings == (said,)
    assert compare(read_runs([folder]), convention="prepared_size").comparison.warnings == ()


def test_networks_whose_output_is_not_finite_are_named(tmp_path: Path) -> None:
    folder = fabricate(tmp_path / "s", {"unet": 0, "convunext": 0}, images=8)
    assert compared(folder).warnings == ()
    run = next(run for run in runs_in(folder) if run.model == "unet")
    write_json(run.folder / "test" / "summary.json", {**run.summary, "not_finite": ["a", "b"]})
    (warning,) = compared(folder).warnings
    assert warning == (
        "kvasir: unet gave pixels that are not finite, in 1 run for up to 2 test images; they count as background"
    )


def test_precisions_that_machines_have_chosen_are_said(tmp_path: Path) -> None:
    folder = fabricate(tmp_path / "s", {"unet": 0, "convunext": 0}, images=8)
    runs = runs_in(folder)
    for precision, run in zip(["bf16-mixed", "32-true", *["32-true"] * len(runs)], runs, strict=False):
        write_json(run.folder / "environment.json", {**run.environment, "precision": precision})
    chosen = "trainer.precision=auto has come to 32-true and bf16-mixed on different machines; give one of them to all"
    assert compared(folder).warnings == (f"kvasir: {chosen}",)
