"""The figures: they are drawn, the same from the same runs, and skipped with a word where something is missing."""

from __future__ import annotations

import json
import logging
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from medseg.data.datasets.synthetic import Synthetic
from medseg.data.prepare import prepare
from medseg.data.prepared import PreparedDataset
from medseg.metrics.counts import count_pixels
from medseg.metrics.distances import surface_distances
from medseg.metrics.summary import per_image_rows, summarise
from medseg.reporting.figures import draw_all
from medseg.reporting.figures_grid import paint
from medseg.reporting.figures_scores import epochs_of, round_numbers
from medseg.reporting.figures_style import COLOURS, looks
from medseg.reporting.kept import find_candidates, most_disputed
from medseg.reporting.layout import Line, lay_out
from medseg.reporting.records import read_runs
from medseg.runs.files import write_csv, write_json
from medseg.runs.predictions import read_predictions, write_predictions
from tests.reporting.fabricate import fabricate

NETWORKS = {"unet": 0.0, "convunext": 0.03, "amsunet": 0.02}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> PreparedDataset:
    return prepare(Synthetic(count=8), image_size=64, in_channels=3, data_dir=tmp_path_factory.mktemp("data"))


def predict(experiment: Path, prepared: PreparedDataset, images: Sequence[int]) -> None:
    """Give the finished runs of an experiment predictions of prepared images, and the scores of these."""
    for number, run in enumerate(read_runs([experiment])):
        if not run.finished:
            continue
        random = np.random.default_rng(number)
        truth = np.asarray(prepared.masks[list(images)])
        # Off by a few pixels, another few for each network and image.
        predicted = np.stack([np.roll(mask, random.integers(-6, 7, 2), axis=(0, 1)) for mask in truth])
        classes = prepared.class_names
        counts = count_pixels(predicted.astype(np.int64), truth.astype(np.int64), len(classes))
        distances = np.stack([surface_distances(a, b, len(classes)) for a, b in zip(predicted, truth, strict=True)])
        ids = [prepared.ids[image] for image in images]
        write_predictions(run.folder / "test" / "predictions.npz", ids, predicted)
        write_csv(run.folder / "test" / "per_image.csv", per_image_rows(ids, counts, distances, classes))
        summary = {**run.summary, **summarise(counts, distances, classes)}
        summary |= {"prepared": str(prepared.folder), "data_identity": prepared.identity}
        summary |= {"evaluation_size": list(prepared.image_size)}
        write_json(run.folder / "test" / "summary.json", summary)


def benchmark(experiment: Path, macs: dict[str, int]) -> None:
    """Add benchmarks as `medseg.benchmark` would write them, and tell the networks' configurations apart."""
    for run in read_runs([experiment]):
        if run.model in macs and run.config:
            arguments = {**run.config["model"], "_target_": run.model}
            (run.folder / "config.yaml").write_text(yaml.safe_dump({**run.config, "model": arguments}))
            content = {"arguments": arguments, "macs": macs[run.model], "image_size": [96, 96]}
            content |= {"measured": "2026-11-01T00:00:00+00:00", "precision": "32-true", "batch_size": 8}
            content |= {"device": {"name": "cpu"}, "latency_ms": {"p50": 3.0}, "peak_memory_mib": {"train": 100}}
            write_json(experiment / "benchmarks" / f"{run.model}.json", content)


def make(folder: Path, prepared: PreparedDataset, **options: object) -> Path:
    """Make up a sweep with predictions and benchmarks."""
    options = {"data": ("kvasir",), "seeds": (0, 1), "epochs": 4, **options}
    sweep = fabricate(folder / "sweep", NETWORKS, **options)  # type: ignore[arg-type]
    predict(sweep, prepared, range(6))
    benchmark(sweep, {"unet": 10_000_000_000, "convunext": 7_000_000_000, "amsunet": 6_000_000_000})
    return sweep


def names(files: Sequence[Path]) -> list[str]:
    return [file.name for file in files]


def test_every_figure_is_drawn_and_the_same_again(tmp_path: Path, prepared: PreparedDataset) -> None:
    sweep = make(tmp_path, prepared)
    files = draw_all(read_runs([sweep]), tmp_path / "a")
    assert names(files) == ["dice_parameters.png", "dice_macs.png", "boxes.png", "curves.png", "grid_kvasir.png"]
    assert sorted(names(list((tmp_path / "a").iterdir()))) == sorted(names(files))
    for file in files:
        with Image.open(file) as picture:
            assert min(picture.size) > 250
            assert picture.info.keys() <= {"dpi"}, "no time, no version"
            assert len(np.unique(np.asarray(picture.convert("L")))) > 20
    for file, again in zip(files, draw_all(read_runs([sweep]), tmp_path / "b"), strict=True):
        assert file.read_bytes() == again.read_bytes()


def test_another_process_with_settings_of_its_own_draws_the_same(tmp_path: Path, prepared: PreparedDataset) -> None:
    sweep = make(tmp_path, prepared)
    files = draw_all(read_runs([sweep]), tmp_path / "a")
    (tmp_path / "matplotlibrc").write_text("font.size: 20\nlines.linewidth: 9\nsavefig.dpi: 33\n")
    code = (
        "import sys; from pathlib import Path\n"
        "from medseg.reporting.figures import draw_all; from medseg.reporting.records import read_runs\n"
        f"draw_all(read_runs([{str(sweep)!r}]), Path('b'))\n"
        "assert not {'torch', 'lightning', 'hydra', 'matplotlib.pyplot', 'pandas'} & set(sys.modules)\n"
    )
    project = Path(__file__).resolve().parents[2]
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env={"PYTHONPATH": str(project)}, check=True)
    for file in files:
        assert file.read_bytes() == (tmp_path / "b" / file.name).read_bytes()


def test_without_predictions_benchmarks_or_data_the_others_are_drawn(
    tmp_path: Path, prepared: PreparedDataset, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("medseg"), "propagate", True)
    sweep = make(tmp_path, prepared)
    shutil.rmtree(sweep / "benchmarks")
    for run in read_runs([sweep]):
        (run.folder / "test" / "predictions.npz").unlink()
    with caplog.at_level(logging.INFO, logger="medseg"):
        assert names(draw_all(read_runs([sweep]), tmp_path / "a")) == ["dice_parameters.png", "boxes.png", "curves.png"]
    assert "python -m medseg.benchmark measures them" in caplog.text
    assert "no grid of kvasir: no run has kept its predictions (test/predictions.npz)" in caplog.text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"prepared": "/nowhere/data"}, "the prepared data are not at /nowhere/data any more"),
        ({"data_identity": "other"}, "are not those of the test"),
    ],
)
def test_a_grid_is_not_drawn_over_other_data(
    change: dict[str, str],
    message: str,
    tmp_path: Path,
    prepared: PreparedDataset,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(logging.getLogger("medseg"), "propagate", True)
    sweep = make(tmp_path, prepared)
    for run in read_runs([sweep]):
        file = run.folder / "test" / "summary.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), **change}))
    assert "grid_kvasir.png" not in names(draw_all(read_runs([sweep]), tmp_path / "a"))
    assert message in caplog.text


def test_damaged_predictions_do_not_end_the_report(
    tmp_path: Path, prepared: PreparedDataset, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("medseg"), "propagate", True)
    sweep = make(tmp_path, prepared)
    for run in read_runs([sweep]):
        (run.folder / "test" / "predictions.npz").write_bytes(b"PK\x03\x04 half a file")
    assert "boxes.png" in names(draw_all(read_runs([sweep]), tmp_path / "a"))
    assert "predictions.npz: damaged" in caplog.text


def test_unfinished_runs_are_left_out(tmp_path: Path, prepared: PreparedDataset) -> None:
    states = {
        ("unet", "kvasir", 0): "failed",
        ("convunext", "kvasir", 0): "waiting",
        ("amsunet", "kvasir", 0): "running",
    }
    sweep = make(tmp_path, prepared, states=states)
    files = draw_all(read_runs([sweep]), tmp_path / "a")
    assert "grid_kvasir.png" in names(files)
    for file in sweep.glob("*-seed1/status.json"):
        file.write_text('{"state": "failed"}')
    assert draw_all(read_runs([sweep]), tmp_path / "b") == []
    assert not (tmp_path / "b").exists()


def test_many_networks_many_datasets_and_another_score(tmp_path: Path) -> None:
    networks = {f"net{number}": 0.01 * number for number in range(11)}
    fabricate(tmp_path / "sweep", networks, data=("a", "b", "c", "d", "e"), epochs=2, images=12)
    files = draw_all(read_runs([tmp_path / "sweep"]), tmp_path / "figures", score="hd95")
    assert names(files) == ["hd95_parameters.png", "boxes.png", "curves.png"]


def test_looks_differ_between_networks() -> None:
    rows = [Line(str(number), str(number), ()) for number in range(3 * len(COLOURS))]
    for parts in (("colour", "marker"), ("colour", "dashes")):
        assert len({tuple(getattr(look, part) for part in parts) for look in looks(rows).values()}) == len(rows)


def test_the_most_disputed_images_come_first(tmp_path: Path, prepared: PreparedDataset) -> None:
    sweep = make(tmp_path, prepared)
    layout = lay_out(read_runs([sweep]))
    candidates = find_candidates(layout, layout.columns[0], "dice")
    assert [candidate.run.seed for candidate in candidates] == [0, 0, 0]
    first = most_disputed(candidates)
    spread = {image: np.std([candidate.scores[image] for candidate in candidates]) for image in candidates[0].scores}
    assert len(first) == 5
    assert [spread[image] for image in first] == sorted(spread.values(), reverse=True)[:5]


def test_a_grid_takes_the_seed_that_most_networks_have_kept(tmp_path: Path, prepared: PreparedDataset) -> None:
    sweep = make(tmp_path, prepared)
    (lost,) = sweep.glob("unet-*-seed0")
    (lost / "test" / "predictions.npz").unlink()
    layout = lay_out(read_runs([sweep]))
    candidates = find_candidates(layout, layout.columns[0], "dice")
    assert [(candidate.row.label, candidate.run.seed) for candidate in candidates] == [(name, 1) for name in NETWORKS]


def test_pixels_are_painted_by_whether_they_are_right() -> None:
    image = np.zeros((1, 5, 3), np.uint8)
    truth, predicted = np.array([[0, 1, 0, 1, 255]]), np.array([[0, 1, 1, 0, 1]])
    none, right, too_much, missed, ignored = paint(image, truth.astype(np.uint8), predicted.astype(np.uint8))[0]
    assert none.tolist() == ignored.tolist() == [0, 0, 0]
    assert right.argmax() == 1, "green"
    assert too_much.argmax() == 0, "red"
    assert missed.argmax() == 2, "blue"


def test_curves_end_where_the_shortest_run_does(tmp_path: Path) -> None:
    fabricate(tmp_path / "sweep", {"unet": 0.0}, seeds=(0, 1), epochs=6)
    (short,) = (tmp_path / "sweep").glob("*-seed1")
    lines = (short / "metrics.csv").read_text().splitlines()
    (short / "metrics.csv").write_text("\n".join([*lines[:5], ""]))
    values = epochs_of(read_runs([tmp_path / "sweep"]), "val/dice")
    assert values.shape == (2, 4)
    assert np.isnan(epochs_of(read_runs([tmp_path / "sweep"]), "no such key")).all()
    assert epochs_of([], "val/dice").shape == (0, 0)


@pytest.mark.parametrize(("low", "high"), [(0.3, 5), (2.0, 5.6), (1, 1.4), (0.01, 300)])
def test_ticks_are_few_and_round(low: float, high: float) -> None:
    ticks = round_numbers(low, high)
    assert 1 <= len(ticks) <= 6
    assert all(low <= tick <= high for tick in ticks)


def test_predictions_come_back_one_by_one(tmp_path: Path) -> None:
    class_maps = np.random.default_rng(0).integers(0, 3, (4, 10, 12))
    file = tmp_path / "test" / "predictions.npz"
    ids = ["a/1", "b 2", "ü3", "4"]
    write_predictions(file, ids, class_maps)
    read = read_predictions(file, ["ü3", "a/1", "none"])
    assert list(read) == ["ü3", "a/1"]
    assert (read["ü3"] == class_maps[2]).all()
    assert read["ü3"].dtype == np.uint8
    first = file.read_bytes()
    write_predictions(file, ids, class_maps)
    assert file.read_bytes() == first
    assert names(list(file.parent.iterdir())) == ["predictions.npz"]
    with pytest.raises(ValueError, match="4 ids, but 2 class maps"):
        write_predictions(file, ids, class_maps[:2])
