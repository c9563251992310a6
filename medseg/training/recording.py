"""How a run ends: its log, its final state, and which process's error is the one that is shown."""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext

import lightning
import torch.distributed
from lightning.fabric.strategies.launchers.subprocess_script import _ChildProcessObserver

from medseg.errors import UserError, printable
from medseg.runs.folder import RunFolder
from medseg.sweeps.process import describe_exit
from medseg.system.os_errors import explain_os_error
from medseg.system.signals import restore_default_signals
from medseg.training.loggers.mirror import Mirror

GRACE = 2.0
"""Seconds that a process which has lost another one waits to learn how that has ended."""


@contextmanager
def record_run_status(folder: RunFolder, trainer: lightning.Trainer, mirrors: Sequence[Mirror]) -> Iterator[None]:
    """Keep the log and the final state of a run in its folder, however it ends, and end its mirrors.

    Of a distributed run, the error of the process that fails first is shown, not what the others raise then.
    Raises `UserError` for whatever fails, `KeyboardInterrupt` for an interruption.
    """
    exit_code = 0
    with logged(folder) if trainer.is_global_zero else nullcontext():
        try:
            with watched(folder, trainer):
                yield
        except (KeyboardInterrupt, SystemExit):
            # Lightning ends an interrupted process itself, by SystemExit.
            exit_code = 130
            for observer in observers():
                observer._run = lambda: True  # type: ignore[method-assign] # Lightning has killed the others
            if not trainer.is_global_zero:
                raise
            restore_default_signals()
            folder.set_state("interrupted")
            raise KeyboardInterrupt from None
        except Exception as error:
            exit_code = 1
            raise record_failure(folder, trainer, error) from error
        finally:
            for mirror in mirrors:
                mirror.end(exit_code)


@contextmanager
def logged(folder: RunFolder) -> Iterator[None]:
    """Write the log messages of medseg to the run's log as well."""
    handler = logging.FileHandler(folder.log, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    root = logging.getLogger("medseg")
    root.addHandler(handler)
    level = root.level
    root.setLevel(logging.INFO)
    try:
        yield
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
        handler.close()


def record_failure(folder: RunFolder, trainer: lightning.Trainer, error: Exception) -> UserError:
    """Write the state of a run that has failed, and return the error for the user.

    A process of a distributed run that has merely lost another one gets that one's error.
    """
    if trainer.world_size > 1 and is_lost_connection(error):
        elsewhere = failure_elsewhere(folder, trainer)
        if elsewhere is not None:
            error = UserError(elsewhere)
    if isinstance(error, UserError):
        message, details = str(error), str(error)
    else:
        reason = explain_os_error(error) if isinstance(error, OSError) else f"{type(error).__name__}: {error}"
        message, details = reason, traceback.format_exc()
        if trainer.world_size > 1:
            message = f"process {trainer.global_rank}: {message}"
    if folder.status.get("state") != "failed":
        folder.set_state("failed", error=message)
        folder.append_log(details)
    return error if isinstance(error, UserError) else UserError(f"{message} (the traceback is in {folder.log})")


@contextmanager
def watched(folder: RunFolder, trainer: lightning.Trainer) -> Iterator[None]:
    """Watch over the processes that a distributed run has started here.

    Where one fails, its first process fails as well; but NCCL may wait for the other one for ever, so after `GRACE`
    seconds it is ended. Lightning would kill it before it can report why.
    """
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.1):
            for observer in observers():
                observer._terminate_all = lambda: None  # type: ignore[method-assign]
            failure = failure_of_started(trainer)
            if failure is not None and not over.wait(GRACE):
                error = failure_elsewhere(folder, trainer) or failure
                folder.set_state("failed", error=error)
                print(f"error: {printable(' '.join(error.split()))}", file=sys.stderr, flush=True)
                os._exit(1)  # the others end with this process

    if trainer.world_size > 1 and hasattr(trainer.strategy.launcher, "procs"):
        threading.Thread(target=watch, name="watch", daemon=True).start()
    try:
        yield
    finally:
        over.set()


def observers() -> list[_ChildProcessObserver]:
    """Return Lightning's threads that watch over the processes that a distributed run has started here."""
    return [thread for thread in threading.enumerate() if isinstance(thread, _ChildProcessObserver)]


def is_lost_connection(error: Exception) -> bool:
    """Whether an exception means that the processes of a run have lost each other."""
    return isinstance(error, torch.distributed.DistError) or "gloo" in str(error) or "NCCL" in str(error)


def failure_elsewhere(folder: RunFolder, trainer: lightning.Trainer) -> str | None:
    """Return how another process of a run has failed; None where that is not known within `GRACE` seconds."""
    limit = time.monotonic() + GRACE
    while time.monotonic() < limit:
        status = folder.status
        failure = str(status["error"]) if status.get("state") == "failed" else failure_of_started(trainer)
        if failure is not None:
            return failure
        time.sleep(0.05)
    return None


def failure_of_started(trainer: lightning.Trainer) -> str | None:
    """Return how a process that this one has started has failed; None where all are well."""
    for rank, process in enumerate(getattr(trainer.strategy.launcher, "procs", []), start=trainer.global_rank + 1):
        if process.poll():
            return f"process {rank} {describe_exit(process.returncode)}"
    return None
