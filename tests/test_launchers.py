"""Sweeps on several GPUs and on a cluster, with stand-ins: GPUs that Ray is told of, a SLURM of a few commands."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig, OmegaConf

from medseg.errors import ConfigError, UserError
from medseg.runs.folder import RunFolder
from medseg.sweeps.launchers import RAY, SLURM, check_installed, gpus_needed, with_gpus
from medseg.system.files import read_csv
from tests import fake_slurm
from tests.faults import processes_of
from tests.helpers import TINY, compose_config
from tests.sweeping import PROJECT, start, wait_until


def needs(extra: str, plugin: str) -> pytest.MarkDecorator:
    missing = importlib.util.find_spec("hydra_plugins") is None or importlib.util.find_spec(plugin) is None
    return pytest.mark.skipif(missing, reason=f"needs the extra: pip install 'medseg[{extra}]'")


needs_ray = needs("ray", "hydra_plugins.hydra_ray_launcher")
needs_submitit = needs("submitit", "hydra_plugins.hydra_submitit_launcher")


@pytest.mark.parametrize(
    ("overrides", "need"),
    [
        ((), None),
        (("trainer=cpu",), 0),
        (("trainer=gpu",), 1),
        (("trainer=ddp", "trainer.devices=4"), 4),
        (("trainer=gpu", "trainer.devices=[0,2]"), 2),
        (("trainer=ddp", "trainer.devices=2", "trainer.accelerator=cpu"), 0),
    ],
)
def test_a_job_asks_for_the_gpus_that_its_trainer_uses(overrides: tuple[str, ...], need: int | None) -> None:
    assert gpus_needed(compose_config("train", *overrides).trainer) == need


def test_a_job_has_to_ask_for_a_number() -> None:
    with pytest.raises(ConfigError, match=r"trainer\.devices=-1: .*trainer\.devices=2"):
        gpus_needed(compose_config("train", "trainer=ddp").trainer)


@pytest.mark.parametrize(("need", "gpus"), [(None, 1), (2, 2), (0, None)])
def test_slurm_is_asked_for_them(need: int | None, gpus: int | None) -> None:
    launcher = OmegaConf.load(PROJECT / "conf" / "hydra" / "launcher" / "submitit_slurm.yaml")
    launcher.submitit_folder = "folder"
    assert with_gpus(launcher, need).gpus_per_node == gpus
    launcher.gpus_per_node = 3
    assert with_gpus(launcher, need).gpus_per_node == 3, "what the user says stays"


@pytest.mark.parametrize(("target", "extra"), [(RAY, "ray"), (SLURM, "submitit")])
def test_a_launcher_that_is_not_installed_is_one_line(target: str, extra: str) -> None:
    with pytest.raises(UserError, match=rf"is not installed: pip install 'medseg\[{extra}\]'"):
        check_installed(OmegaConf.create({"_target_": target}), [])
    check_installed(OmegaConf.create({"_target_": target}), [target])


def test_an_unknown_launcher_is_one_line(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "medseg.train", "-m", "seed=0,1", "hydra/launcher=rai"],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(PROJECT)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "unknown hydra/launcher 'rai'; did you mean 'ray'?" in line


class PretendedRay:
    """A Ray of one node with two GPUs, that keeps what it is started with."""

    started: dict[str, object] | None = None

    def is_initialized(self) -> bool:
        return self.started is not None

    def init(self, **arguments: object) -> None:
        if arguments["address"] == "nowhere:1":
            raise ConnectionError("Could not find any running Ray instance.")
        self.started = arguments

    def nodes(self) -> list[dict[str, object]]:
        return [{"Alive": True, "Resources": {"CPU": 8.0, "GPU": 2.0}}, {"Alive": False, "Resources": {"GPU": 8.0}}]


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> PretendedRay:
    pretended = PretendedRay()
    monkeypatch.setitem(sys.modules, "ray", pretended)
    for variable in ("RAY_USAGE_STATS_ENABLED", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"):
        monkeypatch.setenv(variable, "0")  # set by the launcher otherwise, for all that comes after
    return pretended


def ray_launcher(**settings: object) -> DictConfig:
    launcher = OmegaConf.load(PROJECT / "conf" / "hydra" / "launcher" / "ray.yaml")
    assert isinstance(launcher, DictConfig)
    for key, value in settings.items():
        OmegaConf.update(launcher, f"ray.{key.replace('__', '.')}", value)
    return launcher


@pytest.mark.parametrize(("told", "need", "gpus"), [(None, None, 1), (None, 2, 2), (None, 0, 0), (0.5, 2, 0.5)])
def test_ray_is_asked_for_them(ray: PretendedRay, told: float | None, need: int | None, gpus: float) -> None:
    assert with_gpus(ray_launcher(remote__num_gpus=told), need).ray.remote.num_gpus == gpus


def test_ray_is_started_here_or_joined(ray: PretendedRay) -> None:
    with_gpus(ray_launcher(), None)
    assert ray.started == {"address": "local", "include_dashboard": False, "object_store_memory": 78643200}
    ray.started = None
    with_gpus(ray_launcher(init__address="node1:6379"), None)
    assert ray.started == {"address": "node1:6379", "include_dashboard": False}, "a cluster that runs takes no more"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"remote__num_gpus": 3}, "a job asks Ray for 3 GPUs, and this machine has 2"),
        ({"init__address": "nowhere:1"}, r"hydra\.launcher\.ray\.init: Could not find any running Ray"),
    ],
)
def test_a_ray_that_cannot_serve_is_one_line(ray: PretendedRay, settings: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        with_gpus(ray_launcher(**settings), None)


@pytest.mark.slow
@needs_ray
def test_ray_trains_a_job_on_a_gpu(tmp_path: Path) -> None:
    done = subprocess.run(
        [
            sys.executable, "-m", "medseg.train", "-m", *TINY, "trainer.max_epochs=1", "data.image_size=32",
            f"runs_dir={tmp_path / 'runs'}", f"data_dir={tmp_path / 'data'}", "experiment=on_ray",
            "+callbacks.witness._target_=tests.faults.Witness", f"+callbacks.witness.folder={tmp_path / 'seen'}",
            "+callbacks.witness.name=${seed}",
            # Two GPUs are pretended, and the job, which trains on the CPU, is made to ask for one.
            "hydra/launcher=ray", "+hydra.launcher.ray.init.num_gpus=2", "hydra.launcher.ray.remote.num_gpus=1",
            "hydra.launcher.ray.remote.num_cpus=0.1",
        ],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(PROJECT)},
        capture_output=True, text=True, check=False, timeout=280,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Ray: 1 node, 2 GPUs on one; 1 for a job; 2 jobs at a time" in done.stderr
    assert json.loads((tmp_path / "seen" / "0.json").read_text())["devices"] in ("0", "1")
    (run,) = (tmp_path / "runs" / "on_ray").glob("*-seed0")
    assert RunFolder(run).finished
    assert not processes_of(tmp_path)


CLUSTER = """
import sys, ray
ray.init("local", num_cpus=2, num_gpus=2, include_dashboard=False, object_store_memory=78643200)
print(ray.get_runtime_context().gcs_address, flush=True)
sys.stdin.read()
"""
"""A Ray of two pretended GPUs that is there until its standard input ends."""


@pytest.mark.slow
@needs_ray
def test_a_running_ray_shares_its_gpus_as_it_is_told(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(PROJECT), "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "of-the-tests"}
    cluster = subprocess.Popen(
        [sys.executable, "-c", CLUSTER], env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert cluster.stdin is not None
    assert cluster.stdout is not None
    try:
        address = cluster.stdout.readline().strip()
        # (what a job asks for, jobs on a GPU): one for each as its trainer uses it, or half of one.
        for asked, on_one in (("null", 1), ("0.5", 2)):
            at_once = 2 * on_one
            folder = tmp_path / asked
            done = subprocess.run(
                [
                    # One job more than there is room for.
                    sys.executable, "-m", "tests.gpu_witness", "-m", f"seed=range({at_once + 1})",
                    f"runs_dir={folder}", f"+callbacks.witness.together={at_once}",
                    "hydra/launcher=ray", f"hydra.launcher.ray.init.address={address}",
                    f"hydra.launcher.ray.remote.num_gpus={asked}", "hydra.launcher.ray.remote.num_cpus=0.1",
                ],
                cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=120,
            )  # fmt: skip
            assert done.returncode == 0, done.stderr
            assert f"{at_once} jobs at a time" in done.stderr
            seen = [json.loads(file.read_text()) for file in folder.glob("*.json")]
            assert len(seen) == at_once + 1
            most = {device: most_at_once([job for job in seen if job["devices"] == device]) for device in ("0", "1")}
            assert most == {"0": on_one, "1": on_one}
            assert most_at_once(seen) == at_once
    finally:
        cluster.stdin.close()
        try:
            cluster.wait(60)
        finally:
            cluster.kill()
    assert not processes_of(tmp_path)


def most_at_once(jobs: list[dict[str, Any]]) -> int:
    """Count the jobs that held their GPUs at the same moment, where that was most."""
    return max(sum(other["from"] <= job["from"] <= other["to"] for other in jobs) for job in jobs)


@pytest.mark.slow
@needs_submitit
def test_slurm_requeues_what_it_preempts(tmp_path: Path) -> None:
    slurm = tmp_path / "slurm"
    running = start(
        tmp_path, "hydra/launcher=submitit_slurm", "trainer=ddp", "trainer.devices=1,2", "hydra.launcher.partition=gpu",
        "+callbacks.fault.what=wait_once", **fake_slurm.install(slurm),
    )  # fmt: skip
    swept = tmp_path / "runs" / "swept"
    try:
        for count, number in enumerate(("1000", "1001"), 1):
            waiting = partial(lambda count: len(list(swept.glob("*/waits"))) == count, count)
            wait_until(lambda is_so=waiting: is_so() or running.poll() is not None, f"job {number} in its second epoch")
            assert running.poll() is None, running.communicate()
            fake_slurm.preempt(slurm, number)
        _, err = running.communicate(timeout=200)
        # The sweep may see a result a moment before SLURM sees the end.
        histories = [slurm / number / "history.txt" for number in ("1000", "1001")]
        wait_until(lambda: all("COMPLETED" in file.read_text() for file in histories), "the ends of the jobs", 60)
    finally:
        running.kill()
        fake_slurm.shut_down(slurm)
    assert running.returncode == 0, err
    for number, gpus in (("1000", 1), ("1001", 2)):
        script = (slurm / number / "script.sh").read_text()
        asked = (f"--gpus-per-node={gpus}", "--requeue", "--partition=gpu", "--ntasks-per-node=1", "--signal=USR2@120")
        assert all(f"#SBATCH {flag}\n" in script for flag in asked), script
        history = (slurm / number / "history.txt").read_text().split()[1::2]
        assert history == ["RUNNING", "REQUEUED", "RUNNING", "COMPLETED"]
    processes = []
    for path in swept.glob("*-seed0"):
        run = RunFolder(path)
        assert run.finished
        assert "resuming after an interruption" in run.log.read_text()
        assert [row["epoch"] for row in read_csv(run.metrics)] == ["0", "1"]
        processes.append(json.loads(run.environment.read_text())["processes"])
    assert sorted(processes) == [1, 2], "Lightning is not led to believe that SLURM starts the processes"
    assert not processes_of(tmp_path)
