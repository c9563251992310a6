"""Sweeps on a real Ray cluster of two nodes: a worker or a node that is gone costs the epoch that was running."""

from __future__ import annotations

import importlib.util
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clusters.following import assert_same, end_of, runs_of, until_it_waits
from tests.clusters.processes import Cluster, kill_all, parent_of, processes_with
from tests.faults import processes_of
from tests.sweeping import PROJECT, start, states

LAUNCHER = importlib.util.find_spec("hydra_plugins") and importlib.util.find_spec("hydra_plugins.hydra_ray_launcher")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(LAUNCHER is None, reason="needs the extra: pip install 'medseg[ray]'"),
]


class Ray(Cluster):
    """A head and a second node, of one core each, on loopback and free ports."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {
            "RAY_TMPDIR": str(folder), "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "of-the-tests",
            "RAY_USAGE_STATS_ENABLED": "0", "PYTHONPATH": str(PROJECT),
        }  # fmt: skip

    def start(self) -> None:
        printed = self.start_node("head", "--head", "--port=0", "--include-dashboard=false")
        self.address = re.findall(r"--address='([^']+)'", printed)[0]
        self.start_node("second", f"--address={self.address}")

    def start_node(self, node: str, *options: str) -> str:
        """Run `ray start` and return what it prints."""
        done = subprocess.run(
            [
                str(Path(sys.executable).with_name("ray")), "start", "--node-ip-address=127.0.0.1", "--num-cpus=1",
                "--object-store-memory=78643200", *options,
            ],
            env={**os.environ, **self.environment, "TESTS_RAY_NODE": node}, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def crash(self, node: str) -> None:
        """Have a node be gone from one moment to the next, with all that it runs."""
        kill_all(lambda: processes_with(f"RAY_TMPDIR={self.folder}", f"TESTS_RAY_NODE={node}"))

    def stop(self) -> None:
        kill_all(lambda: processes_with(f"RAY_TMPDIR={self.folder}"))


@pytest.fixture(scope="module")
def ray() -> Iterator[Ray]:
    with tempfile.TemporaryDirectory(prefix="ray") as folder, Ray(Path(folder)) as cluster:
        yield cluster


def start_on(ray: Ray, folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start a sweep on the cluster, with loading processes."""
    return start(
        folder, "hydra/launcher=ray", f"hydra.launcher.ray.init.address={ray.address}", "data.num_workers=2",
        *arguments, **{name: value for name, value in ray.environment.items() if name != "PYTHONPATH"},
    )  # fmt: skip


def node_of(process: int) -> str:
    """Return the node that a process is on."""
    return re.findall(rb"TESTS_RAY_NODE=(\w+)", Path(f"/proc/{process}/environ").read_bytes())[0].decode()


def test_a_sweep_survives_what_happens_to_a_cluster(ray: Ray, undisturbed: Path, tmp_path: Path) -> None:
    sweep = start_on(ray, tmp_path, "seed=0,1,2", "+callbacks.fault.what=wait_once")
    try:
        jobs = [until_it_waits(sweep, tmp_path, seed).status["pid"] for seed in (0, 1)]
        assert sorted(map(node_of, jobs)) == ["head", "second"]
        # The worker that has the job of the head is killed, as where there is no memory left.
        os.kill(next(parent_of(job) for job in jobs if node_of(job) == "head"), signal.SIGKILL)
        last = until_it_waits(sweep, tmp_path, 2).status["pid"]
        # The second node is lost, and its job goes on where there is room.
        ray.crash("second")
        os.kill(parent_of(last), signal.SIGKILL)
        code, said = end_of(sweep)
    finally:
        sweep.kill()
        ray.start_node("second", f"--address={ray.address}")
    assert code == 0, said
    assert_same(tmp_path, undisturbed, seeds=3)
    for run in runs_of(tmp_path):
        assert "resuming after an interruption" in run.log.read_text()
    assert not processes_of(tmp_path)


def test_a_job_that_ray_gives_up_is_one_job_less(ray: Ray, tmp_path: Path) -> None:
    sweep = start_on(
        ray, tmp_path, "seed=0", "+callbacks.fault.what=wait,nothing", "hydra.launcher.ray.remote.max_retries=0"
    )
    try:
        os.kill(parent_of(until_it_waits(sweep, tmp_path, 0).status["pid"]), signal.SIGKILL)
        code, said = end_of(sweep)
    finally:
        sweep.kill()
    assert code == 1
    assert "sweep: 1 interrupted, 1 finished" in said
    assert "Ray has lost the job: " in said
    assert states(tmp_path) == {"wait": "interrupted", "nothing": "finished"}
