"""What the operating system refused, said as what happened."""

from __future__ import annotations

import errno
import os
import ssl
import subprocess
import sys
import urllib.error
from pathlib import Path

import filelock
import pytest
from PIL import UnidentifiedImageError

from medseg.commands import failures as cli
from medseg.system.files import replacing_text
from medseg.system.os_errors import check_writable, explain_os_error

SPACE = ("space", "quota")


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, ["no space left", "free some space", "output=FOLDER"]),
        (errno.EDQUOT, ["quota", "remove files", "output=FOLDER"]),
        (errno.EROFS, ["read-only", "output=FOLDER"]),
        (errno.ENAMETOOLONG, ["too long", "shorter name"]),
        (errno.EISDIR, ["is a directory", "name of a file"]),
        (errno.ENOTDIR, ["not a directory", "a file is where a folder is needed"]),
        (errno.EEXIST, ["exists", "there already"]),
        (errno.ENOENT, ["no such file", "check the path"]),
        (errno.EMFILE, ["too many open files", "ulimit -n"]),
        (errno.ESTALE, ["stale", "network file system"]),
        (errno.EIO, ["input/output error", "disk or the network file system"]),
        (errno.ELOOP, ["symbolic links", "circle"]),
        (errno.ENOLCK, ["no locks"]),
        (errno.ENOMEM, ["memory"]),
        (errno.EADDRINUSE, ["port"]),
        (errno.ECONNREFUSED, ["connection failed", "refused", "network"]),
        (errno.ECONNRESET, ["connection failed", "reset"]),
        (errno.ENETUNREACH, ["connection failed", "network"]),
        (errno.ETIMEDOUT, ["connection failed", "timed out"]),
    ],
)
def test_each_error_says_what_happened(number: int, words: list[str]) -> None:
    line = explain_os_error(OSError(number, os.strerror(number), "runs/main/x"), ["output=FOLDER"])
    assert line.startswith("runs/main/x: ")
    assert all(word in line.lower() or word in line for word in words), line
    assert number in (errno.ENOSPC, errno.EDQUOT) or not any(word in line for word in SPACE)


def test_every_error_of_the_system_is_one_line() -> None:
    for number in errno.errorcode:
        line = explain_os_error(OSError(number, os.strerror(number), "x"), ["output=FOLDER", "data_dir=FOLDER"])
        assert "\n" not in line
        assert "{" not in line
        assert os.strerror(number)[1:] in line


@pytest.mark.parametrize(
    "error",
    [
        urllib.error.URLError(ConnectionRefusedError(111, "Connection refused")),
        ssl.SSLError(1, "certificate verify failed"),
        ConnectionResetError("the peer left"),
        TimeoutError("timed out"),
    ],
)
def test_a_lost_connection_is_no_matter_of_disks(error: OSError) -> None:
    line = explain_os_error(error, ["output=FOLDER"])
    assert line.startswith("the connection failed (")
    assert "output=" not in line


def test_errors_without_a_number(tmp_path: Path) -> None:
    assert explain_os_error(UnidentifiedImageError("cannot identify x.png")) == "cannot identify x.png"
    locked = explain_os_error(filelock.Timeout(str(tmp_path / ".lock")))
    assert locked == f"{tmp_path / '.lock'}: another process holds this lock; wait for it or end it"


def test_what_is_read_is_not_to_be_written_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "x"
    error = PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(file))
    assert "output=FOLDER" in explain_os_error(error, ["output=FOLDER"])
    file.touch()
    monkeypatch.setattr(os, "access", lambda *_: False)
    line = explain_os_error(error, ["output=FOLDER"])
    assert "output=" not in line
    assert "permission" in line


def test_a_failing_write_names_its_file(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No space") as caught, replacing_text(tmp_path / "report.md"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert caught.value.filename == str(tmp_path / "report.md")
    with pytest.raises(OSError, match="too long") as caught, replacing_text(tmp_path / ("n" * 300)):
        pass
    assert Path(caught.value.filename).name == "n" * 300


def test_the_word_is_that_of_the_folder(tmp_path: Path) -> None:
    from omegaconf import OmegaConf

    places = {"runs_dir": str(tmp_path / "runs"), "data_dir": str(tmp_path / "data")}
    composed = [OmegaConf.create(places)]
    assert cli.output_options("train", composed, str(tmp_path / "data" / "prepared" / "x")) == ["data_dir=FOLDER"]
    assert cli.output_options("train", composed, str(tmp_path / "runs" / "main")) == ["runs_dir=FOLDER"]
    assert cli.output_options("train", composed, None) == ["runs_dir=FOLDER", "data_dir=FOLDER"]
    assert cli.output_options("evaluate", composed, str(tmp_path / "runs" / "x")) == ["output=FOLDER"]
    assert cli.output_options("evaluate", composed, str(tmp_path / "data" / "x")) == ["data_dir=FOLDER"]
    assert cli.output_options("card", [], str(tmp_path)) == ["output=FILE"]


def test_a_folder_is_tried_before_there_is_anything_to_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_writable(tmp_path / "a" / "b")
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        check_writable(tmp_path / "file" / "b")
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(PermissionError):
        check_writable(tmp_path / "a")


def test_a_broken_connection_is_not_taken_for_the_end_of_the_output(tmp_path: Path) -> None:
    code = (
        "import sys; sys.argv = ['x', '.']\n"
        "from medseg.commands.command import Command; from medseg.commands.start import run_command\n"
        "def fails(cfg): raise BrokenPipeError(32, 'Broken pipe')\n"
        "run_command(Command('status', fails, positional=('runs*',)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: the connection failed (Broken pipe)")
