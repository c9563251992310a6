"""Rows, columns and cells of a report; pairs, ranks, ablations, costs and published figures made from them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from medseg.errors import ConfigError, UserError
from medseg.metrics import headline
from medseg.metrics.measures import CONVENTIONS, MEASURES, choose_measure
from medseg.metrics.scores import SCORES
from medseg.reporting.comparison import Cell, Comparison, compare
from medseg.reporting.layout import lay_out
from medseg.reporting.published_cells import find_published
from medseg.reporting.records import Run, read_runs
from medseg.runs.files import read_csv, write_csv, write_json
from tests.reporting.fabricate import fabricate

DICE = MEASURES["dice"]


def compared(folder: Path, measure: str = "dice") -> Comparison:
    return compare(read_runs([folder]), MEASURES[measure])


def cell(comparison: Comparison, row: str, column: str) -> Cell:
    return next(c for (r, k), c in comparison.cells.items() if (r.label, k.label) == (row, column))


def labels(comparison: Comparison) -> list[str]:
    return [row.label for row in comparison.rows]


# Rows and columns.


def test_rows_are_networks_in_the_order_of_the_sweep(tmp_path: Path) -> None:
    folder = fabricate(tmp_path / "s", {"unet": 0, "amsunet": 0, "convunext": 0}, data=("kvasir", "dsb"), images=8)
    comparison = compared(folder)
    assert labels(comparison) == ["unet", "amsunet", "convunext"]
    assert [column.label for column in comparison.columns] == ["kvasir", "dsb"]


@pytest.mark.parametrize(
    ("networks", "expected"),
    [
        (("unet", "convunext optimizer=sgd"), ["unet, optimizer=adamw", "convunext, optimizer=sgd"]),
        (("convunext", "convunext model.kernel_size=9"), ["convunext", "kernel_size=9"]),
        (("unet optimizer.lr=0.1", "convunext optimizer.lr=0.1"), ["unet", "convunext"]),
        (("unet", "unet data.batch_size=2"), ["unet", "batch_size=2"]),
        (("unet runs_dir=a logger=wandb", "unet trainer.max_epochs=3"), ["unet", "trainer.max_epochs=3"]),
    ],
)
def test_a_label_says_what_differs_and_no_more(tmp_path: Path, networks: tuple[str, ...], expected: list[str]) -> None:
    folder = fabricate(tmp_path / "s", dict.fromkeys(networks, 0.0), images=8)
    assert labels(compared(folder)) == expected


def test_other_data_are_another_column(tmp_path: Path) -> None:
    folder = fabricate(tmp_path / "s", {"unet": 0, "unet data.image_size=480 data.source=/x": 0}, images=8)
    comparison = compared(folder)
    assert labels(comparison) == ["unet"]
    assert [column.label for column in comparison.columns] == ["kvasir", "image_size=480"]


def test_two_experiments_with_the_same_runs_are_two_rows(tmp_path: Path) -> None:
    for name in ("a", "b"):
        fabricate(tmp_path / name, {"unet": 0, "convunext": 0}, images=8)
    runs = read_runs([tmp_path / "a", tmp_path / "b"])
    rows = [row.label for row in lay_out(runs).rows]
    assert sorted(rows) == [
        "convunext, experiment=a", "convunext, experiment=b", "unet, experiment=a", "unet, experiment=b"
    ]  # fmt: skip
    other = fabricate(tmp_path / "c", {"resunet": 0}, images=8)
    assert [row.label for row in lay_out(read_runs([tmp_path / "a", other])).rows] == ["unet", "convunext", "resunet"]


def test_a_default_that_was_changed_in_between_makes_two_rows(tmp_path: Path) -> None:
    folder = fabricate(tmp_path / "s", {"unet": 0}, seeds=(0, 1), images=8)
    runs = read_runs([folder])
    # The second seed was trained with another width: the same command, another configuration, so another name.
    config = yaml.safe_load((runs[1].folder / "config.yaml").read_text(encoding="utf-8"))
    config["model"]["base_channels"] = 64
    (runs[1].folder / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    runs[1] = replace(runs[1], setting="unet-kvasir-ffffffff")
    assert [row.label for row in lay_out(runs).rows] == ["base_channels=32", "base_channels=64"]


# Cells.


def test_a_cell_is_mean_and_deviation_over_seeds_of_means_over_images(tmp_path: Path) -> None:
    folder = fabricate(tmp_path / "s", {"unet": 0}, seeds=(0, 1, 2), seed_noise=0.02)
    comparison = compared(folder)
    means = [run.summary["headline"]["dice"]["mean"] for run in read_runs([folder])]
    score = cell(comparison, "unet", "kvasir").scores["dice"]
    assert score.mean == pytest.approx(np.mean(means))
    assert score.sd == pytest.approx(np.std(means, ddof=1))
    assert score.low is not None
    assert score.high is not None
    assert score.low < score.mean < score.high
    conventions = [run.summary["conventions"] for run in read_runs([folder])]
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
    (run,) = read_runs([folder])
    scores = cell(compared(folder), "unet", "kvasir").scores
    for name in ("pooled_dice", "pooled_iou", "mean_iou_with_background", "accuracy"):
        assert scores[name].mean == pytest.approx(run.summary["conventions"][name]), name
        assert scores[name].low is not None, name


def test_folds_of_several_classes_are_pooled_with_the_background(tmp_path: Path) -> None:
    folder = fabricate(tmp_path / "s", {"unet": 0}, folds=range(3), images=7, classes=CLASSES)
    scores = cell(compared(folder), "unet", "kvasir").scores
    each = [run.summary["conventions"]["accuracy"] for run in read_runs([folder])]
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
    comparison = compared(fabricate(tmp_path / "s", networks, images=100))
    cells = {row: cell(comparison, row, "kvasir") for row in networks}
    order = sorted(networks, key=lambda row: -cells[row].scores["dice"].mean)
    assert [cells[row].place for row in order] == [1, 2, None, None]
    assert cells[order[1]].like_best
    assert not cells[order[0]].like_best
    assert not cells["resunet"].like_best
    assert not cells["unet"].like_best


def test_of_distances_the_smallest_is_best(tmp_path: Path) -> None:
    comparison = compared(fabricate(tmp_path / "s", {"unet": 0.0, "convunext": 0.08}), "hd95")
    assert cell(comparison, "convunext", "kvasir").place == 1
    (pair,) = comparison.pairs
    assert pair.difference > 0
    assert pair.verdict(higher_is_better=False) == -1


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
    assert failed.place is None


# Folds.


def test_folds_are_pooled_image_by_image(tmp_path: Path) -> None:
    folder = fabricate(tmp_path / "s", {"unet": 0}, seeds=(0, 1), folds=range(5), images=7, seed_noise=0.02)
    comparison = compared(folder)
    found = cell(comparison, "unet", "kvasir")
    assert len(found.runs) == 10
    assert found.sample is not None
    assert (len(found.sample.ids), found.sample.seeds) == (35, (0, 1))
    runs = read_runs([folder])
    counts = {seed: np.concatenate([r.per_image.counts for r in runs if r.seed == seed]) for seed in (0, 1)}
    per_seed = [SCORES["dice"](counts[seed]).mean() for seed in (0, 1)]
    assert found.scores["dice"].mean == pytest.approx(np.mean(per_seed))
    assert found.scores["dice"].sd == pytest.approx(np.std(per_seed, ddof=1))
    pooled = np.mean([SCORES["dice"](counts[seed].sum(axis=0)).mean() for seed in (0, 1)])
    assert found.scores["pooled_dice"].mean == pytest.approx(pooled)
    both = np.concatenate([counts[0][..., ::-1], counts[0]], axis=1)
    assert headline(both)["dice"] == pytest.approx(per_seed[0])


def test_a_seed_without_all_folds_is_said_not_mixed_in(tmp_path: Path) -> None:
    folder = fabricate(tmp_path / "s", {"unet": 0}, seeds=(0, 1), folds=range(3), images=7)
    runs = read_runs([folder])
    runs = [replace(r, state="failed") if (r.seed, r.fold) == (1, 2) else r for r in runs]
    found = cell(compare(runs, DICE), "unet", "kvasir")
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
    first = next(run for run in read_runs([folder]) if run.config["model"]["base_channels"] == 32)
    assert all(costs.macs is None for costs in compared(folder).costs.values())
    benchmark(folder, first, 96, "2026-11-01T10:00:00+00:00", name="a", macs=10)
    benchmark(folder, first, 480, "2026-11-02T10:00:00+00:00", name="b", macs=250)
    costs = {row.label: costs for row, costs in compared(folder).costs.items()}
    assert (costs["unet"].macs, costs["unet"].size) == (10, (96, 96))
    assert costs["unet"].latency_ms == 12.5
    assert costs["unet"].memory_mib == 300.0
    assert costs["unet"].measured_on == "A processor, 32-true, batch 8"
    assert costs["unet"].parameters == 4_320_000
    assert costs["base_channels=64"].macs is None
    chosen = compare(read_runs([folder]), DICE, (480, 480)).costs
    assert next(iter(chosen.values())).macs == 250
    assert next(iter(compare(read_runs([folder]), DICE, (64, 64)).costs.values())).macs is None
    benchmark(folder, first, 96, "2026-11-03T10:00:00+00:00", name="0", macs=11)
    assert next(iter(compared(folder).costs.values())).macs == 11


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
    assert choose_measure(None, "per_image").name == "dice"
    assert choose_measure("iou", "pooled").name == "pooled_iou"
    assert choose_measure(None, "mean_iou_with_background").name == "mean_iou_with_background"
    assert choose_measure(None, "accuracy").name == "accuracy"
    with pytest.raises(ConfigError, match="score is 'hd95'; with convention=pooled it must be one of dice, iou"):
        choose_measure("hd95", "pooled")
    with pytest.raises(ConfigError, match="convention is 'batch'; it must be one of"):
        choose_measure(None, "batch")


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_every_convention_has_a_table(tmp_path: Path, convention: str) -> None:
    folder = fabricate(tmp_path / "s", {"unet": 0, "convunext": 0.05}, images=20)
    comparison = compare(read_runs([folder]), choose_measure(None, convention))
    assert cell(comparison, "convunext", "kvasir").place == 1
    assert len(comparison.pairs) == 1


def test_seeds_on_different_images_are_refused(tmp_path: Path) -> None:
    folder = fabricate(tmp_path / "s", {"unet": 0}, seeds=(0, 1), images=8)
    file = read_runs([folder])[0].folder / "test" / "per_image.csv"
    file.write_text(file.read_text(encoding="utf-8").replace("kvasir_", "other_"), encoding="utf-8")
    with pytest.raises(UserError, match="tested on different images"):
        compared(folder)


def test_other_sizes_and_other_data_are_said(tmp_path: Path) -> None:
    folder = fabricate(tmp_path / "s", {"unet": 0, "convunext": 0}, images=8)
    file = read_runs([folder])[0].folder / "test" / "summary.json"
    summary = json.loads(file.read_text(encoding="utf-8"))
    write_json(file, summary | {"data_identity": "else"})
    assert compared(folder).warnings == ("kvasir: the runs were tested on data that were prepared differently",)
    write_json(file, summary | {"evaluation_size": [64, 64]})
    assert "different sizes (64 x 64, 96 x 96)" in compared(folder).warnings[0]
