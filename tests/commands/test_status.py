"""How far a sweep is: from run folders alone, whatever state they are in."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from medseg.errors import UserError
from medseg.runs.folder import RunFolder
from medseg.runs.progress import estimate_time_left, read_progress
from medseg.runs.state import present_state
from medseg.system.files import write_csv, write_json
from tests.helpers import command
from tests.reporting.fabricate import fabricate


def job(name: str, **record: Any) -> dict[str, Any]:
    setting = name.rpartition("-seed")[0]
    model, data = setting.split("-")
    seed = int(name.rpartition("-seed")[2])
    kind = {"experiment": "study", "model": model, "data": data, "seed": seed}
    return {"name": name, "setting": setting, **kind, **record}


def add(place: Path, name: str, state: str, epochs: int, *, seconds: float = 10, of: int = 5, **details: Any) -> None:
    """Add a run to a sweep's folder, with so many epochs done."""
    run = RunFolder(place / name)
    write_json(run.record, job(name))
    run.set_state(state, max_epochs=of, **details)
    scores = [0.5, 0.9, 0.7, 0.6, 0.4]
    rows = [{"epoch": k, "val/dice": scores[k], "seconds": seconds} for k in range(epochs)]
    if rows:
        write_csv(run.metrics, rows)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A sweep of six jobs, each in another state."""
    place = tmp_path / "runs" / "study"
    add(place, "unet-kvasir-seed0", "finished", 5)
    add(place, "unet-kvasir-seed1", "failed", 1, error="RuntimeError: no\nmemory")
    add(place, "unet-kvasir-seed2", "running", 2, seconds=20)
    add(place, "unet-isic-seed0", "running", 0)
    add(place, "unet-isic-seed1", "running", 3)
    status = RunFolder(place / "unet-isic-seed1").status
    write_json(place / "unet-isic-seed1" / "status.json", {**status, "pid": 2**22 + 1})  # no process has such a number
    names = [f"unet-{data}-seed{seed}" for data in ("kvasir", "isic") for seed in range(3)]
    write_json(place / "sweep.json", {"jobs": [job(name) for name in names]})
    return place


def test_every_job_is_shown_in_its_state(place: Path) -> None:
    jobs = read_progress([place]).jobs
    assert [(job.run.name, job.state) for job in jobs] == [
        ("unet-kvasir-seed0", "finished"),
        ("unet-kvasir-seed1", "failed"),
        ("unet-kvasir-seed2", "running"),
        ("unet-isic-seed0", "running"),
        ("unet-isic-seed1", "interrupted"),
        ("unet-isic-seed2", "waiting"),
    ]
    assert [(job.epoch, job.max_epochs, job.best) for job in jobs[:3]] == [(5, 5, 0.9), (1, 5, 0.5), (2, 5, 0.9)]
    assert jobs[1].remark == "RuntimeError: no memory"
    assert jobs[4].remark == "its process is gone"


def test_the_end_follows_from_the_seconds_of_the_epochs(place: Path) -> None:
    progress = read_progress([place])
    now = datetime(2026, 1, 1, tzinfo=UTC)
    estimate_time_left(progress, now)
    left = {job.run.name: job.seconds_left for job in progress.jobs}
    assert left["unet-kvasir-seed2"] == 3 * 20
    # As its only relative on the same data with an epoch, the one that was killed.
    assert left["unet-isic-seed0"] == 5 * 10
    assert left["unet-isic-seed1"] == 2 * 10
    assert left["unet-isic-seed2"] == 5 * 10
    assert left["unet-kvasir-seed0"] is left["unet-kvasir-seed1"] is None
    ends = {job.run.name: job.end for job in progress.jobs if job.end}
    assert ends == {
        "unet-kvasir-seed2": now + timedelta(seconds=60),
        "unet-isic-seed0": now + timedelta(seconds=50),
    }
    assert progress.seconds_left == (60 + 50 + 20 + 50) / 2, "two at a time"


def test_nothing_is_foreseen_before_the_first_epoch(tmp_path: Path) -> None:
    add(tmp_path, "unet-kvasir-seed0", "running", 0)
    progress = read_progress([tmp_path])
    assert progress.end is None
    assert progress.jobs[0].state == "running"


def test_a_job_elsewhere_is_believed() -> None:
    here = {"state": "running", "host": platform.node(), "pid": os.getpid()}
    assert present_state(here) == ("running", "")
    assert present_state({**here, "pid": 2**22 + 1})[0] == "interrupted"
    assert present_state({**here, "pid": 2**22 + 1, "host": "another"}) == ("running", "")
    assert present_state({}) == ("waiting", "")


def test_a_process_that_has_ended_unasked_is_gone() -> None:
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    status = {"state": "running", "host": platform.node(), "pid": child.pid}
    assert present_state(status)[0] == "interrupted"
    child.wait()


def test_it_is_printed_for_people_and_for_programs(place: Path, tmp_path: Path) -> None:
    done = command("status", "runs/study", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].split("  ")[0] == "state"
    assert lines[2].split() == ["finished", "5/5", "0.9000", "-", "unet-kvasir-seed0"]
    assert "failed: unet-kvasir-seed1: RuntimeError: no memory" in lines
    assert "6 runs: 1 finished, 2 running, 1 interrupted, 1 failed, 1 waiting" in lines
    assert lines[-1].startswith("expected end: ")
    assert lines[-1].endswith("(in 2 min)")
    shown = json.loads(command("status", "runs/study", "format=json", cwd=tmp_path).stdout)
    assert shown["counts"] == {"finished": 1, "running": 2, "interrupted": 1, "failed": 1, "waiting": 1}
    assert shown["seconds_left"] == 90
    assert datetime.fromisoformat(shown["end"]) > datetime.now(UTC)
    assert [job["state"] for job in shown["jobs"]][:2] == ["finished", "failed"]


def test_one_run_and_several_folders(place: Path) -> None:
    add(place.parent / "other", "unet-dsb-seed0", "finished", 5)
    assert [job.run.name for job in read_progress([place / "unet-isic-seed1"]).jobs] == ["unet-isic-seed1"]
    assert len(read_progress([place, place.parent / "other", place]).jobs) == 7
    assert len(read_progress([place.parent]).jobs) == 7


def test_a_folder_without_runs(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such folder; give"):
        read_progress([tmp_path / "none"])
    with pytest.raises(UserError, match="no runs in it; give"):
        read_progress([tmp_path])
    for arguments, message in [
        ((), "which runs?"),
        (("runs", "format=xml"), "format is 'xml'; it must be text or json"),
    ]:
        done = command("status", *arguments, cwd=tmp_path)
        assert done.returncode == 2
        assert message in done.stderr


def test_it_needs_no_torch(place: Path) -> None:
    code = (
        "import sys; sys.argv = ['x', sys.argv[1]]\n"
        "from medseg.commands.status import main; main()\n"
        "assert not {'torch', 'lightning', 'numpy', 'pandas', 'cv2'} & set(sys.modules), 'slow imports'"
    )
    subprocess.run([sys.executable, "-c", code, str(place)], capture_output=True, check=True)


def test_a_copy_with_cut_scores_is_not_counted(tmp_path: Path) -> None:
    sweep = fabricate(tmp_path / "sweep", {"unet": 0.0}, seeds=(0, 1), images=4)
    original = next(sweep.glob("*-seed0"))
    scores = RunFolder(shutil.copytree(original, sweep / "0 copy")).per_image
    scores.write_text(scores.read_text()[:-20])
    progress = read_progress([sweep])
    assert progress.counts == {"finished": 2}
    (line,) = progress.copies
    assert line.startswith(f"{scores}: damaged (")
