"""Locks between processes: who holds one, and what there is where the file system has none."""

from __future__ import annotations

import errno
import fcntl
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from medseg.system.locks import BusyError, held, marker_of
from tests.sweeping import wait_until

HOLDER = """
import errno, fcntl, sys, time
from pathlib import Path
from medseg.system.locks import held

def refuse(*_):
    raise OSError(int(sys.argv[2]), "no locks")

if int(sys.argv[2]):
    fcntl.flock = refuse
with held(Path(sys.argv[1]), "holds it"):
    print("held", flush=True)
    time.sleep(600)
"""

WITHOUT = sorted({errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP})


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "folder" / ".lock"


@pytest.fixture(params=[0, *WITHOUT], ids=lambda number: errno.errorcode.get(number, "flock"))
def number(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """What flock answers, in this process too; 0 where it works."""

    def refuse(*_: object) -> None:
        raise OSError(request.param, "no locks")

    if request.param:
        monkeypatch.setattr(fcntl, "flock", refuse)
    return request.param


def hold(file: Path, number: int) -> subprocess.Popen[str]:
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(file), str(number)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    return holder


def test_a_held_lock_says_who_holds_it_and_a_killed_holder_has_let_go(file: Path, number: int) -> None:
    holder = hold(file, number)
    try:
        with pytest.raises(BusyError) as caught, held(file, "holds it"):
            pass
        assert str(caught.value).startswith(
            f"{file.parent}: another process holds it (process {holder.pid} on {platform.node()}); "
        )
        assert (str(marker_of(file)) in str(caught.value)) == bool(number)
    finally:
        holder.kill()
        holder.wait()
    with held(file, "holds it", wait=20):
        assert marker_of(file).exists() == bool(number)
    assert not marker_of(file).exists()


def test_a_lock_is_free_again_when_it_is_left(file: Path, number: int) -> None:
    with pytest.raises(ZeroDivisionError), held(file, "holds it"):
        _ = 1 / 0
    with held(file, "holds it"):
        pass


def test_who_waits_says_so_and_gets_it(file: Path, number: int, caplog: pytest.LogCaptureFixture) -> None:
    holder = hold(file, number)
    try:
        with pytest.raises(BusyError), held(file, "holds it", wait=0.3):
            pass
    finally:
        holder.kill()
        holder.wait()
    assert f"another process holds it (process {holder.pid} on {platform.node()}); waiting for it" in caplog.text


@pytest.mark.parametrize("number", WITHOUT, indirect=True, ids=errno.errorcode.get)
def test_the_lock_of_a_dead_process_on_another_machine_is_explained(file: Path, number: int) -> None:
    file.parent.mkdir()
    marker_of(file).write_text("4321\nnode17\n")
    with pytest.raises(BusyError) as caught, held(file, "is working on this run", wait=0.3):
        pass
    assert str(caught.value) == (
        f"{file.parent}: another process is working on this run (process 4321 on node17); wait for it or end it; this "
        "file system has no locks, so if that process was killed, or its machine is gone, delete "
        f"{marker_of(file)} and repeat the command"
    )
    marker_of(file).unlink()
    with held(file, "is working on this run"):
        pass


def test_another_error_of_the_disk_is_passed_on(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(OSError, match="broken"), held(file, "holds it"):
        pass


CONTENDER = """
import sys
from medseg.runs.folder import RunFolder
for _ in range(200):
    try:
        with RunFolder(sys.argv[1]).locked(5):
            pass
    except OSError as error:
        sys.exit(f"{type(error).__name__}: {error}")
"""


def test_processes_that_make_and_remove_the_same_folder_do_not_disturb_each_other(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "main" / "run"
    command = [sys.executable, "-c", CONTENDER, str(folder)]
    contenders = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    try:
        wait_until(lambda: all(each.poll() is not None for each in contenders), "the contenders")
    finally:
        for each in contenders:
            each.kill()
    said = "".join(each.communicate()[1] for each in contenders)
    assert [each.returncode for each in contenders] == [0, 0, 0], said
    assert not (tmp_path / "runs").exists()
