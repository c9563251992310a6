"""A run goes on by the same command, whatever an interruption or a disk has done to its files."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest
import torch

from medseg.errors import UserError
from medseg.runs.folder import RunFolder
from medseg.system.files import read_csv
from medseg.trained.files import read_checkpoint, tensors_in
from medseg.training.resuming import checkpoint_to_resume
from tests.helpers import train

ARGUMENTS = ("+callbacks.interrupt._target_=tests.training.test_job.Interrupt", "trainer.max_epochs=4")


def interrupted(folder: Path) -> RunFolder:
    with pytest.raises(KeyboardInterrupt):
        train(folder, *ARGUMENTS)
    (path,) = (folder / "runs" / "main").iterdir()
    return RunFolder(path)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return train(tmp_path_factory.mktemp("unbroken"), *ARGUMENTS, "experiment=unbroken")


def same_end(run: RunFolder, unbroken: RunFolder) -> bool:
    """Tell whether two runs have the same tensors in their checkpoints, curves and scores."""
    for file in ("best.ckpt", "last.ckpt"):
        content = [read_checkpoint(each.path / "checkpoints" / file) for each in (run, unbroken)]
        tensors, expected = (dict(tensors_in(each)) for each in content)
        assert tensors.keys() == expected.keys()
        assert all(torch.equal(tensors[name], value) for name, value in expected.items())
    curves = [[(row["epoch"], row["val/dice"]) for row in read_csv(each.metrics)] for each in (run, unbroken)]
    assert curves[0] == curves[1]
    return run.finished and run.per_image.read_bytes() == unbroken.per_image.read_bytes()


def test_a_damaged_last_checkpoint_falls_back_to_the_best_one(tmp_path: Path, unbroken: RunFolder) -> None:
    run = interrupted(tmp_path)
    stored = run.last_checkpoint.read_bytes()
    run.last_checkpoint.write_bytes(stored[: len(stored) // 2])
    left = run.last_checkpoint.with_name(".last.ckpt.123.partial")
    left.write_bytes(b"half")
    assert same_end(train(tmp_path, *ARGUMENTS), unbroken)
    assert not left.exists()


@pytest.mark.parametrize("missing", [True, False])
def test_a_lost_best_checkpoint_is_reported_before_the_training(missing: bool, tmp_path: Path) -> None:
    run = interrupted(tmp_path)
    before = run.last_checkpoint.read_bytes()
    run.best_checkpoint.unlink() if missing else run.best_checkpoint.write_bytes(b"damaged")
    with pytest.raises(UserError, match=r"best\.ckpt: .*repeat the command with force=true"):
        train(tmp_path, *ARGUMENTS)
    assert run.last_checkpoint.read_bytes() == before, "nothing was trained"


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["missing", "empty", "cut"])
def test_lost_curves_are_written_again(damage: str, tmp_path: Path, unbroken: RunFolder, caplog) -> None:
    run = interrupted(tmp_path)
    text = run.metrics.read_text()
    if damage == "missing":
        run.metrics.unlink()
    else:
        run.metrics.write_text("" if damage == "empty" else text[:-20])
    assert same_end(train(tmp_path, *ARGUMENTS), unbroken)
    assert "written again from the checkpoint" in caplog.text


def test_early_stopping_in_the_first_epoch_is_the_end(tmp_path: Path) -> None:
    stop = ("callbacks=early_stopping", "+callbacks.early_stopping.stopping_threshold=0.0", "trainer.max_epochs=4")
    run = train(tmp_path, *stop)
    assert len(read_csv(run.metrics)) == 1
    (run.path / "status.json").unlink()  # as if it had been killed in the test
    assert train(tmp_path, *stop).finished
    assert len(read_csv(run.metrics)) == 1


def test_epochs_without_validation_have_empty_cells(tmp_path: Path) -> None:
    run = train(tmp_path, "trainer.check_val_every_n_epoch=2", "trainer.max_epochs=4")
    assert [row["val/dice"] != "" for row in read_csv(run.metrics)] == [False, True, False, True]


def test_checkpoints_hold_no_path_and_leave_no_temporary_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    run = train(tmp_path / "here")
    for file in (run.best_checkpoint, run.last_checkpoint):
        content = torch.load(file, weights_only=True)
        assert str(tmp_path) not in json.dumps(
            {key: value for key, value in content.items() if key != "state_dict"}, default=str
        )
    assert list(temporary.rglob("*.ckpt")) == []


def test_lost_checkpoints_are_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run = interrupted(tmp_path)
    run.last_checkpoint.unlink()
    run.best_checkpoint.unlink()
    with caplog.at_level("WARNING", logger="medseg"):
        assert checkpoint_to_resume(run) is None
    assert "its checkpoints are gone; the run begins anew" in caplog.text
