"""How far runs are, from their folders alone: states, epochs, best scores, and when they will be done."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from medseg.errors import UserError
from medseg.runs.files import read_csv, read_json
from medseg.runs.folder import RunFolder
from medseg.runs.state import WAITING, present_state

UNFINISHED = ("running", "interrupted", WAITING)
"""States of jobs that the same command will work on. A failed one is tried again too, but its time is not foreseen."""

RECENT = 5
"""Epochs that an expected end is judged by."""


@dataclass
class JobProgress:
    """How far one run is.

    Args:
        folder: where it lies, or would lie.
        name: of the folder.
        state: finished, running, interrupted, failed, waiting.
        remark: why it failed, or what else there is to know; may be empty.
        setting, model, data: as in `run.json`; empty for a run that has none.
        epoch: how many are done.
        max_epochs: how many there will be; None where that is not known yet.
        best: highest validation Dice so far.
        epoch_seconds: of one recent epoch.
        seconds_left: of training, from now or, where it does not run, from when it begins.
        end: when a running one will be done training.
    """

    folder: Path
    name: str
    state: str
    remark: str = ""
    setting: str = ""
    model: str = ""
    data: str = ""
    epoch: int | None = None
    max_epochs: int | None = None
    best: float | None = None
    epoch_seconds: float | None = None
    seconds_left: float | None = None
    end: datetime | None = None


@dataclass
class Progress:
    """How far all of them are; `end` and `seconds_left` are those of the last one, None where they are not known."""

    jobs: list[JobProgress]
    seconds_left: float | None = None
    end: datetime | None = None

    @property
    def counts(self) -> dict[str, int]:
        """How many jobs are in which state."""
        states = [job.state for job in self.jobs]
        order = ("finished", "running", "interrupted", "failed", WAITING)
        return {state: states.count(state) for state in order if state in states}

    @property
    def unfinished(self) -> list[JobProgress]:
        """The jobs that are still to be done."""
        return [job for job in self.jobs if job.state in UNFINISHED]

    def as_plain(self) -> dict[str, Any]:
        """Return all of it as plain values."""
        jobs = [{**asdict(job), "folder": str(job.folder)} for job in self.jobs]
        return {"counts": self.counts, "seconds_left": self.seconds_left, "end": self.end, "jobs": jobs}


def read_progress(folders: Sequence[Path]) -> Progress:
    """Read how far the runs at and below the given folders are.

    Raises `UserError` for a folder that is not there or that holds no runs.
    """
    jobs: dict[Path, JobProgress] = {}
    for folder in folders:
        if not folder.is_dir():
            raise UserError(f"{folder}: no such folder; give the folder of a sweep or of a run, such as runs/main")
        found = {job.folder.resolve(): job for job in read_jobs(folder)}
        if not found:
            raise UserError(f"{folder}: no runs in it; give the folder of a sweep or of a run, such as runs/main")
        jobs |= found
    progress = Progress(list(jobs.values()))
    foresee(progress, datetime.now(UTC))
    return progress


def read_jobs(folder: Path) -> Iterator[JobProgress]:
    """Yield the runs at and below a folder: first those that its sweeps planned, in their order."""
    if (folder / "status.json").exists():
        yield read_job(folder, read_json(folder / "run.json", optional=True))
        return
    planned = {job["name"]: job for job in read_json(folder / "sweep.json", optional=True).get("jobs", [])}
    for name, record in planned.items():
        yield read_job(folder / name, record)
    for child in sorted(folder.iterdir()):
        if child.is_dir() and not child.name.startswith(".") and child.name not in planned:
            yield from read_jobs(child)


def read_job(folder: Path, record: Mapping[str, Any]) -> JobProgress:
    """Read how far one run is."""
    run = RunFolder(folder)
    status = run.status
    state, remark = present_state(status)
    rows = read_csv(run.metrics)
    scores = [float(row["val/dice"]) for row in rows if row.get("val/dice")]
    return JobProgress(
        folder=folder,
        name=folder.name,
        state=state,
        remark=" ".join(remark.split()),
        setting=record.get("setting", ""),
        model=record.get("model", ""),
        data=record.get("data", ""),
        epoch=len(rows) or None,
        max_epochs=status.get("max_epochs"),
        best=max(scores, default=None),
        epoch_seconds=statistics.median(float(row["seconds"]) for row in rows[-RECENT:]) if rows else None,
    )


def foresee(progress: Progress, now: datetime) -> None:
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
        found = [other for other in measured if all(getattr(other, key) == getattr(job, key) for key in keys)]
        if found:
            return found
    return []
