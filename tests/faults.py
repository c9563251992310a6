"""What can happen to a job, for the tests of sweeps."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback


class Fault(Callback):
    """Misbehave in the second epoch as `what` says; with DISARMED in the environment, never.

    So the same command can be given again without it, and jobs that differ in their fault alone end alike.
    """

    def __init__(self, what: str) -> None:
        self.what = "nothing" if "DISARMED" in os.environ else what
        if self.what == "exit":
            os._exit(7)  # before the run has a folder

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: object, batch_idx: int) -> None:
        if trainer.current_epoch == 0 or batch_idx != 1:
            return
        if self.what == "raise":
            raise RuntimeError("a fault in the middle of training")
        if self.what == "kill" or (self.what == "kill_second" and trainer.global_rank == 1):
            os.kill(os.getpid(), signal.SIGKILL)
        if self.what == "terminate":
            os.kill(os.getpid(), signal.SIGTERM)
        if self.what in ("wait", "deaf"):
            if self.what == "deaf":
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
            Path(trainer.default_root_dir, "waits").touch()
            time.sleep(600)
        if self.what == "wait_once" and not Path(trainer.default_root_dir, "waits").exists():
            Path(trainer.default_root_dir, "waits").touch()
            time.sleep(600)


def processes_of(folder: Path) -> list[int]:
    """List the processes whose command line names a folder, this one and those that have ended left out."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                command = (entry / "cmdline").read_bytes().decode(errors="replace")
                ended = (entry / "stat").read_text().rpartition(")")[2].split()[0] == "Z"
            except OSError:
                continue
            if str(folder) in command and not ended:
                found.append(int(entry.name))
    return found


class Witness(Callback):
    """Write to `folder`, a file for each job, which GPUs the job was given, from when to when."""

    def __init__(self, folder: str, name: str) -> None:
        self.file = Path(folder) / f"{name}.json"
        self.seen = {"devices": os.environ.get("CUDA_VISIBLE_DEVICES", ""), "from": time.time()}

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.file.parent.mkdir(parents=True, exist_ok=True)
        self.file.write_text(json.dumps({**self.seen, "to": time.time()}))
