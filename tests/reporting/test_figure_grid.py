"""The grid of predictions: which images, which runs, how they are painted, and when there is none."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from medseg.data.datasets.synthetic import Synthetic
from medseg.data.overlay import HATCHING
from medseg.data.prepared.dataset import PreparedDataset
from medseg.data.prepared.prepare import prepare
from medseg.metrics.counts import count_pixels
from medseg.metrics.image_scores import ImageScores
from medseg.metrics.measures import MEASURES
from medseg.metrics.summary import per_image_rows, summarise
from medseg.reporting.comparison import compare_runs
from medseg.reporting.figures.content import content_of
from medseg.reporting.figures.grid import Band, draw_grids, in_bands, mosaic, paint
from medseg.reporting.figures.style import in_style
from medseg.reporting.pictures import Candidate, most_disputed, prediction_candidates
from medseg.runs.predictions import read_predictions, write_predictions
from medseg.runs.reading import read_runs
from medseg.system.files import write_csv, write_json
from tests.reporting.fabricate import fabricate
from tests.reporting.figure_data import LONG
from tests.reporting.test_figures import WIDE, check_layout, names

NETWORKS = {"unet": 0.0, "convunext": 0.03, "amsunet": 0.02}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> PreparedDataset:
    return prepare(Synthetic(count=8), image_size=64, in_channels=3, data_dir=tmp_path_factory.mktemp("data"))


def predict(experiment: Path, prepared: PreparedDataset, images: Sequence[int]) -> None:
    """Give the finished runs of an experiment predictions of prepared images, and the scores of these."""
    for number, run in enumerate(read_runs([experiment]).runs):
        if not run.finished:
            continue
        random = np.random.default_rng(number)
        truth = [np.asarray(prepared.native_masks[image]) for image in images]
        # Off by a few pixels, another few for each network and image.
        predicted = [np.roll(mask, random.integers(-6, 7, 2), axis=(0, 1)) for mask in truth]
        classes = prepared.class_names
        counts = np.concatenate(
            [count_pixels(a[None], b[None], len(classes)) for a, b in zip(predicted, truth, strict=True)]
        )
        each = [ImageScores().measure(a, b, len(classes)) for a, b in zip(predicted, truth, strict=True)]
        measured = {name: np.stack([values[name] for values in each]) for name in each[0]}
        ids = [prepared.ids[image] for image in images]
        write_predictions(run.folder / "test" / "predictions.npz", ids, predicted)
        write_csv(run.folder / "test" / "per_image.csv", per_image_rows(ids, counts, measured, classes))
        summary = {**run.summary, **summarise(counts, measured, classes)}
        summary |= {"prepared": str(prepared.folder), "data_identity": prepared.identity}
        write_json(run.folder / "test" / "summary.json", summary)


@pytest.fixture
def sweep(tmp_path: Path, prepared: PreparedDataset) -> Path:
    folder = fabricate(tmp_path / "sweep", NETWORKS, seeds=(0, 1), epochs=2)
    predict(folder, prepared, range(6))
    return folder


@pytest.fixture
def messages(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    monkeypatch.setattr(logging.getLogger("medseg"), "propagate", True)
    caplog.set_level(logging.INFO, logger="medseg")
    return caplog


def grids(sweep: Path, folder: Path) -> list[str]:
    comparison = compare_runs(read_runs([sweep]).runs, MEASURES["dice"])
    with in_style():
        return names(draw_grids(content_of(comparison), folder))


@pytest.mark.filterwarnings("error")
def test_a_grid_is_drawn_and_the_same_again(tmp_path: Path, sweep: Path) -> None:
    assert grids(sweep, tmp_path / "a") == grids(sweep, tmp_path / "b") == ["grid_kvasir.png"]
    files = sorted((tmp_path / "a").iterdir())
    assert [file.name for file in files] == ["grid_kvasir.pdf", "grid_kvasir.png"]
    for file in files:
        assert file.read_bytes() == (tmp_path / "b" / file.name).read_bytes()
    with Image.open(files[1]) as picture:
        assert picture.convert("RGB").getcolors(1000) is None, "photos have no palette"
    pixels = re.findall(rb"/Width (\d+)|/Height (\d+)", files[0].read_bytes())
    (width,) = {int(wide) for wide, _ in pixels if wide}
    assert 5 * 64 < width < 5 * 64 + 20, "the pixels of the pictures, not those of the page"


def test_datasets_of_like_names_have_grids_of_other_names(tmp_path: Path, sweep: Path) -> None:
    comparison = compare_runs(read_runs([sweep]).runs, MEASURES["dice"])
    (column,) = comparison.columns
    columns = tuple(replace(column, label=label) for label in ("a b", "a-b", "网络"))
    cells = {(row, one): cell for (row, _), cell in comparison.cells.items() for one in columns}
    comparison = replace(comparison, columns=columns, cells=cells)
    with in_style():
        files = draw_grids(content_of(comparison), tmp_path / "a")
    assert names(files) == ["grid_a-b.png", "grid_a-b-2.png", "grid_.png"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"prepared": "/nowhere/data"}, "the prepared data are not at /nowhere/data any more"),
        ({"data_identity": "other"}, "are not those of the test"),
    ],
)
def test_no_grid_over_other_data(
    change: dict[str, str], message: str, tmp_path: Path, sweep: Path, messages: pytest.LogCaptureFixture
) -> None:
    for file in sweep.glob("*/test/summary.json"):
        file.write_text(json.dumps({**json.loads(file.read_text()), **change}))
    assert grids(sweep, tmp_path / "a") == []
    assert message in messages.text


def test_no_grid_without_predictions(tmp_path: Path, sweep: Path, messages: pytest.LogCaptureFixture) -> None:
    for file in sweep.glob("*/test/predictions.npz"):
        file.unlink()
    assert grids(sweep, tmp_path / "a") == []
    assert "no grid of kvasir: no run has its predictions stored (test/predictions.npz)" in messages.text


def test_damaged_predictions_do_not_end_the_report(
    tmp_path: Path, sweep: Path, messages: pytest.LogCaptureFixture
) -> None:
    for file in sweep.glob("*/test/predictions.npz"):
        file.write_bytes(b"PK\x03\x04 half a file")
    assert grids(sweep, tmp_path / "a") == []
    assert "predictions.npz: damaged" in messages.text


def test_a_run_that_is_not_finished_is_not_shown(sweep: Path) -> None:
    (first,) = sweep.glob("unet-*-seed0")
    (first / "status.json").write_text('{"state": "failed"}')
    comparison = compare_runs(read_runs([sweep]).runs, MEASURES["dice"])
    candidates = prediction_candidates(comparison, comparison.columns[0], "dice")
    assert [(one.row.label, one.run.seed) for one in candidates] == [(name, 1) for name in NETWORKS]


def test_a_grid_takes_the_seed_that_most_networks_have_predictions_of(sweep: Path) -> None:
    (lost,) = sweep.glob("unet-*-seed0")
    (lost / "test" / "predictions.npz").unlink()
    comparison = compare_runs(read_runs([sweep]).runs, MEASURES["dice"])
    candidates = prediction_candidates(comparison, comparison.columns[0], "dice")
    assert [(one.row.label, one.run.seed) for one in candidates] == [(name, 1) for name in NETWORKS]


def candidate(*scores: float) -> Candidate:
    row: Any = None
    return Candidate(row, row, {f"image{n}": score for n, score in enumerate(scores)})


def test_the_most_disputed_images_come_first() -> None:
    networks = [candidate(0.5, 0.9, 0.1, np.nan), candidate(0.6, 0.2, 0.4, 0.5)]
    assert most_disputed(networks, 3) == ["image1", "image2", "image0"]


def test_of_a_single_network_the_worst_images_come_first() -> None:
    alone = [candidate(0.5, np.nan, 0.1, 0.9)]
    assert most_disputed(alone, 2) == ["image2", "image0"]
    assert most_disputed(alone, 2, higher_is_better=False) == ["image3", "image0"]


def test_pixels_are_painted_by_whether_they_are_right() -> None:
    image = np.zeros((1, 5, 3), np.uint8)
    truth, predicted = np.array([[0, 1, 0, 1, 255]]), np.array([[0, 1, 1, 0, 1]])
    none, right, too_much, missed, ignored = paint(image, truth.astype(np.uint8), predicted.astype(np.uint8))[0]
    assert none.tolist() == [0, 0, 0]
    assert ignored.tolist() == list(HATCHING)
    assert right.argmax() == 1, "green"
    assert too_much.argmax() == 0, "red"
    assert missed.argmax() == 2, "blue"


@pytest.mark.parametrize("count", [1, 2, 8, 9, 20])
def test_many_networks_are_divided_into_bands(count: int) -> None:
    bands = in_bands(range(count))
    assert [item for band in bands for item in band] == list(range(count))
    assert max(map(len, bands)) <= 8
    assert max(map(len, bands)) - min(map(len, bands)) <= 2


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("label", ["net{}", LONG, WIDE])
@pytest.mark.parametrize(("networks", "size"), [(1, 32), (2, 256), (8, 352), (20, 96), (8, 1024)])
def test_texts_of_a_grid_fit(label: str, networks: int, size: int) -> None:
    picture = np.zeros((size, size, 3), np.uint8)
    bands = [
        Band(
            ["image", "truth", *(label.format(k) for k in chosen)],
            [[picture] * (len(chosen) + 2)] * 2,
            [[label.format(0), "", *["Dice 0.876"] * len(chosen)]] * 2,
        )
        for chosen in in_bands(range(networks))
    ]
    with in_style():
        figure, images = mosaic(label.format(99), bands)
    assert len(images) == len(bands)
    check_layout(figure, inside=True)
    assert figure.get_figwidth() < 18


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
    assert [file.name for file in file.parent.iterdir()] == ["predictions.npz"]
    with pytest.raises(ValueError, match="4 ids, but 2 arrays"):
        write_predictions(file, ids, class_maps[:2])


def test_images_of_different_native_sizes_are_shown_in_one(tmp_path: Path) -> None:
    prepared = prepare(Synthetic(count=8), image_size=None, data_dir=tmp_path)
    assert len({mask.shape for mask in prepared.masks}) > 1
    folder = fabricate(tmp_path / "sweep", NETWORKS, seeds=(0, 1), epochs=1)
    predict(folder, prepared, range(6))
    assert grids(folder, tmp_path / "figures")
