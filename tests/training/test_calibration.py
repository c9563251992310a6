"""The temperature of a run, and the calibration that its test and its evaluations write."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from medseg.data.module import SegmentationDataModule, build_datamodule
from medseg.metrics.calibration import BINS
from medseg.runs.folder import RunFolder
from medseg.system.files import read_csv, read_json
from medseg.trained.network import TrainedNetwork
from medseg.training import temperature as fitting
from medseg.training.temperature import PixelSampler
from tests.helpers import compose_config, train


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("calibration")


@pytest.fixture(scope="module")
def run(place: Path) -> RunFolder:
    return train(place, "trainer.precision=32-true", "optimizer.lr=0.01")


@pytest.fixture(scope="module")
def datamodule(run: RunFolder, place: Path) -> SegmentationDataModule:
    words = ["data.image_size=64", "data.dataset.count=20", "data.num_workers=0", f"data_dir={place / 'data'}"]
    return build_datamodule(compose_config("train", *words).data)


def evaluate(place: Path, *overrides: str) -> Path:
    from medseg.training.evaluation import evaluate_checkpoint

    words = [f"data_dir={place / 'data'}", *overrides]
    return evaluate_checkpoint(compose_config("evaluate", *words), words)[0]


def predicted(
    run: RunFolder, datamodule: SegmentationDataModule, split: str
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield logits K x pixels and labels of each image, from the checkpoint alone."""
    network = TrainedNetwork.load(run.best_checkpoint).network.eval()
    for index in datamodule.indices[split]:
        batch = datamodule.images().__getitems__([(int(index), 0)])
        ready = datamodule.on_after_batch_transfer(batch, 0)
        with torch.inference_mode():
            logits = network(ready["image"])[0].double().numpy()
        yield logits.reshape(len(logits), -1), ready["mask"][0].numpy().ravel()


def cross_entropy(logits: np.ndarray, labels: np.ndarray) -> float:
    shifted = torch.from_numpy(logits.T.copy()).log_softmax(1).numpy()
    return float(-shifted[np.arange(len(labels)), labels].mean())


def test_the_temperature_is_the_best_one_on_the_validation_images(
    run: RunFolder, datamodule: SegmentationDataModule
) -> None:
    stored = read_json(run.temperature)
    parts = list(predicted(run, datamodule, "val"))
    logits, labels = np.concatenate([p[0] for p in parts], axis=1), np.concatenate([p[1] for p in parts])
    assert stored["pixels"] == len(labels)
    assert stored["nll"] == pytest.approx(cross_entropy(logits, labels), rel=1e-4)
    assert stored["nll_scaled"] == pytest.approx(cross_entropy(logits / stored["temperature"], labels), rel=1e-4)
    tried = np.geomspace(0.05, 20, 200)
    assert stored["nll_scaled"] <= min(cross_entropy(logits / t, labels) for t in tried) + 1e-5


def test_the_test_is_measured_with_and_without_it(run: RunFolder, datamodule: SegmentationDataModule) -> None:
    summary, stored = read_json(run.summary)["calibration"], read_json(run.temperature)["temperature"]
    assert summary["temperature"] == stored
    parts = list(predicted(run, datamodule, "test"))
    labels = np.concatenate([p[1] for p in parts]) == 1
    for end, temperature in (("", 1.0), ("_scaled", stored)):
        logits = np.concatenate([p[0] for p in parts], axis=1) / temperature
        p = torch.from_numpy(logits).softmax(0).numpy()[1]
        assert summary[f"brier{end}"] == pytest.approx(np.mean((p - labels) ** 2), rel=1e-4)
        which = np.minimum((p * BINS).astype(int), BINS - 1)
        gaps = [abs(p[which == b].sum() - labels[which == b].sum()) for b in range(BINS)]
        assert summary[f"ece{end}"] == pytest.approx(sum(gaps) / len(p), rel=1e-3)
        rows = [row for row in read_csv(run.test / "calibration.csv") if float(row["temperature"]) == temperature]
        assert sum(int(row["pixels"]) for row in rows) == len(p)


def test_each_image_has_its_scores_and_a_confidence(run: RunFolder) -> None:
    rows, certain = read_csv(run.per_image), read_csv(run.test / "confidence.csv")
    assert [row["id"] for row in certain] == [row["id"] for row in rows]
    assert all(0 < float(row["confidence"]) < 1 for row in certain)
    headline = read_json(run.summary)["headline"]
    assert np.mean([float(row["brier"]) for row in rows]) == pytest.approx(headline["brier"]["mean"])
    # As many pixels in each image, so the mean over images is that over all pixels; the bins of images do not cancel.
    assert headline["brier"]["mean"] == pytest.approx(read_json(run.summary)["calibration"]["brier"])
    assert headline["ece"]["mean"] >= read_json(run.summary)["calibration"]["ece"]


def test_what_is_predicted_does_not_depend_on_it(run: RunFolder, place: Path, tmp_path: Path) -> None:
    kept = run.temperature.read_text(encoding="utf-8")
    try:
        run.temperature.write_text('{"temperature": 3.0}\n', encoding="utf-8")
        folder = evaluate(place, f"checkpoint={run.path}", f"output={tmp_path / 'other'}")
        assert (folder / "per_image.csv").read_bytes() == run.per_image.read_bytes()
        assert read_json(folder / "summary.json")["calibration"]["temperature"] == 3.0
        run.temperature.unlink()
        folder = evaluate(place, f"checkpoint={run.path}", f"output={tmp_path / 'none'}")
        alone = read_json(folder / "summary.json")["calibration"]
        assert alone["temperature"] is alone["ece_scaled"] is None
        assert alone["ece"] == read_json(run.summary)["calibration"]["ece"]
    finally:
        run.temperature.write_text(kept, encoding="utf-8")


def test_an_evaluation_takes_the_temperature_of_the_run_and_chooses_none(
    run: RunFolder, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: Any) -> None:
        raise AssertionError("a temperature was chosen on images that are scored")

    monkeypatch.setattr(fitting, "fit_temperature", refused)
    other = ("data=synthetic", "data.dataset.style=nuclei", "data.dataset.count=10")
    folder = evaluate(place, f"checkpoint={run.path}", *other, f"output={tmp_path / 'best'}")
    assert read_json(folder / "summary.json")["calibration"]["temperature"] == read_json(run.temperature)["temperature"]
    folder = evaluate(place, f"checkpoint={run.last_checkpoint}", f"output={tmp_path / 'last'}")
    assert read_json(folder / "summary.json")["calibration"]["temperature"] is None
    assert {row["temperature"] for row in read_csv(folder / "calibration.csv")} == {"1.0"}


def test_the_same_pixels_of_an_image_are_taken_in_any_order(datamodule: SegmentationDataModule) -> None:
    first, second = (PixelSampler(datamodule.prepared, 100) for _ in range(2))
    images = {index: np.random.default_rng(index).random((2, 64, 64), np.float32) for index in (3, 5)}
    for index in (3, 5):
        first.add(index, images[index])
    for index in (5, 3):
        second.add(index, images[index])
    for one, other in zip(first.results(), reversed(second.results()), strict=True):
        assert one.index == other.index
        assert one.probabilities.shape == (2, 100)
        np.testing.assert_array_equal(one.probabilities, other.probabilities)
        np.testing.assert_array_equal(one.labels, other.labels)
    mask = np.asarray(datamodule.prepared.masks[3])
    place = dict(zip(images[3][0].ravel().tolist(), mask.ravel().tolist(), strict=True))
    assert [place[value] for value in first.results()[0].probabilities[0].tolist()] == first.results()[
        0
    ].labels.tolist()
