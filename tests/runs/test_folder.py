from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from medseg.errors import UserError
from medseg.runs.folder import RunFolder, find_run, run_folder
from medseg.runs.reading import read_runs


def test_nothing_is_created_before_the_first_write(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    assert folder.status == {}
    assert not folder.finished
    assert not folder.path.exists()


def test_a_state_keeps_earlier_details_and_forgets_an_old_error(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.set_state("failed", error="no memory", max_epochs=7)
    folder.set_state("running", epoch=3)
    status = folder.status
    assert (status["state"], status["max_epochs"], status["epoch"]) == ("running", 7, 3)
    assert "error" not in status
    folder.set_state("finished")
    assert folder.finished


def test_an_unknown_state_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="done"):
        RunFolder(tmp_path).set_state("done")


def test_a_run_is_held_by_one_process(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    code = (
        "import sys\nfrom medseg.errors import UserError\nfrom medseg.runs.folder import RunFolder\n"
        "try:\n    with RunFolder(sys.argv[1]).locked(): print('held')\n"
        "except UserError as error: print(error)"
    )
    command = [sys.executable, "-c", code, str(folder.path)]
    with folder.locked():
        other = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        assert "another process is working on this run" in other
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "held\n"


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff"])
def test_a_damaged_status_is_as_good_as_none(content: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = RunFolder(tmp_path)
    (tmp_path / "status.json").write_bytes(content)
    assert folder.status == {}
    assert not folder.finished
    assert f"{tmp_path / 'status.json'}: damaged (" in caplog.text
    folder.set_state("running")
    assert folder.status["state"] == "running"


def test_a_run_is_found_by_its_folder_and_by_its_checkpoint(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    with pytest.raises(UserError, match="no such run folder"):
        find_run(tmp_path / "other")
    folder.path.mkdir()
    with pytest.raises(UserError, match=r"no checkpoints/best\.ckpt"):
        find_run(folder.path)
    folder.best_checkpoint.parent.mkdir()
    folder.best_checkpoint.touch()
    folder.last_checkpoint.touch()
    assert find_run(folder.path)[1] == folder.best_checkpoint
    run, checkpoint = find_run(folder.last_checkpoint)
    assert (run.path, checkpoint) == (folder.path, folder.last_checkpoint)


@pytest.mark.parametrize("read", [find_run, run_folder, read_runs])
def test_a_name_that_is_too_long_for_a_file_is_one_line(read: Callable[[str], object], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="the name is too long for a file") as caught:
        read(str(tmp_path / ("x" * 300)))
    assert len(str(caught.value)) < 120
