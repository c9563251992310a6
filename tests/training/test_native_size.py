"""The test of a run at native size: scores, class maps and probabilities, each against the image's own mask."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import medseg
from medseg.data.datasets import Synthetic
from medseg.data.prepared.dataset import PreparedDataset
from medseg.data.prepared.restore import most_probable, restore_classes
from medseg.data.sources.finding import open_source
from medseg.metrics import ImageScores, count_pixels
from medseg.runs.folder import RunFolder
from medseg.runs.predictions import read_predictions
from medseg.system.files import read_csv, read_json
from tests.helpers import train


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    folder = tmp_path_factory.mktemp("native")
    return train(folder, "save_probabilities=true", "data.spacing=[0.5,0.25]", "trainer.precision=32", "scores=[nsd]")


@pytest.fixture(scope="module")
def prepared(run: RunFolder) -> PreparedDataset:
    return PreparedDataset(read_json(run.summary)["prepared"])


def test_scores_are_those_of_each_image_at_its_own_size(run: RunFolder, prepared: PreparedDataset) -> None:
    rows = read_csv(run.per_image)
    predictions = read_predictions(run.test / "predictions.npz", [row["id"] for row in rows])
    assert len({prediction.shape for prediction in predictions.values()}) > 1
    for row in rows:
        truth = prepared.native_masks[prepared.ids.index(row["id"])]
        counts = count_pixels(predictions[row["id"]][None], truth[None], 2)[0, 1]
        assert [int(row[name]) for name in ("tp", "fp", "fn", "tn")] == counts.tolist()
        measured = ImageScores(["nsd"], (0.5, 0.25)).measure(predictions[row["id"]], truth, 2)
        assert list(measured) == ["hd95", "assd", "hd95_mm", "assd_mm", "nsd"]
        for name, values in measured.items():
            assert row[name] == "" if np.isnan(values[0]) else float(row[name]) == values[0]


def test_the_prepared_size_is_a_convention_of_its_own(run: RunFolder, prepared: PreparedDataset) -> None:
    rows = read_csv(run.prepared_size)
    stored = read_predictions(run.test / "probabilities.npz", [row["id"] for row in rows])
    for row in rows:
        index = prepared.ids.index(row["id"])
        small, _ = most_probable(stored[row["id"]])
        counts = count_pixels(small[None], np.array(prepared.masks[index])[None], 2)[0, 1]
        assert sum(counts) == 64 * 64
        # Rounded to 8 bits, a pixel may have two classes of equal probability.
        np.testing.assert_allclose([int(row[name]) for name in ("tp", "fp", "fn", "tn")], counts, atol=8)
    summary = read_json(run.summary)
    dice = [float(row["dice"]) for row in rows]
    assert summary["prepared_size"]["headline"]["dice"]["mean"] == pytest.approx(np.mean(dice))
    assert summary["headline"]["dice"]["mean"] != summary["prepared_size"]["headline"]["dice"]["mean"]
    assert 0.9 < summary["reachable_dice"] < 1


def test_probabilities_of_8_bits_are_those_of_the_network(run: RunFolder, prepared: PreparedDataset) -> None:
    image = read_csv(run.per_image)[0]["id"]
    probabilities = read_predictions(run.test / "probabilities.npz", [image])[image]
    assert probabilities.shape == (2, 64, 64)
    np.testing.assert_allclose(probabilities.astype(int).sum(0), 255, atol=1)
    predicted = read_predictions(run.test / "predictions.npz", [image])[image]
    again = restore_classes(probabilities.astype(np.float32) / 255, predicted.shape)
    assert (again == predicted).mean() > 0.95  # of a network that is hardly trained, and so mostly undecided


def test_a_prediction_of_the_file_is_what_was_scored(run: RunFolder, tmp_path: Path) -> None:
    ids = [row["id"] for row in read_csv(run.per_image)]
    stored = read_predictions(run.test / "predictions.npz", ids)
    model = medseg.load(run.path, device="cpu")
    dataset = Synthetic(count=20)
    source = open_source(dataset, None, tmp_path, download=False)
    for sample in dataset.list_samples(source).samples:
        if sample.id in ids:
            mask = model.predict(dataset.read(source, sample)[0]).mask
            # A batch and a single image differ in the last bits, which may tip a pixel.
            assert (mask == stored[sample.id]).mean() > 0.999
