"""Of a distributed run, the loss, the images and the error that are shown are those of the process that failed."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback

from medseg.runs.folder import RunFolder
from tests.faults import processes_of
from tests.helpers import TINY, command


class Failing(Callback):
    """Have one of two processes fail in the second epoch, and write down the images that it had."""

    def __init__(self, how: str, rank: int, other_hangs: bool = False) -> None:
        self.how = how
        self.rank = rank
        self.other_hangs = other_hangs

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: dict, batch_idx: int) -> None:
        if trainer.current_epoch == 0 or batch_idx != 1:
            return
        if trainer.global_rank != self.rank:
            time.sleep(600 if self.other_hangs else 0)
            return
        ids = [pl_module.sample_ids[index] for index in batch["index"].tolist()]  # type: ignore[index, operator]
        Path("images").write_text(", ".join(ids))
        if self.how == "loss":
            batch["image"].fill_(float("nan"))
        elif self.how == "error":
            raise RuntimeError("a fault of one process")
        elif self.how == "kill":
            os.kill(os.getpid(), signal.SIGKILL)


def failed(folder: Path, *fault: str) -> tuple[RunFolder, list[str]]:
    """Return the run of two processes of which one fails, and the errors that are shown."""
    target = "_target_=tests.training.test_failing_processes.Failing"
    callback = [f"+callbacks.failing.{word}" for word in (target, *fault)]
    done = command("train", *TINY, "trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2", *callback, cwd=folder)
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    (path,) = folder.glob("runs/main/*")
    assert RunFolder(path).status["state"] == "failed"
    errors = [line.removeprefix("error: ") for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert errors
    assert not processes_of(folder)
    return RunFolder(path), errors


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_the_loss_and_the_images(tmp_path: Path, rank: int) -> None:
    run, errors = failed(tmp_path, "how=loss", f"rank={rank}")
    (error,) = set(errors)
    images = (tmp_path / "images").read_text()
    assert error.startswith(f"the loss is nan in epoch 1, step 3, process {rank}; images of this batch: {images}; ")
    assert run.status["error"] == error


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
@pytest.mark.parametrize("other_hangs", [False, True])
def test_the_error(tmp_path: Path, rank: int, other_hangs: bool) -> None:
    run, errors = failed(tmp_path, "how=error", f"rank={rank}", f"other_hangs={other_hangs}")
    for error in (*errors, run.status["error"]):
        assert error.startswith(f"process {rank}: RuntimeError: a fault of one process")
    assert "raise RuntimeError" in run.log.read_text()


@pytest.mark.slow
@pytest.mark.parametrize("other_hangs", [False, True])
def test_a_process_that_is_killed(tmp_path: Path, other_hangs: bool) -> None:
    run, errors = failed(tmp_path, "how=kill", "rank=1", f"other_hangs={other_hangs}")
    assert errors == [run.status["error"]] == ["process 1 killed by signal 9 (SIGKILL); out of memory?"]
