"""The same sweep, or the same run, started twice at once: every run ends finished, and nobody disturbs another."""

from __future__ import annotations

import json
import os
import platform
from pathlib import Path

import pytest
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from medseg.runs.folder import RunFolder
from medseg.runs.plan import plan_run
from medseg.sweeps import job as jobs
from medseg.sweeps.job import IsolatedJob, failed
from medseg.system.files import read_csv
from tests.helpers import TINY, command
from tests.sweeping import start
from tests.sweeps.test_job import carrying, cfg  # noqa: F401 - a fixture


@pytest.mark.slow
def test_a_sweep_that_is_started_twice_at_once(tmp_path: Path) -> None:
    arguments = ("+callbacks.fault.what=nothing", "seed=0,1")
    both = [start(tmp_path, *arguments) for _ in range(2)]
    try:
        said = [each.communicate(timeout=280)[1] for each in both]
    finally:
        for each in both:
            each.kill()
    assert [each.returncode for each in both] == [0, 0], said
    records = json.loads((tmp_path / "runs" / "swept" / "sweep.json").read_text())["jobs"]
    assert [record["seed"] for record in records] == [0, 1]
    runs = [RunFolder(tmp_path / "runs" / "swept" / record["name"]) for record in records]
    for each in runs:
        assert each.finished
        assert [row["epoch"] for row in read_csv(each.metrics)] == ["0", "1"]
        assert "resuming" not in each.log.read_text()
        assert each.log.read_text().count("epoch 2/2") == 1, "by one process, once"
    assert f"on {platform.node()}" in "".join(said), "who is at work"


@pytest.mark.parametrize("force", ["false", "true"])
def test_a_run_that_is_started_twice_says_who_is_at_work(force: str, cfg: DictConfig, tmp_path: Path) -> None:  # noqa: F811
    folder = RunFolder(tmp_path / plan_run(cfg, HydraConfig.get()).folder.path)
    with folder.locked():
        folder.set_state("running", epoch=1)
        before = folder.state_file.read_bytes()
        second = command("train", *TINY, "runs_dir=runs", f"force={force}", cwd=tmp_path)
        assert folder.state_file.read_bytes() == before
    assert second.returncode == 75
    assert second.stderr == (
        f"error: {folder.path.relative_to(tmp_path)}: another process is working on this run (process {os.getpid()} on "
        f"{platform.node()}); wait for it or end it\n"
    )


SLOWER = """
import sys, time
from pathlib import Path
from medseg.runs.folder import RunFolder
folder, tried = RunFolder(sys.argv[-1].partition("=")[2]), Path("tried")
if not tried.exists():  # another process takes the run in the moment between two looks at it
    tried.touch()
    print("error: another process is working on this run", file=sys.stderr)
    sys.exit(75)
with folder.locked():
    folder.set_state("finished")
"""


def test_a_job_that_comes_second_tries_again(cfg: DictConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    folder = RunFolder(tmp_path / plan_run(cfg, HydraConfig.get()).folder.path)
    (tmp_path / "slower.py").write_text(SLOWER)
    monkeypatch.setattr(jobs, "repeat_options", lambda *_: [f"folder={folder.path}"])
    outcome = IsolatedJob(("slower",), plan_run, 1)(carrying(cfg))
    assert (outcome.state, folder.status["state"]) == ("finished", "finished")


def test_a_failure_does_not_overwrite_what_another_process_has_done(
    cfg: DictConfig,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(jobs, "LOCK_WAIT", 0.2)
    monkeypatch.chdir(tmp_path)
    plan = plan_run(cfg, HydraConfig.get())
    with plan.folder.locked():
        plan.folder.set_state("running", epoch=1)
        before = plan.folder.status
        outcome = failed(plan, "job", "ended with exit code 1", [])
        assert (outcome.state, plan.folder.status) == ("busy", before)
        assert f"on {platform.node()}" in outcome.error
        plan.folder.set_state("finished")
    before = plan.folder.status
    assert failed(plan, "job", "ended with exit code 1", []).state == "failed"
    assert plan.folder.status == before
