"""The mirror never ends a training: whatever happens to W&B or TensorBoard is one warning."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import Logger

from medseg.runs.folder import RunFolder
from medseg.system.files import read_csv
from medseg.training.loggers import mirror as guarding
from medseg.training.loggers import validation_images
from medseg.training.loggers import wandb as wandb_logger
from medseg.training.loggers.build import RunInfo, tensorboard_logger
from medseg.training.loggers.mirror import Mirror
from tests.helpers import command, train
from tests.training.loggers.test_wandb import opened, records
from tests.wandb_server import KEY, serving

OFF = "is off from here on"

ONLINE = ("logger=wandb", "logger.wandb.mode=online")


class Failing(Logger):
    """A logger each of whose calls does what it is given to do."""

    name, version = "failing", ""

    def __init__(self, fail: Any) -> None:
        self.fail = fail
        self.calls = 0

    def log_metrics(self, *arguments: Any, **options: Any) -> None:
        self.calls += 1
        self.fail()

    log_hyperparams = log_metrics
    save = log_metrics


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What medseg has warned of."""
    records = [record for record in caplog.records if record.name.startswith("medseg")]
    return [record.getMessage() for record in records if record.levelno >= logging.WARNING]


def test_the_first_failure_is_one_warning_and_the_last_call(caplog: pytest.LogCaptureFixture) -> None:
    for fail in (lambda: 1 / 0, sys.exit, lambda: (_ for _ in ()).throw(KeyboardInterrupt)):
        caplog.clear()
        failing, abandoned = Failing(fail), threading.Event()
        logger = Mirror("Somewhere", lambda failing=failing: failing, abandon=abandoned.set)
        logger.log_metrics({"a": 1.0}, 1)
        logger.log_hyperparams({})
        logger.save()
        logger.finalize("success")
        logger.end(0)
        logger.experiment.anything(1)
        (warning,) = warnings(caplog)
        assert f"Somewhere {OFF}" in warning
        assert (failing.calls, abandoned.is_set(), logger.on) == (1, True, False)


def test_a_call_without_end_is_waited_for_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guarding, "PATIENCE", 0.1)
    release = threading.Event()
    logger = Mirror("Somewhere", lambda: Failing(release.wait))
    for _ in range(100):
        logger.log_metrics({"a": 1.0})
    release.set()
    (warning,) = warnings(caplog)
    assert "no answer for 0 s" in warning


def finished(run: RunFolder) -> bool:
    """Whether a run has all that it would have without a mirror."""
    return run.finished and run.per_image.exists() and len(read_csv(run.metrics)) == 2


class Signal(Callback):
    """Send a signal to W&B's service in the second epoch."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.sent = 0

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.current_epoch == 1:
            for service in services():
                os.kill(service, self.number)
                self.sent += 1
            assert self.sent == 1


def services() -> list[int]:
    """The processes of W&B that this process has started and that are still there."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                name = (folder / "comm").read_text()
                state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
            except OSError:
                continue
            if name.startswith("wandb-core") and int(parent) == os.getpid() and state != "Z":
                found.append(int(folder.name))
    return found


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_service_that_dies_or_hangs(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    import wandb

    wandb.teardown()
    monkeypatch.setattr(guarding, "PATIENCE", 5)
    fault = "+callbacks.signal._target_=tests.training.loggers.test_mirror.Signal"
    assert finished(train(tmp_path, "logger=wandb", fault, f"+callbacks.signal.number={int(number)}"))
    (warning,) = warnings(caplog)
    assert OFF in warning
    assert not services(), "nothing is waited for when this process ends"


@pytest.mark.parametrize(
    ("behaviour", "key", "reason"),
    [
        ({"refuses": True}, KEY, "user is not logged in"),
        ({}, "short", "must have 40"),
        pytest.param({"silent_to": ""}, KEY, "no answer for 5 s", marks=pytest.mark.slow),
        ({"silent_to": "file_stream"}, KEY, "no answer for 5 s"),
    ],
    ids=["refuses", "wrong key", "hangs", "hangs later"],
)
def test_a_server_that_refuses_or_hangs(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    behaviour: dict[str, Any],
    key: str,
    reason: str,
) -> None:
    with online(monkeypatch, key=key, **behaviour):
        assert finished(train(tmp_path, *ONLINE))
    (warning,) = warnings(caplog)
    assert OFF in warning
    assert reason in warning
    assert not services()


def test_a_server_that_refuses_in_the_middle(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with online(monkeypatch, refused="file_stream"):
        assert finished(train(tmp_path, *ONLINE))
    assert not warnings(caplog)
    assert capfd.readouterr().err.count("wandb: WARNING Fatal error while uploading data") == 1


@contextmanager
def online(monkeypatch: pytest.MonkeyPatch, *, key: str = KEY, **behaviour: Any) -> Iterator[None]:
    """Have W&B send to a stand-in, which knows neither pictures nor tables, and wait five seconds for it."""
    import wandb

    wandb.teardown()
    monkeypatch.setattr(guarding, "PATIENCE", 5)
    monkeypatch.setattr(validation_images.ValidationImages, "is_due", lambda *_: False)
    monkeypatch.setattr(wandb_logger.WandbRunLogger, "log_test", lambda *_: None)
    monkeypatch.delenv("WANDB_SILENT", raising=False)
    monkeypatch.setenv("WANDB_API_KEY", key)
    with serving(**behaviour) as server:
        monkeypatch.setenv("WANDB_BASE_URL", server.url)
        yield


@pytest.mark.slow
def test_the_command_ends_as_the_training_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process of its own: nothing is left that its end waits for or that changes its exit code."""
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    tiny = ("data.image_size=64", "data.dataset.count=20", "data.num_workers=0", "model=unet", "model.base_channels=4")
    with serving(refuses=True) as server:
        monkeypatch.setenv("WANDB_BASE_URL", server.url)
        done = command("train", *tiny, *ONLINE, "trainer=cpu", "trainer.max_epochs=1", cwd=tmp_path)
        assert (done.returncode, done.stderr.count(OFF)) == (0, 1), done.stderr
        assert "Traceback" not in done.stderr
        failing = "+callbacks.fault._target_=tests.faults.Fault"
        done = command(
            "train", *tiny, *ONLINE, "trainer=cpu", "trainer.max_epochs=2", failing, "+callbacks.fault.what=raise",
            cwd=tmp_path,
        )  # fmt: skip
        assert done.returncode == 1
        assert "error: RuntimeError: a fault in the middle of training" in done.stderr


@pytest.mark.slow
def test_a_home_folder_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "home").touch()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for variable in ("XDG_CACHE_HOME", "XDG_DATA_HOME", "WANDB_CACHE_DIR", "WANDB_DATA_DIR"):
        monkeypatch.delenv(variable, raising=False)
    done = command(
        "train", "data.image_size=64", "data.dataset.count=20", "data.num_workers=0", "model=unet",
        "model.base_channels=4", "trainer=cpu", "trainer.max_epochs=1", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (warning,) = [line for line in done.stderr.splitlines() if line.startswith("WARNING")]
    assert "cannot be written: W&B keeps its files in" in warning
    (run,) = (tmp_path / "runs" / "main").glob("*-seed0")
    assert RunFolder(run).finished
    assert list(run.glob("wandb/offline-run-*/files/media/table/test/per_image_*.json")), "all of it is there"


def test_tensorboard_that_cannot_write(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "tensorboard").touch()
    logger = tensorboard_logger(run=RunInfo(tmp_path, {}, "", {}))
    for step in range(3):
        logger.log_metrics({"a": 1.0}, step)
    (warning,) = warnings(caplog)
    assert f"TensorBoard {OFF} (FileExistsError" in warning


FULL = """
import resource, signal, sys
from pathlib import Path
from medseg.system.logs import set_up_logging
from medseg.training.loggers.build import RunInfo, tensorboard_logger
set_up_logging()
logger = tensorboard_logger(run=RunInfo(Path(sys.argv[1]), {}, "", {}))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
for step in range(100):
    logger.log_metrics({"a": 1.0}, step)
    logger.save()
logger.finalize("success")
logger.end(0)
print("on" if logger.on else "off")
"""


@pytest.mark.slow
def test_tensorboard_on_a_disk_that_is_full(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", FULL, str(tmp_path)], capture_output=True, text=True, timeout=100)
    assert (done.returncode, done.stdout) == (0, "off\n"), done.stderr
    assert done.stderr.count(OFF) == 1


@pytest.mark.slow
def test_wandb_variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")
    run = train(tmp_path / "a", "logger=[wandb,tensorboard]", "trainer.max_epochs=1")
    assert run.finished
    assert not (run.path / "wandb").exists()
    assert list(run.path.glob("tensorboard/events.out.tfevents.*"))
    monkeypatch.setenv("WANDB_MODE", "dryrun")
    monkeypatch.setenv("WANDB_PROJECT", "polyps")
    run = train(tmp_path / "b", "logger=wandb", "trainer.max_epochs=1")
    (kept,) = opened(records(run.path))
    assert kept.project == "polyps"
    assert json.loads(run.record.read_text())["id"].startswith(kept.run_id)
    run = train(tmp_path / "c", "logger=wandb", "logger.wandb.project=lesions", "trainer.max_epochs=1")
    (kept,) = opened(records(run.path))
    assert kept.project == "lesions", "what is asked for goes before the environment"
