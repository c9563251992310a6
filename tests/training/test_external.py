"""Folders that have some parts of a split only: external test sets, and data without a test split."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path

import numpy as np
import pytest

from medseg.commands.status import as_text
from medseg.errors import ConfigError, DataError, UserError
from medseg.reporting.evaluated import describe_interval
from medseg.reporting.report import compare
from medseg.runs.folder import RunFolder
from medseg.runs.progress import read_progress
from medseg.runs.reading import read_runs
from medseg.system.files import read_csv
from tests.data.own_folder import numbered, own_folder
from tests.training.test_evaluation import evaluate
from tests.training.test_groups import train_own

NAMES = numbered(6, 2)


def table(parts: str) -> dict[str, str]:
    """`splits.csv` that assigns the images to these parts, in turn."""
    words = {"t": "train", "v": "val", "x": "test"}
    return {"splits.csv": "\n".join(["id,split", *(f"{n},{words[p]}" for n, p in zip(NAMES, parts, strict=True))])}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("external")
    own_folder(folder / "mine", numbered(10, 2), side=40)
    own_folder(folder / "external", NAMES)
    own_folder(folder / "tests", NAMES, files=table("x" * 12))
    own_folder(folder / "half", NAMES, files=table("tttttttvvxxx"))
    own_folder(folder / "untested" / "mine", NAMES, files=table("t" * 9 + "v" * 3))
    return folder


@pytest.fixture(scope="module")
def run(place: Path) -> RunFolder:
    return train_own(place, r"data.groups=(p\d+)_.*")


@pytest.fixture(scope="module")
def untested(place: Path) -> RunFolder:
    return train_own(place / "untested")


@pytest.mark.parametrize(
    ("name", "words", "count"),
    [
        ("external", (), 12),
        ("tests", (), 12),
        ("half", (), 3),
        ("half", ("data.split=all",), 12),
        ("half", ("split=val",), 2),
        ("external", ("data.split=random",), 1),
    ],
)
def test_what_is_scored_of_another_folder(
    run: RunFolder, place: Path, name: str, words: tuple[str, ...], count: int, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="medseg"):
        folder = evaluate(place, f"checkpoint={run.path}", "data=folder", f"data.root={place / name}", *words)
    assert json.loads((folder / "summary.json").read_text())["images"] == count
    assert len(read_csv(folder / "images.csv")) == count
    assert ("the folder has no split (" in caplog.text) == (name == "external" and not words)


def test_the_interval_is_over_groups_where_they_are_known(run: RunFolder, place: Path) -> None:
    words = (f"checkpoint={run.path}", "data=folder", f"data.root={place / 'external'}")
    plain = evaluate(place, *words, f"output={place / 'plain'}")
    dice = np.array([float(row["dice"]) for row in read_csv(plain / "per_image.csv")])
    half = 2.200985 * dice.std(ddof=1) / 12**0.5  # Student's t of 11 degrees of freedom
    low, high = max(0, dice.mean() - half), min(1, dice.mean() + half)
    assert describe_interval(plain) == f"95 % interval of the mean Dice: {low:.3f} to {high:.3f}, over 12 images"
    grouped = evaluate(place, *words, r"data.groups=(p\d+)_.*", f"output={place / 'grouped'}")
    means = dice.reshape(6, 2).mean(axis=1)  # groups of two
    half = 2.570582 * means.std(ddof=1) / 6**0.5
    low, high = max(0, means.mean() - half), min(1, means.mean() + half)
    assert describe_interval(grouped) == (
        f"95 % interval of the mean Dice: {low:.3f} to {high:.3f}, over 6 groups of images"
    )


def test_the_folder_of_the_training_keeps_its_split(run: RunFolder, place: Path) -> None:
    folder = evaluate(place, f"checkpoint={run.path}", "data=folder", f"data.root={place / 'mine'}")
    assert (folder / "per_image.csv").read_bytes() == run.per_image.read_bytes(), "with its groups"


def test_a_copy_of_the_training_images_is_scored_whole_with_a_warning(
    run: RunFolder, place: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copytree(place / "mine", tmp_path / "copy")
    words = (f"checkpoint={run.path}", f"data.root={tmp_path / 'copy'}")
    folder = evaluate(place, *words, "data=folder")
    assert json.loads((folder / "summary.json").read_text())["images"] == 20
    assert "they are the images that the run was trained on; without data=folder" in caplog.text
    assert json.loads((folder / "summary.json").read_text())["known_images"] == 20
    report = compare(read_runs(run.path))
    assert not any(column.external for column in report.comparison.columns if "copy" in column.label)
    assert any("on images of the run's data" in note for note in report.notes)
    larger = evaluate(place, *words, "data.image_size=64", f"output={tmp_path / 'larger'}")
    summary = json.loads((larger / "summary.json").read_text())
    assert summary["known_images"] == summary["images"], "whatever the size that they are prepared at"
    assert (evaluate(place, *words) / "per_image.csv").read_bytes() == run.per_image.read_bytes()


def test_a_part_without_images_is_named_with_the_options_that_work(run: RunFolder, place: Path) -> None:
    words = (f"checkpoint={run.path}", "data=folder", f"data.root={place / 'tests'}")
    message = r"the val split has no images; give split=test \(12 images\), or data\.split=all .* with split=test"
    with pytest.raises(ConfigError, match=message):
        evaluate(place, *words, "split=val")


def test_fewer_classes_name_the_option_and_it_works(place: Path, tmp_path: Path) -> None:
    three = dict.fromkeys(NAMES, (1, 2))
    own_folder(tmp_path / "mine", NAMES, classes=three)
    run = train_own(tmp_path)
    own_folder(tmp_path / "fewer", NAMES, classes=dict.fromkeys(NAMES, (1,)))
    words = (f"checkpoint={run.path}", "data=folder", f"data.root={tmp_path / 'fewer'}")
    with pytest.raises(ConfigError, match=r"predicts 3 classes .* has 2 .*; .* give data\.num_classes=3"):
        evaluate(tmp_path, *words)
    folder = evaluate(tmp_path, *words, "data.num_classes=3")
    assert {row["class"] for row in read_csv(folder / "per_image.csv")} == {"class 1", "class 2"}
    own_folder(tmp_path / "more", NAMES, classes=dict.fromkeys(NAMES, (1, 2, 3)))
    with pytest.raises(ConfigError, match=r"has 4 .*join classes with data\.labels"):
        evaluate(tmp_path, f"checkpoint={run.path}", "data=folder", f"data.root={tmp_path / 'more'}")


def test_data_without_a_test_split_train_and_say_so(
    untested: RunFolder, place: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    assert untested.status["state"] == "trained"
    assert untested.finished, "a repeated command has nothing to do"
    assert not untested.test.exists()
    assert untested.best_checkpoint.exists()
    assert (untested.images / "curves.png").exists()
    train_own(place / "untested")
    assert "trained; no test scores: the data have no test split" in capsys.readouterr().out
    (read,) = read_runs(untested.path)
    assert (read.state, read.finished, read.scores) == ("trained", False, {})
    text = as_text(read_progress([untested.path]))
    assert "no test scores: the data have no test split" in text
    assert "1 run: 1 trained" in text
    folder = evaluate(place / "untested", f"checkpoint={untested.path}", "split=val")
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["images"] == 3
    assert summary["calibration"]["temperature"] == json.loads(untested.temperature.read_text())["temperature"]
    with pytest.raises(ConfigError, match=r"the test split has no images; give split=train \(9 images\) or split=val"):
        evaluate(place / "untested", f"checkpoint={untested.path}")


def test_a_report_shows_a_run_without_a_test_beside_the_others(
    untested: RunFolder, run: RunFolder, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=r"nothing is finished yet \(1 trained\); .*split=val"):
        compare(read_runs(untested.path))
    report = compare(read_runs([untested.path, run.path]))
    report.write(tmp_path, figures=False, images=0)
    text = (tmp_path / "report.md").read_text()
    assert "2 runs (1 finished, 1 trained)" in text
    assert "no test scores: the data have no test split" in text


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ("x" * 12, r"no images to train on \(0 train, 0 val, 12 test\); data\.split=random .* medseg evaluate RUN"),
        ("v" * 12, r"no images to train on \(0 train, 12 val, 0 test\)"),
        ("t" + "x" * 11, r"no images to select the best epoch by \(1 train, 0 val, 11 test\)"),
    ],
)
def test_a_folder_that_cannot_be_trained_on(tmp_path: Path, parts: str, message: str) -> None:
    own_folder(tmp_path / "mine", NAMES, files=table(parts))
    with pytest.raises(DataError, match=message):
        train_own(tmp_path)
