"""The server of jobs: what it has touched when it forks, which jobs it starts, what its end does to a sweep."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from medseg.sweeps import server as jobs_server
from medseg.sweeps.process import JobProcess
from medseg.sweeps.server import PRELOADED, job_server
from medseg.system.forked import ForkServer
from medseg.system.process import is_alive
from tests.faults import processes_of
from tests.sweeping import start, states, until_it_waits, wait_until

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the server is for Linux")

PROBE = """
import json, os, sys, threading
import torch
from pathlib import Path
preloaded = {name: name in sys.modules for name in ("lightning", "albumentations", "wandb")}
maps = Path("/proc/self/maps").read_text()
Path("seen.json").write_text(json.dumps({
    "preloaded": preloaded, "initialized": torch.cuda.is_initialized(), "bad fork": torch.cuda._is_in_bad_fork(),
    "driver": "libcuda.so" in maps, "tasks": len(os.listdir("/proc/self/task")),
    "threads": torch.get_num_threads(), "interop": torch.get_num_interop_threads(),
    "devices": os.environ.get("CUDA_VISIBLE_DEVICES"), "count": torch.cuda.device_count(),
    "sum": torch.ones(1000, 1000).matmul(torch.ones(1000, 1000)).sum().item(),
    "service": [name for name in os.environ if name.startswith("WANDB_SERVICE")],
    "set up": "wandb" in sys.modules and sys.modules["wandb.sdk.wandb_setup"]._singleton is not None,
}))
print("on standard error", file=sys.stderr)
"""


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> Iterator[ForkServer]:
    """Return a server that stands in for that of this process, and starts in no time."""
    small = ForkServer(())
    monkeypatch.setattr(jobs_server, "server", lambda: small)
    yield small
    small.close()


def test_a_job_finds_gpu_threads_and_services_untouched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "probe.py").write_text(PROBE)
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    seen = []
    server = ForkServer(PRELOADED)
    try:
        for devices, given in (("", server), ("7", server), ("7", None)):
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", devices)
            job = JobProcess([sys.executable, "-m", "probe"], tmp_path, None, given)
            assert job.result() == 0, job.lines
            assert list(job.lines) == ["on standard error"]
            seen.append(json.loads((tmp_path / "seen.json").read_text()))
    finally:
        server.close()
    assert [facts.pop("preloaded") for facts in seen] == [
        *[{"lightning": True, "albumentations": True, "wandb": True}] * 2,
        dict.fromkeys(("lightning", "albumentations", "wandb"), False),
    ]
    assert [facts.pop("devices") for facts in seen] == ["", "7", "7"]
    # A new process has the threads of OpenBLAS, which starts them with the first product.
    assert [facts.pop("tasks") for facts in seen][:2] == [1, 1]
    assert seen[0] == seen[1] == seen[2]
    assert (seen[0]["initialized"], seen[0]["bad fork"], seen[0]["driver"]) == (False, False, False)


@pytest.mark.parametrize(
    ("trainer", "total", "variables", "forked"),
    [
        ({"devices": 1}, 2, {}, True),
        ({"devices": "1"}, 2, {}, True),
        ({"devices": [3]}, 2, {}, True),
        ({"devices": 2}, 2, {}, False),
        ({"devices": -1}, 2, {}, False),
        ({"devices": "auto"}, 2, {}, False),
        ({"devices": [0, 1]}, 2, {}, False),
        ({"devices": 1}, 1, {}, False),
        ({"devices": 1}, 2, {"MEDSEG_FORK": "0"}, False),
        ({"devices": 1}, 2, {"SUBMITIT_EXECUTOR": "slurm"}, False),
    ],
)
def test_which_jobs_are_forked(
    trainer: dict[str, Any],
    total: int,
    variables: dict[str, str],
    forked: bool,
    small: ForkServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("MEDSEG_FORK", "SUBMITIT_EXECUTOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    cfg = OmegaConf.create({"trainer": trainer})
    assert job_server(["medseg.train"], cfg, of_many=total > 1) is (small if forked else None)
    assert job_server(["medseg", "predict"], cfg, of_many=total > 1) is None
    monkeypatch.setattr(sys, "platform", "darwin")
    assert job_server(["medseg.train"], cfg, of_many=total > 1) is None


def test_where_no_server_works_jobs_are_started_anew(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "probe.py").write_text("import sys; print('a job', file=sys.stderr); sys.exit(3)")
    server = ForkServer(["nowhere"])
    with caplog.at_level(logging.INFO, "medseg"):
        job = JobProcess([sys.executable, "-m", "probe"], tmp_path, None, server)
    assert job.result() == 3
    assert list(job.lines) == ["a job"]
    assert server.useless
    assert "each job is started anew" in caplog.text


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_signal_reaches_one_job_alone(number: signal.Signals, small: ForkServer, tmp_path: Path) -> None:
    waits = "import sys, time; print('ready', file=sys.stderr); time.sleep(600)"
    (tmp_path / "waits.py").write_text(waits)
    first, second = (JobProcess([sys.executable, "-m", "waits"], tmp_path, None, small) for _ in range(2))
    assert small.process is not None
    wait_until(lambda: first.lines and second.lines, "two jobs")
    os.kill(first.pid, number)
    assert first.result() == -number
    assert is_alive(second.pid)
    assert is_alive(small.process.pid)
    second.end()
    assert second.process.returncode == -signal.SIGKILL
    third = JobProcess([sys.executable, "-m", "waits"], tmp_path, None, small)
    wait_until(lambda: third.lines, "a job after them")
    third.end()


def children(pid: int) -> list[int]:
    """List the children of a process's first thread."""
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def servers_of(running: subprocess.Popen[str]) -> list[int]:
    """List the numbers of a sweep's servers."""
    return [pid for pid in children(running.pid) if b"fork_server" in command_of(pid)]


def command_of(pid: int) -> bytes:
    """Return the command of a process; empty where it has just ended."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


@pytest.mark.slow
def test_nothing_is_left_of_a_killed_sweep(tmp_path: Path) -> None:
    running = start(tmp_path, "+callbacks.fault.what=nothing,wait")
    until_it_waits(tmp_path)
    assert states(tmp_path) == {"nothing": "finished", "wait": "running"}
    (server,) = servers_of(running)
    assert len(processes_of(tmp_path)) == 2, "the sweep and its job"
    running.kill()
    running.communicate(timeout=100)
    wait_until(lambda: not is_alive(server) and not processes_of(tmp_path), "the end of all of it", 30)
    assert states(tmp_path)["wait"] == "interrupted"


@pytest.mark.slow
def test_a_killed_server_ends_no_job_and_is_replaced(tmp_path: Path) -> None:
    running = start(tmp_path, "+callbacks.fault.what=wait,raise,kill,nothing")
    until_it_waits(tmp_path)
    (server,) = servers_of(running)
    (job,) = set(children(running.pid)) - {server}
    os.kill(server, signal.SIGKILL)
    wait_until(lambda: not is_alive(server), "its end")
    os.kill(job, signal.SIGTERM)
    wait_until(lambda: servers_of(running), "another server")
    _, err = running.communicate(timeout=200)
    assert states(tmp_path) == {"wait": "interrupted", "raise": "failed", "kill": "failed", "nothing": "finished"}
    assert "1 finished" in err
