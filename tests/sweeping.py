"""Start sweeps from tests, and see how far they are."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from medseg.runs.folder import RunFolder
from tests.forking import start_forked
from tests.helpers import TINY, command

PROJECT = Path(__file__).resolve().parent.parent

SWEEP = (
    *(item for item in TINY if not item.startswith("data.image_size")),
    "data.image_size=32",
    "experiment=swept",
    "+callbacks.fault._target_=tests.faults.Fault",
)


def sweep(folder: Path, *arguments: str, disarmed: bool = False) -> subprocess.CompletedProcess[str]:
    """Run a sweep to its end."""
    started = start(folder, *arguments, disarmed=disarmed)
    try:
        out, err = started.communicate(timeout=280)
    finally:
        started.kill()
    return subprocess.CompletedProcess(started.args, started.returncode, out, err)


def start(folder: Path, *arguments: str, disarmed: bool = False, **variables: str) -> subprocess.Popen[str]:
    """Start a sweep as a terminal does: in a process group of its own."""
    places = (f"runs_dir={folder / 'runs'}", f"data_dir={folder / 'data'}")
    variables |= {"DISARMED": "1"} if disarmed else {}
    return start_forked("medseg.train", "-m", *SWEEP, *places, *arguments, cwd=folder, **variables)


def jobs_of(folder: Path) -> dict[str, RunFolder]:
    """Map what happens to a job to its run, in the order of the sweep."""
    place = folder / "runs" / "swept"
    records = json.loads((place / "sweep.json").read_text())["jobs"]
    found = [(key, record["name"]) for record in records for key in record["overrides"]]
    return {key.partition("what=")[2]: RunFolder(place / name) for key, name in found if "what=" in key}


def states(folder: Path) -> dict[str, str]:
    """Map what happens to a job to its state, as `medseg status` says it."""
    shown = command("status", str(folder / "runs" / "swept"), "format=json", cwd=folder)
    assert shown.returncode == 0, shown.stderr
    by_name = {job["name"]: job["state"] for job in json.loads(shown.stdout)["jobs"]}
    return {what: by_name[run.path.name] for what, run in jobs_of(folder).items()}


def wait_until(condition: Callable[[], object], what: str, seconds: float = 120) -> None:
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, f"{what}: not within {seconds} s"
        time.sleep(0.1)


def until_it_waits(folder: Path) -> None:
    wait_until(lambda: list(folder.glob("runs/swept/*/waits")), "the second epoch of the job that waits there")
