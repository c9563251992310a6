"""Sweeps on a real SLURM: what it does to a job costs the epoch that was running, and nothing else."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clusters.following import assert_same, end_of, runs_of, until_it_waits
from tests.clusters.slurm import MISSING, Slurm
from tests.faults import processes_of
from tests.sweeping import start, states, wait_until

if importlib.util.find_spec("submitit") is None:
    MISSING.append("the extra 'submitit'")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(bool(MISSING), reason=f"needs {', '.join(MISSING)} (Debian: slurm-wlm and munge)"),
]


@pytest.fixture(scope="module")
def slurm() -> Iterator[Slurm]:
    with tempfile.TemporaryDirectory(prefix="slurm") as folder, Slurm(Path(folder)) as cluster:
        yield cluster


def start_on(slurm: Slurm, folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start a sweep on SLURM, with loading processes."""
    return start(
        folder, "hydra/launcher=submitit_slurm", "hydra.launcher.cpus_per_task=1", "hydra.launcher.mem_gb=1",
        "data.num_workers=2", *arguments, **slurm.environment,
    )  # fmt: skip


def test_a_sweep_survives_what_slurm_does_to_it(slurm: Slurm, undisturbed: Path, tmp_path: Path) -> None:
    sweep = start_on(slurm, tmp_path, "seed=0,1,2", "+callbacks.fault.what=wait_once")
    try:
        until_it_waits(sweep, tmp_path, 0)
        told = until_it_waits(sweep, tmp_path, 1)
        nodes = {int(job.partition("_")[2]): (job, node) for job, node in slurm.jobs().items()}

        # Its node is drained, and every process of the job, those that load included, is asked to end.
        slurm.do("scontrol", "update", f"nodename={nodes[1][1]}", "state=drain", "reason=test")
        os.killpg(told.status["pid"], signal.SIGTERM)
        wait_until(lambda: told.status["state"] == "interrupted", "the interruption", 60)
        wait_until(lambda: slurm.states()[nodes[1][1]] == "drain", "the drained node to be empty", 60)
        # What a preemption is to the job.
        slurm.do("scontrol", "requeue", nodes[0][0])

        until_it_waits(sweep, tmp_path, 2)
        slurm.do("scontrol", "update", f"nodename={nodes[1][1]}", "state=resume")
        slurm.crash(slurm.jobs()[nodes[0][0].replace("_0", "_2")])
        code, said = end_of(sweep)
    finally:
        sweep.kill()
        for node in set(slurm.nodes) - set(slurm.daemons):
            slurm.start_node(node)
    assert code == 0, said
    assert_same(tmp_path, undisturbed, seeds=3)
    for run in runs_of(tmp_path):
        assert "resuming after an interruption" in run.log.read_text()
    assert not processes_of(tmp_path)


def test_a_job_whose_time_is_over_goes_on_in_its_next(slurm: Slurm, undisturbed: Path, tmp_path: Path) -> None:
    sweep = start_on(
        slurm, tmp_path, "seed=0", "+callbacks.fault.what=wait_once",
        "hydra.launcher.timeout_min=1", "hydra.launcher.signal_delay_s=5",
    )  # fmt: skip
    code, said = end_of(sweep)
    assert code == 0, said
    assert_same(tmp_path, undisturbed)
    (run,) = runs_of(tmp_path)
    assert "resuming after an interruption" in run.log.read_text()
    (printed,) = tmp_path.glob("runs/swept/.submitit/*/*_0_log.err")
    assert "Caught signal SIGUSR2" in printed.read_text()


def test_a_cancelled_job_is_one_job_less(slurm: Slurm, tmp_path: Path) -> None:
    sweep = start_on(slurm, tmp_path, "seed=0", "+callbacks.fault.what=wait,nothing")
    try:
        until_it_waits(sweep, tmp_path, 0)
        (job,) = (job for job in slurm.jobs() if job.endswith("_0"))
        slurm.do("scancel", job)
        code, said = end_of(sweep)
    finally:
        sweep.kill()
    assert code == 1
    assert "sweep: 1 interrupted, 1 finished" in said
    assert f"SLURM's job {job} ended without a result: cancelled" in said
    assert "Bypassing sacct error" not in said
    assert states(tmp_path) == {"wait": "interrupted", "nothing": "finished"}
    assert not slurm.jobs(), "a cancelled job is not queued again"
