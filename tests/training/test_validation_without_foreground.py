"""A validation without foreground has no Dice: the training goes on, and the last epoch is tested."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from medseg.runs.reading import read_runs
from medseg.system.files import read_csv, read_json
from tests.helpers import train


def test_the_last_epoch_is_kept_and_nothing_stops(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("medseg.training.task.headline", lambda counts: {"dice": float("nan"), "iou": float("nan")})
    with caplog.at_level(logging.WARNING, logger="medseg.training"):
        folder = train(tmp_path, "trainer.max_epochs=3", "callbacks=early_stopping")
    assert [row["val/dice"] for row in read_csv(folder.metrics)] == ["", "", ""]
    assert [row["val/iou"] for row in read_csv(folder.metrics)] == ["", "", ""]
    assert read_json(folder.summary)["best_epoch"] == 3
    told = [record.getMessage() for record in caplog.records if "no validation Dice" in record.getMessage()]
    assert [line.split(":")[0] for line in told] == ["epoch 1 has no validation Dice"]


def test_an_epoch_with_a_score_is_better_than_one_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scores = iter([float("nan"), 0.25, float("nan")])
    monkeypatch.setattr("medseg.training.task.headline", lambda counts: dict.fromkeys(("dice", "iou"), next(scores)))
    folder = train(tmp_path, "trainer.max_epochs=3")
    assert [row["val/dice"] for row in read_csv(folder.metrics)] == ["", "0.25", ""]
    assert read_json(folder.summary)["best_epoch"] == 2


def test_images_without_foreground_go_through_training_and_report(tmp_path: Path) -> None:
    folder = train(tmp_path, "+data.dataset.empty_fraction=1", "optimizer.lr=0.05")
    summary = read_json(folder.summary)
    # Right by predicting nothing, or wrong wherever it predicts something.
    assert summary["headline"]["dice"]["mean"] in (None, 0)
    (run,) = read_runs(folder.path).runs
    assert run.finished
