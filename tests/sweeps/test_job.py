"""One job of a sweep: how its end is told and recorded where it cannot do so itself."""

from __future__ import annotations

import json
import signal
import sys
import time
from pathlib import Path

import pytest
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from medseg.runs.folder import RunFolder
from medseg.runs.plan import plan_run
from medseg.sweeps import job as jobs
from medseg.sweeps.job import IsolatedJob, job_outcome
from medseg.sweeps.outcome import Outcome
from medseg.sweeps.planned_config import KEY, pack
from medseg.sweeps.process import JobProcess, describe_exit
from tests.faults import processes_of
from tests.helpers import TINY, compose_config


@pytest.fixture
def cfg(tmp_path: Path) -> DictConfig:
    """A job's configuration, as a launcher hands it over."""
    cfg = compose_config("train", *TINY, "runs_dir=runs")
    hydra = HydraConfig.get()
    for node, key, value in ((hydra.job, "num", 0), (hydra.runtime, "cwd", str(tmp_path))):
        with read_write(node), open_dict(node):
            node[key] = value
    return cfg


def run(cfg: DictConfig, tmp_path: Path, module: str = "medseg.nowhere") -> tuple[Outcome, RunFolder]:
    folder = RunFolder(tmp_path / plan_run(cfg, HydraConfig.get()).folder.path)
    return IsolatedJob((module,), plan_run, 1)(carrying(cfg)), folder


def carrying(cfg: DictConfig) -> DictConfig:
    """Return a configuration with the planned one in it, as a launcher composes it."""
    with open_dict(full := cfg.copy()):
        full.hydra = HydraConfig.get()
    return OmegaConf.create({KEY: pack(full).partition("'")[2].rstrip("'")})


def test_a_job_that_cannot_be_started(cfg: DictConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "no_python"))
    outcome, folder = run(cfg, tmp_path)
    assert outcome.state == folder.status["state"] == "failed"
    assert outcome.job == folder.path.name
    assert "cannot be started: " in outcome.error
    assert outcome.error == folder.status["error"] == folder.last_lines()[-1]
    assert json.loads(folder.record.read_text())["name"] == folder.path.name


def test_a_job_that_ends_before_it_begins(cfg: DictConfig, tmp_path: Path) -> None:
    outcome, folder = run(cfg, tmp_path)
    assert outcome.state == folder.status["state"] == "failed"
    assert outcome.error == "ended with exit code 1"
    assert "No module named medseg.nowhere" in outcome.lines[-2]
    assert "No module named medseg.nowhere" in folder.log.read_text()


def test_a_run_that_another_process_works_on_is_left_alone(
    cfg: DictConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "LOCK_WAIT", 0.2)
    folder = RunFolder(tmp_path / plan_run(cfg, HydraConfig.get()).folder.path)
    with folder.locked():
        folder.set_state("running", epoch=3)
        before = folder.status
        outcome, _ = run(cfg, tmp_path)
        assert outcome.state == "busy"
        assert "another process is working on this run" in outcome.error
        assert folder.status == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR2])
def test_a_job_that_is_told_to_end_before_it_listens_is_interrupted(number: signal.Signals, tmp_path: Path) -> None:
    job = JobProcess(["sleep", "600"], tmp_path)
    job.process.send_signal(number)
    assert job_outcome(None, "job", job, job.result()).state == "interrupted"


def test_an_end_in_words() -> None:
    assert describe_exit(7) == "ended with exit code 7"
    assert describe_exit(-9) == "killed by signal 9 (SIGKILL); out of memory?"
    assert describe_exit(-11) == "killed by signal 11 (SIGSEGV)"


def test_nothing_that_a_job_started_outlives_it(tmp_path: Path) -> None:
    child = f"import subprocess, sys; subprocess.Popen(['sleep', '600', '{tmp_path}']); print('said', file=sys.stderr)"
    # sleep refuses the folder as a time, so a shell holds its name.
    child = child.replace("['sleep', '600', ", "['sh', '-c', 'sleep 600; :', ")
    job = JobProcess([sys.executable, "-c", child], tmp_path)
    started = time.monotonic()
    assert job.result() == 0
    assert time.monotonic() - started < 60
    assert list(job.lines) == ["said"]
    limit = time.monotonic() + 10
    while processes_of(tmp_path) and time.monotonic() < limit:
        time.sleep(0.1)
    assert not processes_of(tmp_path)


def test_a_job_that_ends_as_it_is_interrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = JobProcess(["true"], tmp_path)
    wait = job.wait
    wait()

    def interrupted(seconds: float = float("inf")) -> None:
        monkeypatch.setattr(job, "wait", wait)
        raise KeyboardInterrupt

    monkeypatch.setattr(job, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        job.result()
    assert job.process.returncode == 0
