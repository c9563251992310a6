"""What a sweep would do, from its planned jobs, the run folders and the prepared data. Nothing is written."""

from __future__ import annotations

import heapq
import os
import shutil
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from medseg.config.tuning import is_trial
from medseg.data.prepared.lookup import DataState, look_up
from medseg.runs.estimates import (
    Job,
    Measured,
    Time,
    epochs_of,
    estimate_bytes,
    estimate_time,
    read_measured,
    size_of,
)
from medseg.runs.folder import find_run
from medseg.runs.naming import canonical
from medseg.runs.plan import settings_of
from medseg.runs.speeds import read_speeds, time_by_speed
from medseg.runs.state import WAITING, present_state
from medseg.runs.workload import workload
from medseg.sweeps.parallelism import device_kind, jobs_at_once
from medseg.sweeps.planned_job import PlannedJob

TO_DO = "to do"
"""State of a job that has not begun, or that `force=true` repeats."""

DONE = ("finished", "trained")
NOT_DUE = (*DONE, "running")
"""States of jobs that the sweep leaves alone; a running one belongs to another process."""

OF_DATA = ("data_dir", "source", "download", "image_size", "patches", "in_channels", "skip_bad")
"""Options that decide which prepared data are needed."""

OF_SPLIT = ("split", "fold", "groups", "fraction")
"""Options that decide how many of the images are used."""


@dataclass(frozen=True)
class JobForecast:
    """What is known of a job before it begins.

    Args:
        name, model, data: of the run.
        state: as of a run, or `TO_DO`.
        remark: why it failed, where it runs; may be empty.
        epoch: how many are done and stay.
        max_epochs: how many there will be at most.
        time: that is left; None where nothing is comparable, and of a job that is done.
        bytes: that are left to write; None likewise.
        folder: where it writes.
        trial: whether it is a trial of a tuning.
    """

    name: str
    model: str
    data: str
    state: str
    remark: str
    epoch: int
    max_epochs: int
    time: Time | None
    bytes: float | None
    folder: Path
    trial: bool = False

    @property
    def due(self) -> bool:
        """Whether the sweep would work on it."""
        return self.state not in NOT_DUE


@dataclass(frozen=True)
class Forecast:
    """What a sweep would do.

    Args:
        jobs: in the order of the sweep.
        datasets: what there is of the data of the jobs that are due.
        at_once: how many jobs run at a time.
        assumption: what that number is judged by, in words.
        stops_early: whether early stopping may end a job that is due before its last epoch.
        sizes_by_weights: whether any size is that of the checkpoints alone, computed from the network.
    """

    jobs: Sequence[JobForecast]
    datasets: Sequence[DataState] = ()
    at_once: int = 1
    assumption: str = ""
    stops_early: bool = False
    sizes_by_weights: bool = False

    @cached_property
    def due(self) -> list[JobForecast]:
        """The jobs that the sweep would work on."""
        return [job for job in self.jobs if job.due]

    @property
    def job_seconds(self) -> list[float]:
        """The seconds of each job that is due and whose time is known."""
        return [job.time.seconds for job in self.due if job.time is not None]

    @property
    def wall_seconds(self) -> float:
        """Seconds until the last of them ends, where each begins as soon as another one has ended."""
        lanes = [0.0] * self.at_once
        for seconds in self.job_seconds:
            heapq.heapreplace(lanes, lanes[0] + seconds)
        return max(lanes)

    @property
    def disks(self) -> list[tuple[Path, float, int]]:
        """Of each file system: a folder there for runs, the bytes to be written, the bytes that are free."""
        needed: dict[int, float] = defaultdict(float)
        folders: dict[int, Path] = {}
        for job in self.due:
            folder = job.folder.parent.parent if job.trial else job.folder.parent
            device = existing(folder).stat().st_dev
            folders.setdefault(device, folder)
            needed[device] += job.bytes or 0.0
        return [
            (folders[device], total, shutil.disk_usage(existing(folders[device])).free)
            for device, total in needed.items()
        ]


def forecast(jobs: Sequence[PlannedJob], launcher: DictConfig) -> Forecast:
    """Tell what a sweep of these jobs would do, and how long that takes.

    `dry_run` of the jobs is true, or the CSV file of a benchmark.

    Args:
        jobs: as planned.
        launcher: configuration of the launcher.

    Raises `UserError` for a file that is no benchmark, and for what the launcher cannot be asked for.
    """
    at_once, assumption = jobs_at_once(launcher, jobs)
    given = next((job.cfg.dry_run for job in jobs), True)
    speeds = read_speeds(Path(given).expanduser()) if isinstance(given, str) else []
    states = [state_of(job) for job in jobs]
    due = [job for job, (state, _) in zip(jobs, states, strict=True) if state not in DONE]
    models = {str(job.plan.facts["model"]) for job in due if job.plan}
    places = {os.path.realpath(Path(job.cfg.runs_dir).expanduser()) for job in due}
    runs = [run for place in sorted(places) for run in read_measured(Path(place), models)]
    estimator = Estimator(runs, lambda job: time_by_speed(job, speeds), launcher)
    forecasts = [estimator.judge(job, *state) for job, state in zip(jobs, states, strict=True)]
    return Forecast(
        forecasts,
        list(estimator.datasets.values()),
        at_once,
        assumption,
        estimator.stops_early,
        estimator.sizes_by_weights,
    )


@dataclass
class Estimator:
    """Judges jobs by runs that were measured; what many jobs share is looked up once.

    Args:
        runs: that were measured.
        benchmark: judges a job by a benchmark.
        launcher: configuration of the launcher.
    """

    runs: Sequence[Measured]
    benchmark: Callable[[Job], Time | None]
    launcher: DictConfig
    datasets: dict[str, DataState] = field(default_factory=dict)
    stops_early: bool = False
    sizes_by_weights: bool = False
    known: dict[tuple[Any, ...], Any] = field(default_factory=dict)

    def judge(self, job: PlannedJob, state: str, remark: str) -> JobForecast:
        """Return what is known of a job in this state."""
        assert job.plan is not None
        facts, folder = job.plan.facts, job.plan.folder
        done = 0 if state == TO_DO and job.cfg.force else epochs_done(job)
        max_epochs = int(job.cfg.trainer.get("max_epochs") or 0)
        time, size = None, None
        if state not in DONE:
            # What the runs of a setting share, wherever their data are.
            places = [OmegaConf.select(job.cfg.data, name) for name in ("data_dir", "source", "download")]
            like, num_classes = self.once(("job", facts["setting"], *places), lambda: self.describe(job))
            max_epochs = like.max_epochs
            self.stops_early |= like.stops_early and state not in NOT_DUE
            judged = replace(like, folder=Path(os.path.realpath(folder.path)), done=done)
            key = (judged.setting, judged.folder.parent, done, judged.folder if done else None)
            time = self.once(("time", *key), lambda: estimate_time(judged, self.runs, self.benchmark))
            total = self.once(("bytes", *key[:2]), lambda: self.size_of_run(judged, job, num_classes))
            size = None if total is None else max(0.0, total - size_of(folder.path))
        return JobForecast(
            name=job.name,
            model=str(facts["model"]),
            data=str(facts["data"]),
            state=state,
            remark=remark,
            epoch=done,
            max_epochs=max_epochs,
            time=time,
            bytes=size,
            folder=folder.path,
            trial=is_trial(job.cfg.tuning),
        )

    def describe(self, job: PlannedJob) -> tuple[Job, int]:
        """Return a job as one to be judged, without its folder, and the number of classes of its data."""
        assert job.plan is not None
        facts, data = job.plan.facts, self.data_state(job)
        config = settings_of(job.cfg, job.plan.root)
        max_epochs, stops_early = epochs_of(config)
        described = Job(
            folder=Path(),
            setting=str(facts["setting"]),
            work=workload(str(facts["model"]), str(facts["data"]), config, data.counts),
            device=device_kind(str(config["trainer"].get("accelerator", "auto")), self.launcher),
            max_epochs=max_epochs,
            stops_early=stops_early,
            words=words_of(facts),
            trial=is_trial(job.cfg.tuning),
        )
        return described, config["data"].get("num_classes") or data.num_classes or 2

    def once(self, key: tuple[Any, ...], compute: Callable[[], Any]) -> Any:
        """Return what a key stands for, computed on first use."""
        if key not in self.known:
            self.known[key] = compute()
        return self.known[key]

    def size_of_run(self, judged: Job, job: PlannedJob, num_classes: int) -> float | None:
        """Judge how large the folder of a run becomes; by its network alone where no run is comparable.

        A trial keeps no checkpoint, so without a comparable run nothing is counted.
        """
        size = estimate_bytes(judged, self.runs)
        if size is None and judged.trial:
            return 0.0
        if size is None:
            from medseg.measure.checkpoint_size import checkpoint_bytes  # not above: torch takes seconds

            key = ("weights", judged.work.network, judged.work.saved, num_classes)
            size = self.once(key, lambda: checkpoint_bytes(job.cfg, num_classes))
            self.sizes_by_weights |= size is not None
        return size

    def data_state(self, job: PlannedJob) -> DataState:
        """Look up the data of a job."""
        options: Any = OmegaConf.to_container(job.cfg.data, resolve=True)
        needed = canonical([options["dataset"], *(options.get(key) for key in OF_DATA)])
        state: DataState = self.once(
            ("data", needed, *(canonical(options.get(key)) for key in OF_SPLIT)), lambda: look_up(job.cfg.data)
        )
        self.datasets.setdefault(needed, state)
        return state


def state_of(job: PlannedJob) -> tuple[str, str]:
    """Return the state of a job and a remark on it."""
    assert job.plan is not None
    status = job.plan.folder.status
    state, remark = present_state(status)
    if state == "running":
        return state, f"on {status.get('host', 'another machine')}"
    if state in DONE and not job.plan.finished and not job.cfg.force:
        return "interrupted", "trained with test=false; its test is left"
    if state == WAITING or job.cfg.force:
        return TO_DO, ""
    return state, remark if state == "failed" else ""


def epochs_done(job: PlannedJob) -> int:
    """Return how many epochs a job need not do, those of the run that it goes on from included."""
    assert job.plan is not None
    folder = job.plan.folder
    if not folder.last_checkpoint.exists() and job.cfg.continue_from is not None:
        folder = find_run(job.cfg.continue_from)[0]
    epoch = folder.status.get("epoch")
    return epoch if isinstance(epoch, int) and folder.last_checkpoint.exists() else 0


def words_of(facts: Mapping[str, Any]) -> frozenset[str]:
    """Return what `medseg benchmark` calls the network of a run: its name, and its options on the command line."""
    given = (str(word).lstrip("+") for word in facts["overrides"])
    return frozenset([str(facts["model"]), *(word for word in given if word.startswith("model."))])


def existing(folder: Path) -> Path:
    """Return a folder, or the nearest one above it that exists."""
    folder = Path(os.path.realpath(folder))
    return next(path for path in (folder, *folder.parents) if path.is_dir())
