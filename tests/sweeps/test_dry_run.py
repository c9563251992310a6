"""`dry_run=true`: what a sweep would do is printed, and nothing is started or written."""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

import medseg
from medseg.commands.dry_run import dry_run_lines, show_bytes, show_dry_run
from medseg.errors import ConfigError, UserError
from medseg.measure.checkpoint_size import checkpoint_bytes, state_per_parameter
from medseg.sweeps import dry_run, parallelism
from medseg.sweeps.dry_run import Forecast, forecast
from medseg.sweeps.launchers import RAY, SLURM
from medseg.sweeps.parallelism import device_kind, jobs_at_once
from medseg.system.gpus import gpu_count
from tests.forking import run_forked
from tests.helpers import TINY, compose_config
from tests.sweeps.planned import LAUNCHER, plan_job, write_run

HOST = platform.node()


def tree(folder: Path) -> dict[str, tuple[int, int]]:
    """Return what lies below a folder, with sizes and times of change."""
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in folder.rglob("*")}


def train(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return run_forked("medseg.train", *TINY, "experiment=swept", *words, cwd=folder)


def forecast_of(*jobs: Any) -> Forecast:
    return forecast(jobs, LAUNCHER)


def test_a_sweep_is_shown_and_nothing_is_written(tmp_path: Path) -> None:
    words = ("-m", "optimizer=adamw,sgd", "sgd:optimizer.lr=0.02", "seed=0,1", "dry_run=true")
    done = train(tmp_path, *words)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert list(tmp_path.iterdir()) == []
    rows = [line.split() for line in done.stdout.splitlines() if line.startswith("to do")]
    names = [row[-1] for row in rows]
    assert len(set(names)) == 4
    assert sum("-sgd-" in name for name in names) == 2
    assert "4 jobs: 4 to do" in done.stdout
    assert "time: not known" in done.stdout
    assert re.search(r"disk: about [\d.]+ MiB to write, \d+ [GT]iB free in ", done.stdout)
    assert "nothing was started" in done.stdout
    assert max(map(len, done.stdout.partition("\n\n")[0].splitlines())) <= 80
    # The names are those that the sweep has.
    planned = run_forked("tests.planning", *TINY, "experiment=swept", *words[:-1], cwd=tmp_path)
    assert planned.returncode == 0, planned.stderr
    listed = json.loads((tmp_path / "runs" / "swept" / "sweep.json").read_text())["jobs"]
    assert [job["name"] for job in listed] == names
    before = tree(tmp_path)
    assert train(tmp_path, *words).stdout == done.stdout
    assert tree(tmp_path) == before


def test_one_run_is_shown(tmp_path: Path) -> None:
    done = train(tmp_path, "dry_run=true")
    assert done.returncode == 0, done.stderr
    assert "1 job: 1 to do" in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("seed=0,1", "optimizer.lrr=1"), "lrr"),
        (("seed=0,-1",), "seed is -1"),
        (("seed=0,1", "dry_run=1"), "dry_run is 1; it must be true, false or the CSV file of a benchmark"),
        (("seed=0,1", "dry_run=false"), "dry_run has several values"),
        (("seed=0,1", "dry_run=missing.csv"), "no such file"),
        (("data.source=a,b",), "data.source has two values for one run, "),
        (("seed=0,1", "initial_weights=runs/none"), "initial_weights=runs/none: runs/none: no such run folder"),
    ],
)
def test_wrong_words_are_refused_as_by_the_sweep(words: tuple[str, ...], message: str, tmp_path: Path) -> None:
    given = ["dry_run=true,false" if word == "dry_run=false" else word for word in words]
    if not any(word.startswith("dry_run") for word in given):
        given.append("dry_run=true")
    done = train(tmp_path, "-m", *given)
    assert done.returncode == (1 if "initial_weights=runs/none" in words else 2)
    assert done.stdout == ""
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_states_epochs_and_what_is_left(tmp_path: Path) -> None:
    jobs = [plan_job(tmp_path, f"seed={seed}", "trainer.max_epochs=4") for seed in range(6)]
    write_run(jobs[0], [2.0, 2.0, 2.0, 2.0], other_seconds=1.0)
    write_run(jobs[1], [3.0], "interrupted")
    write_run(jobs[2], [2.0, 2.0], "failed", error="no more\nmemory")
    write_run(jobs[3], [2.0], "running")
    gone = write_run(jobs[4], [2.0], "running")
    status = json.loads((gone / "status.json").read_text())
    (gone / "status.json").write_text(json.dumps({**status, "pid": 2**22 + 1}))
    plan = forecast_of(*jobs)
    assert [job.state for job in plan.jobs] == ["finished", "interrupted", "failed", "running", "interrupted", "to do"]
    assert [job.epoch for job in plan.jobs] == [4, 1, 2, 1, 1, 0]
    times = [None if job.time is None else round(job.time.seconds, 3) for job in plan.jobs]
    # Left epochs times the mean of its own, and 1 s for the test; the one to do has the mean of all runs here.
    assert times == [None, 10, 5, 7, 7, pytest.approx(4 * (8 + 3 + 4 + 2 + 2) / 9 + 1, abs=1e-3)]
    assert plan.wall_seconds == pytest.approx(sum(plan.job_seconds))
    assert len(plan.job_seconds) == 4, "the running one is not this sweep's"
    text = "\n".join(dry_run_lines(forecast(jobs, LAUNCHER)))
    assert "6 jobs: 1 finished, 1 running, 2 interrupted, 1 failed, 1 to do" in text
    assert f"failed: {jobs[2].name}: no more memory" in text
    assert f"running: {jobs[3].name}: on {HOST}" in text
    assert re.search(r"interrupted +1/4 ", text)


def test_finished_jobs_are_left_alone_unless_forced(tmp_path: Path) -> None:
    job = plan_job(tmp_path)
    write_run(job, [1.5, 2.5])
    text = dry_run_lines(forecast([job], LAUNCHER))
    assert text[-1].startswith("every job is finished: the command would start nothing")
    plan = forecast_of(plan_job(tmp_path, "force=true"))
    assert (plan.jobs[0].state, plan.jobs[0].epoch) == ("to do", 0)
    assert plan.wall_seconds == 4


def test_a_run_that_goes_on_from_another_has_fewer_epochs_left(tmp_path: Path) -> None:
    short = write_run(plan_job(tmp_path, "logger=csv"), [2.0, 2.0])
    longer = plan_job(tmp_path, "trainer.max_epochs=5", f"continue_from={short}")
    plan = forecast_of(longer)
    assert (plan.jobs[0].state, plan.jobs[0].epoch, plan.wall_seconds) == ("to do", 2, 6)


def test_disk_that_is_left_to_write(tmp_path: Path) -> None:
    finished = write_run(plan_job(tmp_path), [1.0, 1.0], checkpoint=50_000)
    half = plan_job(tmp_path, "seed=1")
    begun = write_run(half, [1.0], "interrupted", checkpoint=20_000)
    sizes = [sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) for folder in (finished, begun)]
    plan = forecast_of(half, plan_job(tmp_path, "seed=2"))
    assert [job.bytes for job in plan.jobs] == [sizes[0] - sizes[1], sizes[0]]
    ((folder, needed, free),) = plan.disks
    assert (folder, needed) == (tmp_path / "runs" / "main", 2 * sizes[0] - sizes[1])
    assert free > 0


def test_a_disk_with_too_little_room_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dry_run.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 1024})())
    job = plan_job(tmp_path)
    needed = checkpoint_bytes(job.cfg, 2)
    assert needed is not None
    text = "\n".join(dry_run_lines(forecast([job], LAUNCHER)))
    assert f"has too little room: {show_bytes(needed - 1024)} more are needed" in text


def test_the_checkpoints_of_a_network_without_its_weights() -> None:
    cfg = compose_config("train", *TINY)
    parameters = 4 * medseg_parameters(cfg)
    both = checkpoint_bytes(cfg, 2)
    assert both is not None
    assert 2 * 3 * parameters <= both < 2 * 3 * parameters * 1.02, "weights and the two values of AdamW, and buffers"
    sgd = checkpoint_bytes(compose_config("train", *TINY, "optimizer=sgd", "optimizer.momentum=0"), 2)
    averaged = checkpoint_bytes(compose_config("train", *TINY, "callbacks=ema"), 2)
    assert sgd is not None
    assert averaged is not None
    assert averaged - both == sgd, "once more the weights, twice"
    assert state_per_parameter(compose_config("train", "optimizer=sgd").optimizer) == 1
    own = compose_config("train", "+model._target_=torch.nn.Conv2d", checked=False)
    assert checkpoint_bytes(own, 2) is None, "a class of the user's may download its weights"


def medseg_parameters(cfg: Any) -> int:
    from medseg.models import UNet

    network = UNet(in_channels=3, num_classes=2, base_channels=4)
    return sum(parameter.numel() for parameter in network.parameters())


def test_the_data_are_looked_up_and_not_touched(tmp_path: Path) -> None:
    (tmp_path / "own" / "images").mkdir(parents=True)
    jobs = [
        plan_job(tmp_path, "data=kvasir"),
        plan_job(tmp_path, "data=cvc", "data.download=true"),
        plan_job(tmp_path),
    ]
    before = tree(tmp_path)
    states = {data.label: (data.state, data.detail) for data in forecast_of(*jobs).datasets}
    assert tree(tmp_path) == before
    assert states["kvasir-64x64"][0] == "missing"
    assert "data.source=DIR" in states["kvasir-64x64"][1]
    assert states["cvc-64x64"][0] == "to be downloaded"
    assert states["synthetic-64x64"] == ("to be prepared", "")
    assert "data: kvasir-64x64: missing, so its jobs would fail: " in "\n".join(dry_run_lines(forecast(jobs, LAUNCHER)))
    with pytest.raises(UserError, match="the data of kvasir-64x64 are missing"):
        show_dry_run(jobs, LAUNCHER)
    show_dry_run(jobs[1:], LAUNCHER)


def test_prepared_data_tell_how_many_images_there_are(tmp_path: Path) -> None:
    from medseg.data.prepared.prepare import prepare_from_config

    options = (f"data_dir={tmp_path / 'data'}", *TINY)
    prepare_from_config(compose_config("train", *options).data)
    whole, half, fold = (
        forecast_of(plan_job(tmp_path, *words)).datasets[0] for words in ((), ("data.fraction=0.5",), ("data.fold=0",))
    )
    assert whole.state == half.state == fold.state == "prepared"
    assert whole.counts is not None
    assert half.counts is not None
    assert fold.counts is not None
    assert half.counts["train"] * 2 == whole.counts["train"] > 0
    assert sum(fold.counts.values()) == 20


def test_how_many_jobs_run_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallelism, "available_cores", lambda: 16)
    monkeypatch.setattr(parallelism, "gpu_count", lambda: 4)
    on_cpu, on_gpu, on_two = (
        plan_job(tmp_path, *words) for words in ((), ("trainer=gpu",), ("trainer=gpu", "trainer.devices=2"))
    )
    ray = {"_target_": RAY, "ray": {"init": {"address": None}, "remote": {"num_gpus": None, "num_cpus": 2}}}
    assert jobs_at_once(OmegaConf.create(ray), [on_cpu])[0] == 8
    assert jobs_at_once(OmegaConf.create(ray), [on_gpu])[0] == 4
    assert jobs_at_once(OmegaConf.create(ray), [on_two])[0] == 2
    ray["ray"] = {"init": {"address": "auto"}, "remote": {"num_gpus": 0.5, "num_cpus": 1}}
    number, assumption = jobs_at_once(OmegaConf.create(ray), [on_gpu])
    assert number == 8
    assert "the cluster was not asked" in assumption
    slurm = OmegaConf.create({"_target_": SLURM, "array_parallelism": 12, "gpus_per_node": None})
    assert jobs_at_once(slurm, [on_gpu])[0] == 12
    assert (device_kind("auto", slurm), device_kind("auto", LAUNCHER), device_kind("cpu", slurm)) == (
        "gpu",
        "gpu",
        "cpu",
    )
    with pytest.raises(ConfigError, match="asks for a number"):
        jobs_at_once(slurm, [plan_job(tmp_path, "trainer=gpu", "trainer.devices=auto")])
    write_run(on_cpu, [3.0, 3.0])
    jobs = [plan_job(tmp_path, f"seed={seed}") for seed in range(1, 6)]
    plan = forecast(jobs, OmegaConf.create(ray))
    assert (plan.at_once, sum(plan.job_seconds), plan.wall_seconds) == (8, 30, 6)
    monkeypatch.setattr(parallelism, "available_cores", lambda: 2)
    assert forecast(jobs, OmegaConf.create(ray)).wall_seconds == 18, "five jobs of 6 s, two at a time"


def test_the_gpus_of_a_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm"):
        (tmp_path / name).touch()
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert gpu_count(tmp_path) == 2
    for given, number in (("1", 1), ("", 0), ("-1", 0), ("0,1,2,3", 2)):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", given)
        assert gpu_count(tmp_path) == number


def test_many_jobs_are_grouped_and_soon_shown(tmp_path: Path) -> None:
    write_run(plan_job(tmp_path), [2.0, 2.0])
    write_run(plan_job(tmp_path, "seed=1"), [2.0], "interrupted")
    jobs = [plan_job(tmp_path, f"seed={seed}") for seed in range(3)]
    last = jobs[-1]
    assert last.plan is not None
    for number in range(297):
        # As planned, under other names: composing 300 jobs is the sweep's part.
        folder = type(last.plan.folder)(last.plan.folder.path.with_name(f"{last.name}{number}"))
        jobs.append(type(last)((), last.cfg, "", LAUNCHER, replaced(last.plan, folder)))
    start = time.process_time()
    lines = dry_run_lines(forecast(jobs, LAUNCHER))
    assert time.process_time() - start < 5
    assert len(lines) < 20
    (row,) = [line.split() for line in lines if line.startswith("unet ")]
    assert row[:6] == ["unet", "synthetic", "300", "1", "1", "298"]
    assert "300 jobs: 1 finished, 1 interrupted, 298 to do" in lines
    write_run(jobs[2], [2.0], "trained")
    jobs = [type(last)((), job.cfg, "", LAUNCHER, untested(job.plan)) for job in jobs]
    lines = dry_run_lines(forecast(jobs, LAUNCHER))
    (row,) = [line.split() for line in lines if line.startswith("unet ")]
    assert row[:7] == ["unet", "synthetic", "300", "1", "1", "1", "297"]
    assert "300 jobs: 1 finished, 1 trained, 1 interrupted, 297 to do" in lines


def untested(plan: Any) -> Any:
    plan.cfg.test = False
    return plan


def replaced(plan: Any, folder: Any) -> Any:
    from dataclasses import replace

    return replace(plan, folder=folder)


def test_a_network_of_the_users_own(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("raise SystemError('imported')\n")
    done = run_forked(
        "medseg.train", "-m", "+model._target_=mine.Net", "model=custom", "seed=0,1", "dry_run=true", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert "2 jobs: 2 to do" in done.stdout
    assert "disk: not known" in done.stdout
    assert os.listdir(tmp_path) == ["mine.py"]  # noqa: PTH208 - not even its bytecode


def test_python_is_told_where_to_ask() -> None:
    with pytest.raises(UserError, match="medseg train dry_run=true"):
        medseg.fit("unet", overrides=["dry_run=true"])


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 bytes"), (1023, "1023 bytes"), (1536, "1.5 KiB"), (20 * 2**20, "20 MiB"), (3 * 2**50, "3072 TiB")],
)
def test_sizes_are_written_in_fitting_units(size: int, text: str) -> None:
    assert show_bytes(size) == text
