"""MLflow: two runs on a real server on this machine, read back; a database below runs_dir; a server that is gone."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from medseg.errors import UserError
from medseg.runs.folder import RunFolder
from medseg.system.files import read_csv, read_json, write_json
from medseg.training.loggers.build import RunInfo, mlflow_logger
from medseg.training.loggers.mlflow import check_database
from tests.helpers import train

WANTED = ("logger=mlflow", "experiment=study")

needs_mlflow = pytest.mark.skipif(importlib.util.find_spec("mlflow") is None, reason="needs MLflow: medseg[mlflow]")


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an MLflow server with a database of its own."""
    folder, port = tmp_path_factory.mktemp("server"), free_port()
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    stores = ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", str(folder / "files")]
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    environment = {**os.environ, **quiet}
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [*command, *stores], cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True
        )
    address = f"http://127.0.0.1:{port}"
    try:
        limit = time.monotonic() + 120
        while not answers(f"{address}/health"):
            assert process.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < limit, (folder / "log").read_text()
            time.sleep(0.5)
        yield address
    finally:
        # The server and its workers; nothing of it is used any more.
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=5) as response:
            return bool(response.status == 200)
    except OSError:
        return False


@pytest.fixture(scope="module")
def two(server: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, list[RunFolder]]:
    """A client of the server, and two runs of one experiment; the second was interrupted and has gone on."""
    from mlflow import MlflowClient

    folder = tmp_path_factory.mktemp("two")
    every = "+trainer.log_every_n_steps=1"
    words = (*WANTED, f"logger.mlflow.tracking_uri={server}", "+logger.mlflow.tags.site=north", every)
    first = train(folder, *words, "logger.mlflow.checkpoint=true", "trainer.max_epochs=1")
    stopping = (*words, "trainer.max_epochs=4", "+callbacks.stop._target_=tests.training.test_job.Interrupt")
    with pytest.raises(KeyboardInterrupt):
        train(folder, *stopping)
    (stopped,) = [path for path in (folder / "runs" / "study").iterdir() if (path / "fired").exists()]
    client = MlflowClient(server)
    assert client.get_run(read_json(stopped / "loggers.json")["mlflow"]).info.status == "KILLED"
    return client, [first, train(folder, *stopping)]


@needs_mlflow
@pytest.mark.slow
def test_two_runs_on_a_server(two: tuple[Any, list[RunFolder]]) -> None:
    client, folders = two
    experiment = client.get_experiment_by_name("study")
    runs = client.search_runs([experiment.experiment_id], order_by=["metrics.`test/dice` DESC"])
    assert {run.info.run_id for run in runs} == {read_json(one.path / "loggers.json")["mlflow"] for one in folders}
    dice = [json.loads(one.summary.read_text())["headline"]["dice"]["mean"] for one in folders]
    assert [run.data.metrics["test/dice"] for run in runs] == pytest.approx(sorted(dice, reverse=True))
    for run in runs:
        assert run.info.run_name.startswith("unet-synthetic-cpu-")
        assert run.info.run_name.endswith("seed0")
        assert run.info.status == "FINISHED"
        assert run.data.params["model"] == "unet"
        assert run.data.params["model.base_channels"] == "4"
        assert "model.norm" not in run.data.params, "what is as usual is no parameter"
        tags = run.data.tags
        assert (tags["network"], tags["data"], tags["protocol"], tags["site"]) == (
            "unet", "synthetic", "medseg", "north",
        )  # fmt: skip
        assert {"best_epoch", "parameters", "training_seconds", "test/hd95"} <= set(run.data.metrics)


@needs_mlflow
@pytest.mark.slow
def test_curves_of_a_resumed_run_are_whole(two: tuple[Any, list[RunFolder]]) -> None:
    client, (_, resumed) = two
    run_id = read_json(resumed.path / "loggers.json")["mlflow"]
    kept = client.get_metric_history(run_id, "val/dice")
    assert [point.value for point in kept] == pytest.approx(
        [float(row["val/dice"]) for row in read_csv(resumed.metrics)]
    )
    assert [point.step + 1 for point in kept] == [int(row["step"]) for row in read_csv(resumed.metrics)]
    assert client.get_metric_history(run_id, "lr-AdamW")


@needs_mlflow
@pytest.mark.slow
def test_files_of_a_run_are_artifacts(two: tuple[Any, list[RunFolder]]) -> None:
    client, (first, _) = two
    run_id = read_json(first.path / "loggers.json")["mlflow"]
    files = {file.path for folder in (None, "test", "images", "checkpoints") for file in
             client.list_artifacts(run_id, folder)}  # fmt: skip
    names = {f"images/{name}.png" for name in ("best", "median", "worst", "curves")}
    assert {"config.yaml", "test/summary.json", "checkpoints/best.ckpt", *names} <= files
    assert Path(client.download_artifacts(run_id, "config.yaml")).read_text() == first.config.read_text()


@needs_mlflow
@pytest.mark.slow
def test_without_a_server_runs_are_in_a_database_below_runs_dir(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from mlflow import MlflowClient

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    run = train(tmp_path, *WANTED, "trainer.max_epochs=1")
    assert "INFO mlflow" not in capfd.readouterr().err
    client = MlflowClient(f"sqlite:///{tmp_path}/runs/mlflow.db")
    first = read_json(run.path / "loggers.json")["mlflow"]
    assert client.get_run(first).data.metrics["test/dice"] >= 0
    assert (tmp_path / "runs" / "mlartifacts" / "study" / first / "artifacts" / "config.yaml").is_file()
    assert {path.name for path in tmp_path.iterdir()} == {"data", "runs"}, "nothing is written elsewhere"
    # A run whose entry was deleted gets another one when it goes on.
    client.delete_run(first)
    write_json(run.state_file, {"state": "interrupted"})
    train(tmp_path, *WANTED, "trainer.max_epochs=1")
    assert read_json(run.path / "loggers.json")["mlflow"] != first


@needs_mlflow
@pytest.mark.slow
def test_a_server_that_is_gone_is_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    address = f"http://127.0.0.1:{free_port()}"
    assert train(tmp_path, *WANTED, f"logger.mlflow.tracking_uri={address}", "trainer.max_epochs=1").finished
    (warning,) = [record.getMessage() for record in caplog.records if record.name == "medseg.training.loggers.mirror"]
    assert warning.startswith("MLflow is off from here on (")
    assert address.removeprefix("http://") in warning or "Connection refused" in warning


def test_without_mlflow_it_is_one_line_before_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *_: None)
    with pytest.raises(UserError, match=r"logger=mlflow needs MLflow: pip install 'medseg\[mlflow\]'"):
        train(tmp_path, "logger=mlflow")
    assert not list(tmp_path.glob("runs/main/*/config.yaml"))


@needs_mlflow
@pytest.mark.parametrize("experiment", ["study", "paper/comparison", "paper/comparison/tuning"])
def test_a_database_that_cannot_be_opened_is_one_warning_at_once(
    experiment: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    folder = tmp_path / "runs" / experiment / "a"
    folder.mkdir(parents=True)
    (tmp_path / "runs" / "mlflow.db").mkdir()
    record = {"name": "a", "experiment": experiment, "model": "a", "data": "b", "setting": "a", "seed": 0}
    mirror = mlflow_logger(run=RunInfo(folder, {**record, "choices": {}}, "0" * 32, {"seed": 0}))
    began = time.monotonic()
    mirror.begin()
    assert time.monotonic() - began < 5
    assert not mirror.on
    (warning,) = [record.getMessage() for record in caplog.records]
    assert warning.startswith("MLflow is off from here on (IsADirectoryError: ")
    assert "the database of MLflow cannot be opened" in warning
    assert str(tmp_path / "runs" / "mlflow.db") in warning


def test_databases_are_checked_before_mlflow_opens_them(tmp_path: Path) -> None:
    check_database(f"sqlite:///{tmp_path}/new.db")
    check_database(f"sqlite:///{tmp_path}/new.db")
    for address in ("http://localhost:5000", "sqlite:///:memory:", str(tmp_path), "postgresql:///runs"):
        check_database(address)
    (tmp_path / "text.db").write_text("no database\n" * 100)
    for name in ("text.db", "missing/mlflow.db"):
        with pytest.raises(OSError, match="the database of MLflow cannot be opened"):
            check_database(f"sqlite:///{tmp_path}/{name}")


JOB = """
import sys
from pathlib import Path
from medseg.training.loggers.build import RunInfo, mlflow_logger
name = sys.argv[2]
folder = Path(sys.argv[1], "runs", "study", name)
folder.mkdir(parents=True)
record = {"name": name, "experiment": "study", "model": name, "data": "synthetic", "setting": name, "seed": 0}
run = RunInfo(folder, {**record, "choices": {}}, "0" * 32, {"seed": 0})
mirror = mlflow_logger(run=run)
mirror.begin()
for step in range(50):
    mirror.log_metrics({"val/dice": step / 50}, step)
assert mirror.on
mirror.end(0)
"""


@needs_mlflow
@pytest.mark.slow
def test_jobs_can_log_to_a_new_database_at_the_same_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow import MlflowClient

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    command = [sys.executable, "-c", JOB, str(tmp_path)]
    jobs = [subprocess.Popen([*command, name], stderr=subprocess.PIPE, text=True) for name in ("a", "b")]
    try:
        for job in jobs:
            _, errors = job.communicate(timeout=240)
            assert (job.returncode, errors) == (0, "")
    finally:
        for job in jobs:
            job.kill()
    client = MlflowClient(f"sqlite:///{tmp_path}/runs/mlflow.db")
    runs = client.search_runs([client.get_experiment_by_name("study").experiment_id])
    assert {run.info.run_name for run in runs} == {"a-seed0", "b-seed0"}
    for run in runs:
        assert run.info.status == "FINISHED"
        assert len(client.get_metric_history(run.info.run_id, "val/dice")) == 50
