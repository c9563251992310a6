"""How far runs are, from their folders alone: states, epochs, best scores, and when they will be done."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from medseg.errors import UserError
from medseg.runs.packed.archive import with_files
from medseg.runs.reading import read_runs
from medseg.runs.run import DAMAGED, Run
from medseg.runs.state import WAITING

UNFINISHED = ("running", "interrupted", WAITING)
"""States of jobs that the same command will work on. A failed one is tried again too, but its time is not foreseen."""

RECENT = 5
"""Epochs that an expected end is judged by."""


@dataclass
class JobProgress:
    """How far one run is.

    Args:
        run: as read from its folder.
        remark: why it failed or was killed, what of it is damaged; may be empty.
        epoch: how many are done.
        max_epochs: how many there will be; None where that is not known yet.
        best: highest validation Dice so far.
        epoch_seconds: of one recent epoch.
        seconds_left: of training, from now or, where it does not run, from when it begins.
        end: when a running one will be done training.
    """

    run: Run
    remark: str = ""
    epoch: int | None = None
    max_epochs: int | None = None
    best: float | None = None
    epoch_seconds: float | None = None
    seconds_left: float | None = None
    end: datetime | None = None

    @property
    def state(self) -> str:
        return self.run.state

    def as_plain(self) -> dict[str, Any]:
        """Return all of it as plain values."""
        run = {key: getattr(self.run, key) for key in ("name", "state", "setting", "model", "data")}
        rest = {key: value for key, value in vars(self).items() if key != "run"}
        return {"folder": with_files(str(self.run.folder)), **run, **rest}


@dataclass
class Progress:
    """How far all of them are; `end` and `seconds_left` are those of the last one, None where they are not known.

    `trials` are those of tunings, which are no jobs.
    """

    jobs: list[JobProgress]
    copies: list[str]
    problems: list[str]
    seconds_left: float | None = None
    end: datetime | None = None
    trials: Sequence[Run] = ()

    @property
    def counts(self) -> dict[str, int]:
        """How many jobs are in which state."""
        states = [job.state for job in self.jobs]
        order = ("finished", "trained", "running", "interrupted", "failed", WAITING, DAMAGED)
        return {state: states.count(state) for state in order if state in states}

    @property
    def unfinished(self) -> list[JobProgress]:
        """The jobs that are still to be done."""
        return [job for job in self.jobs if job.state in UNFINISHED]

    def as_plain(self) -> dict[str, Any]:
        """Return all of it as plain values."""
        jobs = [job.as_plain() for job in self.jobs]
        left = {"seconds_left": self.seconds_left, "end": self.end}
        trials = {
            state: [run.state for run in self.trials].count(state) for state in {run.state for run in self.trials}
        }
        rest = {"copies": self.copies, "problems": self.problems, "trials": trials, "jobs": jobs}
        return {"counts": self.counts, **left, **rest}


def read_progress(folders: Sequence[Path]) -> Progress:
    """Read how far the runs at and below the given folders are, those of each sweep in its order.

    Raises `UserError` for a folder that does not exist or that holds no run.
    """
    tree = read_runs(folders, trials_alone=True)
    runs = sorted(tree.runs, key=lambda run: (str(run.folder.parent), run.position, run.name))
    progress = Progress([progress_of(run) for run in runs], tree.copies, tree.problems, trials=tree.trials)
    estimate_time_left(progress, datetime.now(UTC))
    return progress


def progress_of(run: Run) -> JobProgress:
    """Return how far one run is."""
    remark = " ".join((run.error or "").split())
    try:
        rows = run.epochs
    except UserError as error:
        rows, remark = [], "; ".join(filter(None, (remark, str(error))))
    scores = [row["val/dice"] for row in rows if not math.isnan(row.get("val/dice", math.nan))]
    seconds = [row["seconds"] for row in rows[-RECENT:] if not math.isnan(row.get("seconds", math.nan))]
    return JobProgress(
        run=run,
        remark=remark,
        epoch=len(rows) or None,
        max_epochs=run.status.get("max_epochs"),
        best=max(scores, default=None),
        epoch_seconds=statistics.median(seconds) if seconds else None,
    )


def estimate_time_left(progress: Progress, now: datetime) -> None:
    """Fill in when the jobs will be done, and all of them.

    A job that has no epoch yet is taken to be like the runs of the same setting, else network and dataset, else
    dataset, else any. As many jobs as run now are taken to run at a time, or one.
    """
    for job in progress.unfinished:
        like = similar(job, progress.jobs)
        seconds = job.epoch_seconds or (statistics.fmean(other.epoch_seconds or 0 for other in like) if like else None)
        epochs = job.max_epochs or (max(other.max_epochs or 0 for other in like) if like else None)
        if seconds is not None and epochs:
            job.max_epochs = epochs
            job.seconds_left = max(0, epochs - (job.epoch or 0)) * seconds
            job.end = now + timedelta(seconds=job.seconds_left) if job.state == "running" else None
    known = [job.seconds_left for job in progress.unfinished if job.seconds_left is not None]
    if known and len(known) == len(progress.unfinished):
        lanes = max(1, sum(job.state == "running" for job in progress.jobs))
        # No sooner than the longest of them.
        progress.seconds_left = max(sum(known) / lanes, *known)
        progress.end = now + timedelta(seconds=progress.seconds_left)


def similar(job: JobProgress, jobs: Sequence[JobProgress]) -> list[JobProgress]:
    """Return the runs with epochs that are most like a job."""
    measured = [other for other in jobs if other.epoch_seconds and other.max_epochs]
    for keys in (("setting",), ("model", "data"), ("data",), ()):
        found = [other for other in measured if all(getattr(other.run, key) == getattr(job.run, key) for key in keys)]
        if found:
            return found
    return []
