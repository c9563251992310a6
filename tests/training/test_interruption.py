"""Every process of a job is told to end, as a scheduler does: an interruption, with any number of loading processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from medseg.commands import start as cli
from medseg.commands import status
from medseg.runs.folder import RunFolder
from medseg.system.files import read_csv
from tests.faults import processes_of
from tests.forking import start_forked
from tests.helpers import TINY
from tests.sweeping import wait_until


def start(folder: Path, *arguments: str, **variables: str) -> subprocess.Popen[str]:
    """Start a run that waits in its second epoch the first time, in a process group of its own."""
    return start_forked(
        "medseg.train", *TINY, "data.image_size=32", f"runs_dir={folder / 'runs'}", f"data_dir={folder / 'data'}",
        "+callbacks.fault._target_=tests.faults.Fault", "+callbacks.fault.what=wait_once", *arguments,
        cwd=folder, **variables,
    )  # fmt: skip


def rows_of(run: RunFolder) -> list[dict[str, str]]:
    return [{**row, "seconds": ""} for row in read_csv(run.metrics)]


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run that nothing interrupts, without loading processes."""
    folder = tmp_path_factory.mktemp("unbroken")
    _, said = start(folder, DISARMED="1").communicate(timeout=240)
    (path,) = folder.glob("runs/main/*")
    assert RunFolder(path).finished, said
    return RunFolder(path)


@pytest.mark.parametrize(
    ("number", "options"),
    [
        (signal.SIGTERM, ("data.num_workers=3",)),
        pytest.param(signal.SIGUSR2, ("data.num_workers=1",), marks=pytest.mark.slow),
        pytest.param(signal.SIGINT, ("data.num_workers=2",), marks=pytest.mark.slow),
        pytest.param(signal.SIGTERM, ("data.num_workers=0",), marks=pytest.mark.slow),
        pytest.param(
            signal.SIGTERM,
            ("trainer=ddp", "trainer.devices=2", "trainer.accelerator=cpu", "data.num_workers=2"),
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_signal_to_the_whole_group_is_an_interruption(
    number: signal.Signals, options: tuple[str, ...], unbroken: RunFolder, tmp_path: Path
) -> None:
    job = start(tmp_path, *options)
    try:
        wait_until(lambda: list(tmp_path.glob("runs/main/*/waits")) or job.poll() is not None, "the second epoch", 240)
        assert job.poll() is None, job.communicate()
        os.killpg(job.pid, number)
        _, said = job.communicate(timeout=120)
    finally:
        job.kill()
    (path,) = tmp_path.glob("runs/main/*")
    run = RunFolder(path)
    assert job.returncode == 130, said
    assert said.splitlines()[-1] == "error: interrupted"
    assert "Traceback" not in said
    assert run.status["state"] == "interrupted"
    wait_until(lambda: not processes_of(tmp_path), "the end of what it started", 60)

    again = start(tmp_path, *options)
    _, said = again.communicate(timeout=240)
    assert again.returncode == 0, said
    assert run.finished
    assert [row["epoch"] for row in read_csv(run.metrics)] == ["0", "1"]
    if "trainer=ddp" not in options:
        assert rows_of(run) == rows_of(unbroken), "the images of its epoch are drawn, whatever loads them"


@pytest.mark.parametrize("while_it", ["set_up_logging", "register"])
def test_an_interruption_before_the_command_has_begun(
    while_it: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, while_it, interrupted)
    monkeypatch.setattr(sys, "argv", ["status", "runs/main"])
    monkeypatch.setattr(cli.signals, "install_signal_handlers", lambda: None)
    with pytest.raises(SystemExit) as ended:
        status.main()
    assert ended.value.code == 130
    assert capsys.readouterr().err == "error: interrupted\n"
