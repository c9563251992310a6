"""Sweeps on several GPUs and on a cluster, with stand-ins: GPUs that Ray is told of, a SLURM of a few commands."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from functools import partial
from itertools import combinations
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from medseg.errors import ConfigError, UserError
from medseg.runs.folder import RunFolder, read_csv
from medseg.sweeps.launchers import RAY, SLURM, check_installed, gpus_needed, with_gpus
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


@needs_ray
def test_ray_gives_every_job_a_gpu_of_its_own(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    done = subprocess.run(
        [
            sys.executable, "-m", "medseg.train", "-m", *TINY, "trainer.max_epochs=1", "data.image_size=32",
            "seed=0,1,2",
            f"runs_dir={tmp_path / 'runs'}", f"data_dir={tmp_path / 'data'}", "experiment=on_ray",
            "+callbacks.witness._target_=tests.faults.Witness", f"+callbacks.witness.folder={tmp_path / 'seen'}",
            "+callbacks.witness.name=${seed}",
            # Two GPUs are pretended, and the jobs, which train on the CPU, are made to ask for one each.
            "hydra/launcher=ray", "+hydra.launcher.ray.init.num_gpus=2", "hydra.launcher.ray.remote.num_gpus=1",
            "hydra.launcher.ray.remote.num_cpus=0.1",
        ],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=280,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Ray: 1 nodes, 2 GPUs on one; 1 for a job; 2 jobs at a time" in done.stderr
    seen = [json.loads(file.read_text()) for file in (tmp_path / "seen").glob("*.json")]
    assert len(seen) == 3
    assert {job["devices"] for job in seen} == {"0", "1"}, "all are used, one for a job"
    for first, second in combinations(seen, 2):
        if first["devices"] == second["devices"]:
            assert first["to"] <= second["from"] or second["to"] <= first["from"], "no two share one"
    at_once = [sum(other["from"] <= job["from"] <= other["to"] for other in seen) for job in seen]
    assert max(at_once) == 2
    assert all(RunFolder(path).finished for path in (tmp_path / "runs" / "on_ray").glob("*-seed*"))
    assert not processes_of(tmp_path)


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
