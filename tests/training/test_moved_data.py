"""A run on the user's images is evaluated on these, from whatever folder; never on others without being asked to."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
import yaml

from medseg.errors import ConfigError, DataError
from medseg.runs.folder import RunFolder
from medseg.runs.plan import settings_of
from tests.data.own_folder import numbered, own_folder
from tests.helpers import compose_config, train
from tests.training.test_evaluation import evaluate
from tests.training.test_groups import OWN

WORDS = ("data=folder", "data.root=mine", "data_dir=data", "data.image_size=32", "trainer.max_epochs=1")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("moved")
    own_folder(folder / "mine", numbered(6, 2))
    own_folder(folder / "elsewhere" / "mine", numbered(7, 2))
    return folder


@pytest.fixture(scope="module")
def run(place: Path) -> RunFolder:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        return train(place, *OWN, *WORDS, tiny=False)


def write_data(run: RunFolder, copy: Path, **data: str) -> RunFolder:
    """Return a copy of a run whose configuration has other values in the group `data`."""
    copy.mkdir(parents=True)
    (copy / "checkpoints").symlink_to(run.best_checkpoint.parent)
    config = yaml.safe_load(run.config.read_text())
    config["data"] |= data
    (copy / "config.yaml").write_text(yaml.safe_dump(config))
    return RunFolder(copy)


def test_a_run_is_evaluated_from_another_folder(run: RunFolder, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place / "elsewhere")
    folder = evaluate(place / "elsewhere", f"checkpoint={run.path}")
    assert (folder / "per_image.csv").read_bytes() == run.per_image.read_bytes(), "not on the folder of that name here"
    assert folder.name == "folder-test"
    assert Path(json.loads(run.summary.read_text())["prepared"]).is_dir(), "medseg score and the report find it too"
    assert not (place / "elsewhere" / "data" / "prepared").exists(), "it was prepared already"


def test_every_path_of_the_data_is_absolute_and_the_name_is_as_it_was(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from medseg.runs.naming import config_hash

    monkeypatch.chdir(place)
    cfg = compose_config("train", *WORDS, "data.metadata=m.csv", "data.groups=g.csv:patient")
    settings = settings_of(cfg, str(place / "mine"))
    data = settings["data"]
    assert (data["root"], data["source"]) == (str(place / "mine"),) * 2
    assert (settings["data_dir"], data["data_dir"]) == (str(place / "data"),) * 2
    assert (data["metadata"], data["groups"]) == (str(place / "m.csv"), f"{place / 'g.csv'}:patient")
    address = settings_of(compose_config("train", "data=kvasir", "data.source=https://host/k.zip"), None)
    assert address["data"]["source"] == "https://host/k.zip"
    relative = {**settings, "data_dir": "data", "data": {**data, "source": "mine", "data_dir": "data"}}
    assert config_hash(relative) == config_hash(settings), "older runs are found again"


def test_of_an_older_run_the_absolute_root_is_read(
    run: RunFolder, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place / "elsewhere")
    older = write_data(run, tmp_path / "older", source="mine", data_dir="data")
    folder = evaluate(tmp_path, f"checkpoint={older.path}")
    assert (folder / "per_image.csv").read_bytes() == run.per_image.read_bytes()


def test_images_that_are_gone_are_named_with_the_option_that_works(run: RunFolder, place: Path, tmp_path: Path) -> None:
    gone = write_data(run, tmp_path / "gone", source="/gone/mine", root="/gone/mine")
    message = r"best\.ckpt: its images were in /gone/mine, which is not there; give data\.root=FOLDER"
    with pytest.raises(DataError, match=message):
        evaluate(tmp_path, f"checkpoint={gone.path}")
    alone = tmp_path / "alone.ckpt"
    alone.symlink_to(run.best_checkpoint)
    with pytest.raises(DataError, match=r"alone\.ckpt: it is not known where its images were; give data\.root=FOLDER"):
        evaluate(tmp_path, f"checkpoint={alone}")


def test_other_images_are_scored_only_where_they_are_asked_for(
    run: RunFolder, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(place / "elsewhere")
    unpacked = write_data(run, tmp_path / "unpacked", source="mine", root="mine", data_dir="data")
    for words in ((), ("split=val", "data.batch_size=2")):
        with pytest.raises(ConfigError, match=r"trained on \(those were in mine\); to score these or"):
            evaluate(tmp_path, f"checkpoint={unpacked.path}", *words)
    assert not unpacked.evaluations.exists()
    with caplog.at_level(logging.WARNING, logger="medseg"):
        evaluate(tmp_path, f"checkpoint={unpacked.path}", "data.root=mine", "split=val")
    assert "not the very data that the run was trained on" in caplog.text
