"""Evaluate every run of an experiment, each in a fresh process: one that fails or is killed ends no other.

What is evaluated already is recognised by the process of its run, which knows the data; it is not repeated. So the same
command goes on with what is missing.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig

from medseg.errors import UserError
from medseg.runs.evaluations import DONE_BEFORE, OTHER_CLASSES, STATES
from medseg.runs.folder import RunFolder
from medseg.runs.reading import read_runs
from medseg.runs.run import Run, is_run
from medseg.sweeps.job import job_outcome
from medseg.sweeps.outcome import Outcome, report
from medseg.sweeps.process import JobProcess
from medseg.sweeps.server import has_one_device
from medseg.system.forked import ForkServer

log = logging.getLogger(__name__)

PROGRAM = ("medseg", "evaluate")

PRELOADED = ("medseg.commands.evaluate", "medseg.training.evaluation")
"""What an evaluation needs and takes a while to import. Nothing of it starts a thread, a GPU or a service."""

ONE_OF_MANY = "MEDSEG_ONE_OF_MANY"
"""Variable of a process that evaluates one of many runs, and prints its scores in a line."""


def single_run(checkpoint: str | Sequence[str]) -> str | None:
    """Return the run or the checkpoint where one alone is named; None for experiments, or several runs."""
    given = [checkpoint] if isinstance(checkpoint, str) else list(checkpoint)
    if len(given) != 1:
        return None
    path = Path(given[0]).expanduser()
    whole = is_run(path) or RunFolder(path).best_checkpoint.exists() or path.name == "checkpoints"
    return given[0] if whole or not path.is_dir() else None


def evaluate_runs(cfg: DictConfig, words: Sequence[str]) -> None:
    """Evaluate the finished runs in the folders that `cfg.checkpoint` names, with the options in `words`.

    One that another process evaluates is waited for. Raises `UserError` where there is none, and after the
    last one where any was not evaluated.
    """
    folders = [cfg.checkpoint] if isinstance(cfg.checkpoint, str) else list(cfg.checkpoint)
    if cfg.output:
        raise UserError("output is the folder of one evaluation; leave it out: each run keeps it in its folder")
    tree = read_runs(folders)
    tree.warn()
    runs = [run for run in tree if run.state in STATES]
    others = len(tree) - len(runs)
    without = [run for run in runs if run.files.lacks_checkpoints]
    runs = [run for run in runs if run not in without]
    if without and not runs:
        raise UserError(
            f"{', '.join(map(str, folders))}: unpacked from a file of medseg pack, which holds no checkpoints, so "
            "nothing can be evaluated"
        )
    if without:
        log.info("%d of %d runs were unpacked without their checkpoints, so not evaluated", len(without), len(tree))
    if not runs:
        raise UserError(f"{', '.join(map(str, folders))}: nothing is finished yet (medseg status shows the runs)")
    if others:
        log.info("%d of %d runs are not finished, so not evaluated", others, len(tree))
    given = [word for word in words if word.lstrip("+").partition("=")[0] not in ("checkpoint", "force")]
    forked = len(runs) > 1 and sys.platform.startswith("linux") and os.environ.get("MEDSEG_FORK") != "0"
    server = ForkServer(PRELOADED) if forked and has_one_device(cfg.trainer) else None
    os.environ[ONE_OF_MANY] = "1"  # of the processes that are started
    outcomes = []
    for number, run in enumerate(runs, 1):
        log.info("evaluation %d of %d: %s", number, len(runs), run.name)
        outcomes.append(evaluate_run(run, bool(cfg.force), given, server))
    del os.environ[ONE_OF_MANY]
    if server is not None:
        server.close()
    report(outcomes, "evaluations")
    if all(outcome.state == "skipped" for outcome in outcomes):
        raise UserError("no run has as many classes as these data, so none was evaluated")


def evaluate_run(run: Run, force: bool, given: Sequence[str], server: ForkServer | None) -> Outcome:
    """Evaluate a run in a separate process; `given`: the words of the command that are of every run."""
    path = str(run.folder).replace("\\", "\\\\").replace("'", "\\'")
    arguments = [PROGRAM[1], f"checkpoint='{path}'", f"force={str(force).lower()}", *given]
    try:
        job = JobProcess([sys.executable, "-m", PROGRAM[0], *arguments], Path.cwd(), None, server)
    except OSError as error:
        return Outcome(run.name, "failed", f"cannot be started: {error}")
    code = job.result()
    outcome = job_outcome(None, run.name, job, code)
    if outcome.state == "finished":
        remarks = {"done before": DONE_BEFORE, "skipped": OTHER_CLASSES}
        state = next((state for state, text in remarks.items() if any(text in line for line in job.lines)), "evaluated")
        return Outcome(run.name, state)
    # A user's error, which it printed last, is on the screen already.
    printed = job.lines[-1] if job.lines else ""
    return Outcome(run.name, outcome.state, "" if printed == f"error: {outcome.error}" else outcome.error)
