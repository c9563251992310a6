"""Groups from `data.groups` to the run folder, and the runs that must have the same ones."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import pytest
import yaml

from medseg.data.module import SegmentationDataModule
from medseg.errors import UserError
from medseg.runs.folder import RunFolder
from medseg.runs.reading import read_runs
from medseg.system.files import read_csv
from medseg.trained.checkpoint import Checkpoint
from medseg.training.data_record import warn_of_cut_groups
from tests.data.own_folder import numbered, own_folder
from tests.data.tiny import Tiny, tiny_files, write_zip
from tests.helpers import TINY, train
from tests.training.test_evaluation import evaluate

OWN = [word for word in TINY if not word.startswith(("data.dataset", "data.image_size"))]


def train_own(place: Path, *words: str) -> RunFolder:
    root = f"data.root={place / 'mine'}"
    return train(place, *OWN, "data=folder", root, "data.image_size=32", "trainer.max_epochs=1", *words, tiny=False)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("groups")
    own_folder(folder / "mine", numbered(6, 3))
    return folder


def test_a_pattern_reaches_the_split_the_run_folder_and_the_evaluation(place: Path) -> None:
    run = train_own(place, r"data.groups=(?P<patient>p\d+)_.*")
    rows = read_csv(run.splits)
    assert {row["id"]: row["group"] for row in rows} == {name: name[:3] for name in numbered(6, 3)}
    splits = {row["group"]: {other["split"] for other in rows if other["group"] == row["group"]} for row in rows}
    assert all(len(of) == 1 for of in splits.values())
    assert yaml.safe_load(run.config.read_text())["data"]["groups"] == r"(?P<patient>p\d+)_.*"
    (read,) = read_runs(run.path)
    assert set(read.groups.values()) == {group for group, of in splits.items() if of == {"test"}}
    folder = evaluate(place, f"checkpoint={run.path}")
    assert (folder / "per_image.csv").read_bytes() == run.per_image.read_bytes(), "the same groups, so the same split"


def test_a_table_is_one_file_wherever_the_command_is_given(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [f"{name}.png,{name[2]}" for name in numbered(6, 3)]
    (tmp_path / "patients.csv").write_text("\n".join(["id,patient", *lines]))
    monkeypatch.chdir(tmp_path)
    run = train_own(place, "data.groups=patients.csv:patient", "experiment=table")
    stored = yaml.safe_load(run.config.read_text())["data"]["groups"]
    assert stored == f"{tmp_path / 'patients.csv'}:patient"
    # No path of the machine is in a checkpoint; its run folder has it.
    assert Checkpoint.read(run.best_checkpoint).metadata.configuration.data["groups"] == "patients.csv:patient"
    monkeypatch.chdir(place)
    folder = evaluate(place, f"checkpoint={run.path}")
    assert (folder / "per_image.csv").read_bytes() == run.per_image.read_bytes()
    shutil.copyfile(run.best_checkpoint, tmp_path / "alone.ckpt")
    with pytest.raises(UserError, match=r"data\.groups=patients.csv:patient: patients.csv cannot be read"):
        evaluate(place, f"checkpoint={tmp_path / 'alone.ckpt'}", f"data.root={place / 'mine'}")
    assert train_own(place, f"data.groups={stored}", "experiment=table").path == run.path


def test_an_interrupted_run_goes_on_with_its_own_groups_alone(place: Path, tmp_path: Path) -> None:
    file = tmp_path / "g.csv"
    names = numbered(6, 3)
    file.write_text("\n".join(["id,group", *(f"{name},{name[:3]}" for name in names)]))
    words = ("+callbacks.interrupt._target_=tests.training.test_job.Interrupt", "trainer.max_epochs=4")
    words = (*words, f"data.groups={file}", "experiment=interrupted")
    with pytest.raises(KeyboardInterrupt):
        train_own(place, *words)
    before = file.read_text()
    file.write_text(before.replace("p05_2,p05", "p05_2,p04"))
    with pytest.raises(UserError, match=r"began with other splits or groups.*force=true"):
        train_own(place, *words)
    file.write_text(before)
    assert train_own(place, *words).finished


def test_a_published_split_that_cuts_a_group_is_a_warning_with_counts(
    place: Path, caplog: pytest.LogCaptureFixture
) -> None:
    archive = write_zip(place / "tiny" / "tiny.zip", tiny_files(8))
    datamodule = SegmentationDataModule(
        dataset=Tiny(), data_dir=place / "tiny", source=archive, image_size=16, groups=r"a0([0-3]|\d)", num_workers=0
    )
    assert {split: len(of) for split, of in datamodule.indices.items()} == {"train": 4, "val": 2, "test": 2}
    datamodule.groups = dict.fromkeys(datamodule.prepared.ids, "one") | {"a00": "alone"}
    caplog.clear()  # another test may have switched the notes of preparing on
    with caplog.at_level(logging.WARNING):
        warn_of_cut_groups(datamodule)
    assert [record.getMessage() for record in caplog.records] == [
        "1 group (one) is in the test split and in training or validation too (of 2): the scores may be too high",
        "1 group (one) is in training and in validation (of 2): the scores of the validation may be too high",
    ]
