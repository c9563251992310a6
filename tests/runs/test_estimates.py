"""Times and sizes that are judged by measured runs: which ones count, and the arithmetic."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from medseg.errors import UserError
from medseg.runs.estimates import Job, Measured, estimate_bytes, estimate_time, read_measured
from medseg.runs.folder import UNPACKED, RunFolder
from medseg.runs.speeds import read_speeds, time_by_speed
from medseg.runs.workload import Workload, images_of_epoch, workload
from tests.sweeps.planned import plan_job, write_run

WORK = Workload(
    model="unet",
    network="narrow",
    data="kvasir",
    size=(64, 64),
    step="8 in bf16",
    saved="AdamW",
    batch_size=8,
    train_images=90,
    val_images=30,
)
"""With validation, as many images as 100 of training."""

HERE = Path("/runs/main")
JOB = Job(HERE / "unet-seed1", "unet", WORK, "cpu", max_epochs=10)


def run(setting: str = "unet", folder: Path = HERE, **changes: Any) -> Measured:
    """Return a run of 10 epochs of 2 s, with these changes of its workload, or of itself."""
    own = {
        key: changes.pop(key) for key in ("device", "epochs", "seconds", "other_seconds", "finished") if key in changes
    }
    whole = {"device": "cpu, 2 threads", "epochs": 10, "seconds": 20.0, **own}
    return Measured(folder / f"{setting}-seed0", setting, replace(WORK, **changes), **whole)


@pytest.mark.parametrize(
    ("runs", "seconds", "source"),
    [
        ([run()], 20, "same setting"),
        ([run(), run(seconds=40.0)], 30, "same setting"),
        ([run(epochs=5, finished=False)], 40, "same setting"),
        ([run(other_seconds=7.0)], 27, "same setting"),
        ([run("lr")], 20, "same data"),
        ([run("lr", seconds=50.0), run()], 20, "same setting"),
        ([run("lr", data="isic", train_images=180, val_images=60)], 10, "other data"),
        ([run("lr", step="4 in bf16")], 20, "other batch"),
        ([run("lr", size=(128, 64))], 10, "other size"),
        ([run("lr", size=(32, 32), data="isic", train_images=45, val_images=15)], 160, "other size"),
    ],
)
def test_the_most_alike_runs_count(runs: list[Measured], seconds: float, source: str) -> None:
    time = estimate_time(JOB, runs)
    assert time is not None
    assert (time.seconds, time.source) == (pytest.approx(seconds), source)
    assert time.rough == (source in ("other batch", "other size"))


@pytest.mark.parametrize("changes", [{"network": "wide"}, {"device": "NVIDIA H200"}])
def test_another_network_or_kind_of_device_tells_nothing(changes: dict[str, Any]) -> None:
    assert estimate_time(JOB, [run("other", **changes)]) is None


def test_runs_on_other_data_tell_nothing_before_the_images_are_counted() -> None:
    unknown = replace(JOB, work=replace(WORK, train_images=None, val_images=None))
    other = run("lr", data="isic")
    assert estimate_time(unknown, [other]) is None
    # Another network was trained on these data, so their images were counted.
    time = estimate_time(unknown, [other, run("wide", network="wide", train_images=45, val_images=15)])
    assert time is not None
    assert time.seconds == pytest.approx(10)


def test_runs_of_the_experiment_go_before_others_of_the_same_kind() -> None:
    elsewhere = run(folder=Path("/runs/other"), seconds=100.0)
    for runs, seconds in (([elsewhere, run()], 20), ([elsewhere, run("lr")], 100)):
        time = estimate_time(JOB, runs)
        assert time is not None
        assert time.seconds == pytest.approx(seconds), "but what is more alike goes before both"


def test_an_interrupted_run_is_judged_by_its_epochs() -> None:
    own = replace(run(epochs=4, seconds=12.0, finished=False), folder=JOB.folder)
    time = estimate_time(replace(JOB, done=4), [own, run(other_seconds=5.0)])
    assert time is not None
    assert (time.seconds, time.source) == (pytest.approx(6 * 3 + 5), "own epochs")


def test_early_stopping_ends_a_job_where_it_ended_the_runs_of_its_setting() -> None:
    runs = [run(epochs=4, seconds=8.0), run(epochs=6, seconds=12.0), run(epochs=1, seconds=2.0, finished=False)]
    for stops_early, seconds in ((True, 10), (False, 20)):
        time = estimate_time(replace(JOB, stops_early=stops_early), runs)
        assert time is not None
        assert time.seconds == pytest.approx(seconds)


def test_of_several_devices_the_usual_one_counts() -> None:
    runs = [run(), run(), run(device="cpu, 1 thread", seconds=40.0)]
    time = estimate_time(JOB, runs)
    assert time is not None
    assert (time.seconds, time.device) == (pytest.approx(20), "cpu, 2 threads")


@pytest.mark.parametrize(
    ("limits", "patches", "images"),
    [
        ({}, None, (100, 20)),
        ({"limit_train_batches": 5, "limit_val_batches": 1}, None, (40, 8)),
        ({"limit_train_batches": 0.5, "limit_val_batches": 1.0}, None, (50, 20)),
        ({"limit_train_batches": 1000}, None, (100, 20)),
        ({"check_val_every_n_epoch": 5}, None, (100, 4)),
        ({"limit_val_batches": 3}, 4, (400, 3)),
    ],
)
def test_images_of_an_epoch(limits: dict[str, Any], patches: int | None, images: tuple[float, float]) -> None:
    config = {"data": {"batch_size": 8, "patches": patches}, "trainer": limits}
    assert images_of_epoch(config, {"train": 100, "val": 20, "test": 5}) == images


def test_what_a_run_folder_holds(tmp_path: Path) -> None:
    job = plan_job(tmp_path)
    folder = write_run(job, [3.0, 1.0], other_seconds=2.5, checkpoint=5000)
    (one,) = read_measured(tmp_path / "runs", {"unet"})
    assert (one.folder, one.epochs, one.seconds, one.other_seconds) == (folder.resolve(), 2, 4.0, 2.5)
    assert one.bytes == sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) > 5000
    assert one.work.images == pytest.approx(16 + 2 / 3)
    assert read_measured(tmp_path / "runs", {"convunext"}) == []
    assert read_measured(tmp_path / "nothing", {"unet"}) == []
    (folder / "metrics.csv").write_text("epoch,seconds\n0\n")
    assert read_measured(tmp_path / "runs", {"unet"}) == [], "a damaged file tells nothing"


def test_the_classes_and_weights_make_no_other_workload(tmp_path: Path) -> None:
    config: dict[str, Any] = {
        "model": {"_target_": "Net", "width": 4, "num_classes": None},
        "data": {"image_size": 64, "batch_size": 8, "fold": 1},
        "trainer": {"precision": "32"},
        "optimizer": {"_target_": "AdamW"},
    }
    filled = {**config, "model": {**config["model"], "num_classes": 2, "freeze_encoder": False}}
    filled |= {"trainer": {"precision": "32-true"}, "data": {**config["data"], "fold": 2, "image_size": [64, 64]}}
    assert workload("net", "kvasir", config, None) == workload("net", "kvasir", filled, None)
    wider = {**config, "model": {**config["model"], "width": 8}}
    assert workload("net", "kvasir", wider, None) != workload("net", "kvasir", config, None)


def test_the_size_of_a_folder_is_that_of_finished_runs(tmp_path: Path) -> None:
    for seed, state in enumerate(("finished", "finished", "interrupted")):
        write_run(plan_job(tmp_path, f"seed={seed}"), [1.0, 1.0], state, checkpoint=1000 * 10**seed)
    runs = read_measured(tmp_path / "runs", {"unet"})
    job = Job(tmp_path / "x", runs[0].setting, runs[0].work, "cpu", 2)
    assert estimate_bytes(job, runs) == pytest.approx((runs[0].bytes + runs[1].bytes) / 2)
    assert estimate_bytes(replace(job, setting="x", work=replace(job.work, network="wide")), runs) is None
    # Of runs that were unpacked without their weights, those of trials alone can be judged.
    for one in runs:
        shutil.rmtree(one.folder / "checkpoints")
        (status := RunFolder(one.folder)).set_state(status.status["state"], **{UNPACKED: True})
    unpacked = read_measured(tmp_path / "runs", {"unet"})
    assert estimate_bytes(job, unpacked) is None
    assert estimate_bytes(replace(job, trial=True), unpacked) is not None


HEADER = "network,height,width,batch_size,device,device_type,train_images_per_second,inference_images_per_second\n"


def test_a_benchmark(tmp_path: Path) -> None:
    file = tmp_path / "speeds.csv"
    rows = ("unet,32,64,8,EPYC,cpu,30,60", "unet,64,64,4,EPYC,cpu,9,30", "unet,64,64,8,H200,cuda,900,3000")
    file.write_text(HEADER + "\n".join([*rows, "unet model.depth=3,64,64,8,EPYC,cpu,1,1"]) + "\n")
    speeds = read_speeds(file)
    job = replace(JOB, words=frozenset({"unet"}))
    assert time_by_speed(JOB, speeds) is None
    for device, size, seconds in (
        ("cpu", (64, 64), 10 * (90 / 9 + 30 / 30)),
        ("gpu", (64, 64), 10 * (90 / 900 + 30 / 3000)),
        ("cpu", (32, 64), 10 * (90 / 30 + 30 / 60)),
        ("cpu", (128, 128), 10 * 4 * (90 / 9 + 30 / 30)),
    ):
        time = time_by_speed(replace(job, device=device, work=replace(WORK, size=size)), speeds)
        assert time is not None
        assert time.seconds == pytest.approx(seconds)
    deep = time_by_speed(replace(JOB, words=frozenset({"unet", "model.depth=3"})), speeds)
    assert deep is not None
    assert deep.seconds == pytest.approx(10 * (90 + 30))
    # It goes after runs of the same data and before scaled ones.
    for runs, source in (([run("lr")], "same data"), ([run("lr", step="4 in bf16")], "benchmark"), ([], "benchmark")):
        judged = estimate_time(job, runs, lambda one: time_by_speed(one, speeds))
        assert judged is not None
        assert judged.source == source


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no such file"),
        ("", "empty"),
        (HEADER, "not the CSV file of a benchmark"),
        ("a,b\n1,2\n", "it has no network, height"),
        (HEADER + "unet,64,64,8,EPYC,cpu,fast,1\n", "damaged"),
        (HEADER + "unet,64,64,8,EPYC,cpu,0,1\n", "a speed of unet is not above 0"),
        (HEADER + "unet,0,64,8,EPYC,cpu,1,1\n", "has no pixels"),
    ],
)
def test_a_file_that_is_no_benchmark(content: str | None, message: str, tmp_path: Path) -> None:
    file = tmp_path / "speeds.csv"
    if content is not None:
        file.write_text(content)
    with pytest.raises(UserError, match=message) as raised:
        read_speeds(file)
    assert str(file) in str(raised.value)
    assert "\n" not in str(raised.value)
