"""A multirun: every job in a process of its own, and what happens to one does not happen to the others."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest
import torch

from medseg.runs.folder import RunFolder
from medseg.system.files import read_csv
from tests.faults import processes_of
from tests.forking import run_forked
from tests.helpers import TINY, command
from tests.sweeping import jobs_of, start, states, sweep, until_it_waits


def same(first: RunFolder, second: RunFolder) -> bool:
    """Whether two runs came to the same, to the last bit."""
    weights, others = (torch.load(run.last_checkpoint, weights_only=True)["state_dict"] for run in (first, second))
    equal = all(torch.equal(weights[name], others[name]) for name in weights)
    return equal and first.per_image.read_bytes() == second.per_image.read_bytes()


@pytest.mark.slow
def test_jobs_that_raise_are_killed_or_never_start_leave_the_others_alone(tmp_path: Path) -> None:
    arguments = "+callbacks.fault.what=raise,kill,exit,terminate,nothing"
    done = sweep(tmp_path, arguments)
    assert done.returncode == 1
    expected = {"raise": "failed", "kill": "failed", "exit": "failed", "terminate": "interrupted"}
    assert states(tmp_path) == {**expected, "nothing": "finished"}
    assert not processes_of(tmp_path)
    # Accounted for at the end, each with its last lines.
    assert "Traceback" not in done.stderr
    ending = done.stderr.partition("sweep: ")[2]
    assert ending.startswith("3 failed, 1 interrupted, 1 finished")
    runs = jobs_of(tmp_path)
    said = {"raise": "a fault in the middle of training", "kill": "killed by signal 9", "exit": "exit code 7"}
    for what, text in said.items():
        assert text in ending.partition(f"failed: {runs[what].path.name}")[2].partition("ERROR failed: ")[0]
        assert text in runs[what].status["error"]
        assert text in runs[what].log.read_text()
    assert ending.splitlines()[-1] == (
        "error: 4 jobs not finished of 5; the same command tries again what is not finished"
    )
    # What a job was to be is written down, though it never had a configuration: the report counts it where it belongs.
    record = json.loads(runs["exit"].record.read_text())
    assert (record["model"], record["data"], record["seed"], record["fold"]) == ("unet", "synthetic", 0, None)
    assert record["setting"] == runs["exit"].path.name.removesuffix("-seed0")
    assert record["choices"]["trainer"] == "cpu"
    assert "+callbacks.fault.what=exit" in record["overrides"]
    planned = json.loads((tmp_path / "runs" / "swept" / "sweep.json").read_text())["jobs"]
    records = [json.loads(run.record.read_text()) for run in runs.values()]
    assert planned == [{key: value for key, value in record.items() if key != "id"} for record in records]

    # The report shows what failed as failed, with its reason, not as missing.
    shown = command("report", "runs/swept", "format=markdown", "figures=false", cwd=tmp_path)
    assert "5 runs (1 finished, 3 failed, 1 interrupted)" in shown.stdout, shown.stderr
    page = (tmp_path / "runs" / "swept" / "report" / "report.md").read_text()
    for what, text in said.items():
        (row,) = [line for line in page.splitlines() if f"| {runs[what].path.name} |" in re.sub(r"\s+", " ", line)]
        assert "| failed |" in re.sub(r"\s+", " ", row)
        assert text in row

    before = runs["nothing"].status
    again = sweep(tmp_path, arguments, disarmed=True)
    assert again.returncode == 0, again.stderr
    assert set(states(tmp_path).values()) == {"finished"}
    assert runs["nothing"].status == before, "what is finished is left alone"
    assert again.stderr.count("finished already") == 1
    for what, run in runs.items():
        resumed = "resuming after an interruption" in run.log.read_text()
        assert resumed == (what in ("raise", "kill", "terminate"))
        assert [row["epoch"] for row in read_csv(run.metrics)] == ["0", "1"]
        assert same(run, runs["nothing"]), "as if nothing had happened"


@pytest.mark.slow
def test_a_job_whose_second_process_dies_fails_alone(tmp_path: Path) -> None:
    two = ("trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2")
    done = sweep(tmp_path, *two, "+callbacks.fault.what=kill_second,nothing")
    assert done.returncode == 1, done.stderr
    assert states(tmp_path) == {"kill_second": "failed", "nothing": "finished"}
    runs = jobs_of(tmp_path)
    assert "1 job failed of 2" in done.stderr.splitlines()[-1]
    assert f"failed: {runs['kill_second'].path.name}" in done.stderr
    assert json.loads(runs["nothing"].environment.read_text())["processes"] == 2
    assert not processes_of(tmp_path), "neither of the two is left"


@pytest.mark.slow
def test_a_stopped_sweep_goes_on_where_it_was(tmp_path: Path) -> None:
    def terminate(sweep: subprocess.Popen[str]) -> None:
        sweep.terminate()

    def press_ctrl_c(sweep: subprocess.Popen[str]) -> None:
        os.killpg(sweep.pid, signal.SIGINT)

    arguments = "+callbacks.fault.what=wait,nothing"
    for stop in (terminate, press_ctrl_c):
        running = start(tmp_path, arguments)
        try:
            until_it_waits(tmp_path)
            assert states(tmp_path) == {"wait": "running", "nothing": "waiting"}
            jobs_of(tmp_path)["wait"].path.joinpath("waits").unlink()
            stop(running)
            _, err = running.communicate(timeout=100)
        finally:
            running.kill()
        assert running.returncode == 130
        assert "Traceback" not in err
        assert "stopped: 1 interrupted, 1 waiting; the same command goes on" in err
        assert err.splitlines()[-1] == "error: interrupted"
        assert states(tmp_path) == {"wait": "interrupted", "nothing": "waiting"}
        assert jobs_of(tmp_path)["wait"].status["epoch"] == 1
        assert not processes_of(tmp_path)

    again = sweep(tmp_path, arguments, disarmed=True)
    assert again.returncode == 0, again.stderr
    assert "resuming after an interruption" in again.stderr
    assert states(tmp_path) == {"wait": "finished", "nothing": "finished"}
    assert same(*jobs_of(tmp_path).values())


def test_a_second_ctrl_c_ends_at_once(tmp_path: Path) -> None:
    running = start(tmp_path, "+callbacks.fault.what=deaf,nothing")
    try:
        until_it_waits(tmp_path)
        running.send_signal(signal.SIGINT)
        assert running.stderr is not None
        for line in running.stderr:
            if "Ctrl-C again ends it at once" in line:
                break
        time.sleep(0.5)
        assert running.poll() is None, "it waits for the job"
        running.send_signal(signal.SIGINT)
        running.communicate(timeout=30)  # half of what the job would be given
    finally:
        running.kill()
    assert running.returncode == 130
    assert states(tmp_path) == {"deaf": "interrupted", "nothing": "waiting"}
    assert not processes_of(tmp_path)


@pytest.mark.slow
def test_no_job_outlives_a_sweep_that_is_killed(tmp_path: Path) -> None:
    arguments = "+callbacks.fault.what=wait"
    running = start(tmp_path, arguments)
    try:
        until_it_waits(tmp_path)
    finally:
        running.kill()
        running.communicate()
    # At once, while the job may still be about to end.
    again = sweep(tmp_path, arguments, disarmed=True)
    assert again.returncode == 0, again.stderr
    assert "resuming after an interruption" in again.stderr
    assert states(tmp_path) == {"wait": "finished"}
    assert not processes_of(tmp_path)


def test_your_own_configuration_folder_reaches_the_jobs(tmp_path: Path) -> None:
    (tmp_path / "mine" / "model").mkdir(parents=True)
    (tmp_path / "mine" / "model" / "one_conv.yaml").write_text(
        "_target_: nets.OneConv\nin_channels: ${data.in_channels}\nnum_classes: ${data.num_classes}\n"
    )
    (tmp_path / "nets.py").write_text("from tests.networks import OneConv  # noqa: F401\n")
    arguments = [item for item in TINY if not item.startswith("model")]
    done = command(
        "train", "-m", "--config-dir", "mine", "model=one_conv", *arguments, "trainer.max_epochs=1", "seed=0",
        cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (run,) = (tmp_path / "runs" / "main").glob("one_conv-*")
    deviating = json.loads((run / "run.json").read_text())["defaults"]
    assert set(deviating) == {"data.image_size", "data.dataset.count", "data.batch_size", "trainer.max_epochs"}


def plan(folder: Path, *arguments: str) -> tuple[subprocess.CompletedProcess[str], list[dict]]:
    """Plan a multirun and return what it said and every job of its `sweep.json`."""
    done = run_forked("tests.planning", "-m", "runs_dir=runs", *arguments, cwd=folder)
    (*_, file) = [None, *folder.glob("runs/**/sweep.json")]
    return done, json.loads(file.read_text())["jobs"] if file else []


def test_a_second_sweep_adds_to_the_first(tmp_path: Path) -> None:
    _, jobs = plan(tmp_path, "model=unet,convunext", "seed=0,1", "experiment=both")
    assert [(job["model"], job["seed"]) for job in jobs] == [
        ("unet", 0),
        ("unet", 1),
        ("convunext", 0),
        ("convunext", 1),
    ]
    _, more = plan(tmp_path, "model=unet", "seed=1,2", "experiment=both")
    assert more[:4] == [*jobs[:1], {**jobs[1], "overrides": more[1]["overrides"]}, *jobs[2:]]
    assert [(job["model"], job["seed"]) for job in more[4:]] == [("unet", 2)]


def test_a_changed_setting_is_a_new_job(tmp_path: Path) -> None:
    _, (job,) = plan(tmp_path, "model=unet", "optimizer.lr=0.01")
    _, (_, other) = plan(tmp_path, "model=unet", "optimizer.lr=0.02")
    assert job["name"] != other["name"]
    _, still = plan(tmp_path, "model=unet", "optimizer.lr=0.02", "data.num_workers=2")
    assert len(still) == 2


def test_the_folds_of_a_cross_validation(tmp_path: Path) -> None:
    _, jobs = plan(tmp_path, "data.fold=0,1,2,3,4")
    assert [job["fold"] for job in jobs] == [0, 1, 2, 3, 4]
    assert all(f"-fold{fold}-" in jobs[fold]["name"] for fold in range(5))


def test_the_lists_of_an_experiment_file_are_swept(tmp_path: Path) -> None:
    done, jobs = plan(tmp_path, "+experiments=convunext/comparison", "budget=smoke", "seed=0")
    assert done.returncode == 0, done.stderr
    assert len(jobs) == 5 * 3, "the command line goes before the file"
    assert {job["data"] for job in jobs} == {"kvasir", "isic", "dsb"}
    assert {job["seed"] for job in jobs} == {0}
    assert {job["experiment"] for job in jobs} == {"convunext/comparison"}


def test_the_settings_of_files_deviate_from_the_options(tmp_path: Path) -> None:
    _, jobs = plan(tmp_path, "+experiments=convunext/comparison", "budget=smoke", "seed=0")
    assert all({"trainer.limit_train_batches", "trainer.max_epochs"} <= job["defaults"].keys() for job in jobs)
    assert {job["defaults"]["trainer.max_epochs"] for job in jobs} == {100}


def test_a_job_that_never_began_is_replaced_when_its_words_give_another_name(tmp_path: Path) -> None:
    _, jobs = plan(tmp_path, "model=unet,convunext", "seed=0,1")
    file = tmp_path / "runs" / "main" / "sweep.json"
    # As an older version would have named them; one of them began.
    older = [{**job, "name": f"{job['name']}-older"} for job in jobs]
    file.write_text(json.dumps({"jobs": older}))
    (file.parent / older[0]["name"]).mkdir()
    (file.parent / older[0]["name"] / "run.json").touch()
    _, again = plan(tmp_path, "model=unet,convunext", "seed=0,1")
    assert [job["name"] for job in again] == [older[0]["name"], *(job["name"] for job in jobs[1:]), jobs[0]["name"]]


@pytest.mark.parametrize("content", ["", "[]", '{"jobs": 3}', '{"jobs": [null]}'])
def test_a_damaged_list_of_jobs_is_written_anew(content: str, tmp_path: Path) -> None:
    _, jobs = plan(tmp_path, "model=unet", "seed=0,1")
    file = tmp_path / "runs" / "main" / "sweep.json"
    file.write_text(content)
    done, again = plan(tmp_path, "model=unet", "seed=0,1")
    assert done.returncode == 0, done.stderr
    assert again == jobs
    assert str(Path("runs", "main", "sweep.json")) in done.stderr


def test_numbers_that_are_equal_are_one_job(tmp_path: Path) -> None:
    done, jobs = plan(tmp_path, "optimizer.lr=1,1.0,2")
    assert len(jobs) == 2
    assert done.stderr.count("the same run as another job, so left out") == 1


def test_combinations_that_are_one_run_are_one_job(tmp_path: Path) -> None:
    done, jobs = plan(tmp_path, "data.num_workers=0,1", "experiment=a,b")
    assert len(jobs) == 1, "in each experiment"
    assert done.stderr.count("the same run as another job, so left out") == 2
    assert {file.parent.name for file in tmp_path.glob("runs/*/sweep.json")} == {"a", "b"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["model=unet,convunex"], "unknown model 'convunex'; did you mean 'convunext'"),
        (["optimizer=adamw", "optimizer.lr=1,2", "optimizer.momentum=0.5,0.9"], "unknown option 'optimizer.momentum'"),
        (["seed=0,-1"], "seed is -1; it must be a whole number"),
        (["data=synthetic,folder"], "'data.root' has no value"),
        (["+modle=unet,convunext"], "unknown option 'modle'; did you mean 'model'?"),
    ],
)
def test_a_wrong_word_is_said_before_the_first_job(arguments: list[str], message: str, tmp_path: Path) -> None:
    done, jobs = plan(tmp_path, *arguments)
    assert done.returncode == 2
    assert message in done.stderr.splitlines()[-1]
    assert "no job was started" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert not jobs
