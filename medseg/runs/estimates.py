"""How long a run will take and how much it will write, judged by runs that were measured. Reads run folders only."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from medseg.errors import UserError
from medseg.runs.folder import RunFolder
from medseg.runs.reading import find_runs
from medseg.runs.run import Run
from medseg.runs.workload import Workload, workload

SOURCES = {
    "own epochs": "the epochs that the run has behind it",
    "same setting": "runs of the same setting",
    "same data": "runs of the network on the same data and image size, with other settings",
    "other data": "runs of the network on other data, scaled by the number of images",
    "benchmark": "the training speed in the CSV file of medseg benchmark",
    "other batch": "rough: runs of another batch size, precision or number of devices, scaled by the number of images",
    "other size": "rough: runs of another image size, scaled by the number of images and pixels",
}
"""What a time is judged by, the best first."""

TIME_LEVELS: Mapping[str, tuple[str, ...]] = {
    "same setting": ("setting",),
    "same data": ("network", "size", "step", "data"),
    "other data": ("network", "size", "step"),
    "other batch": ("network", "size"),
    "other size": ("network",),
}
"""What must be equal for a source to be used."""

SIZE_LEVELS = (("setting",), ("network", "saved", "data", "size"), ("network", "saved", "data"), ("network", "saved"))


@dataclass(frozen=True)
class Measured:
    """A run that has epochs behind it.

    Args:
        folder: of the run, without links.
        setting: its name without the seed.
        work: its workload.
        device: that it was trained on, as in `environment.json`.
        epochs: how many are done.
        seconds: of all of them.
        other_seconds: of the rest, such as the start, the test and the pictures; None where it is not recorded.
        finished: whether all is done.
        trial: whether it is a trial of a tuning, which keeps no checkpoint.
    """

    folder: Path
    setting: str
    work: Workload
    device: str
    epochs: int
    seconds: float
    other_seconds: float | None = None
    finished: bool = True
    trial: bool = False

    @cached_property
    def bytes(self) -> int:
        """The size of its folder."""
        return size_of(self.folder)

    @cached_property
    def bytes_without_checkpoints(self) -> int:
        """The size of its folder without the weights."""
        return self.bytes - size_of(RunFolder(self.folder).last_checkpoint.parent)

    @cached_property
    def has_checkpoints(self) -> bool:
        """Whether its folder has the weights."""
        return not self.trial and not RunFolder(self.folder).lacks_checkpoints

    def has(self, key: str, job: Job) -> bool:
        """Tell whether it is like a job in this."""
        return self.setting == job.setting if key == "setting" else getattr(self.work, key) == getattr(job.work, key)


@dataclass(frozen=True)
class Job:
    """A run whose time is to be judged.

    Args:
        folder: of the run, without links; it need not be there.
        setting: its name without the seed.
        work: its workload.
        device: kind of the device that it will train on: cpu, gpu or mps.
        max_epochs: how many there will be at most.
        done: how many of them are done and stay.
        stops_early: whether there may be fewer.
        words: what `medseg benchmark` calls its network: the name, and the options on the command line.
        trial: whether it is a trial of a tuning.
    """

    folder: Path
    setting: str
    work: Workload
    device: str
    max_epochs: int
    done: int = 0
    stops_early: bool = False
    words: frozenset[str] = frozenset()
    trial: bool = False


@dataclass(frozen=True)
class Time:
    """How long a job will take.

    Args:
        seconds: from now on, or from when it begins.
        source: what they are judged by, of `SOURCES`.
        device: that this was measured on.
        whole: whether they are those of the whole job; otherwise of its epochs alone.
    """

    seconds: float
    source: str
    device: str
    whole: bool = False

    @property
    def rough(self) -> bool:
        return SOURCES[self.source].startswith("rough")


def kind_of(device: str) -> str:
    """Return the kind of a device in `environment.json`: cpu, mps, or gpu for any other name."""
    return next((kind for kind in ("cpu", "mps") if device.startswith(kind)), "gpu")


def read_measured(folder: Path, models: Collection[str]) -> list[Measured]:
    """Read the runs of some networks at and below a folder that have epochs; damaged ones are left out."""
    folder = folder.resolve()
    runs = find_runs(folder, set(), []) if folder.is_dir() else ()
    return [one for run in runs if run.model in models for one in measured(run)]


def measured(run: Run) -> Iterator[Measured]:
    """Yield what was measured of a run, if anything was."""
    try:
        rows = [row for row in run.epochs if not math.isnan(row.get("seconds", math.nan))]
        device, counts = run.environment.get("device"), run.dataset.get("counts")
        if not rows or not device or not run.config:
            return
        work = workload(run.model, run.data, run.config, counts)
    except (UserError, KeyError, TypeError, AttributeError, IndexError):  # damaged, or of an older version
        return
    seconds, rest = sum(row["seconds"] for row in rows), run.status.get("other_seconds")
    done = run.state in ("finished", "trained")
    rest = rest if done and isinstance(rest, int | float) else None
    yield Measured(run.folder, run.setting, work, str(device), len(rows), seconds, rest, done, run.trial is not None)


def with_known_images(job: Job, runs: Sequence[Measured]) -> Job:
    """Return a job with the number of images of an epoch from a run on the same data, where it is not known."""
    if job.work.images is None:
        known = next((run.work for run in runs if run.work.images and run.has("data", job)), job.work)
        work = replace(job.work, train_images=known.train_images, val_images=known.val_images)
        return replace(job, work=work)
    return job


def estimate_time(
    job: Job, runs: Sequence[Measured], benchmark: Callable[[Job], Time | None] | None = None
) -> Time | None:
    """Judge how long a job will take from now on; None where nothing is comparable.

    Of comparable runs, those of the job's experiment count, or, where it has none, all; of several devices of the
    job's kind, the one of most runs counts.

    Args:
        job: whose time is judged.
        runs: that were measured.
        benchmark: judges a job by a benchmark.
    """
    runs = [run for run in runs if kind_of(run.device) == job.device]
    job = with_known_images(job, runs)
    own = [run for run in runs if run.folder == job.folder and job.done]
    if own:
        return time_from(job, own, "own epochs", rest_of(job, runs))
    for source in SOURCES:
        if source == "benchmark" and benchmark is not None:
            judged = benchmark(job)
            if judged is not None:
                return judged
        level = TIME_LEVELS.get(source)
        alike = [run for run in runs if level and all(run.has(key, job) for key in level) and scale(job, run)]
        if alike:
            alike = usual_device(of_experiment(job, alike))
            return time_from(job, alike, source, rest_of(job, alike))
    return None


def time_from(job: Job, runs: Sequence[Measured], source: str, rest: float | None) -> Time:
    """Judge a job's time by the mean epoch of some runs."""
    seconds = sum(run.seconds * scale(job, run) for run in runs) / sum(run.epochs for run in runs)
    epochs = expected_epochs(job, [run for run in runs if run.setting == job.setting])
    return Time(max(0.0, epochs - job.done) * seconds + (rest or 0.0), source, runs[0].device, rest is not None)


def expected_epochs(job: Job, same: Sequence[Measured]) -> float:
    """Return how many epochs a job will have: with early stopping, the mean of the finished runs of its setting."""
    ended = [run.epochs for run in same if run.finished]
    return min(job.max_epochs, sum(ended) / len(ended)) if job.stops_early and ended else job.max_epochs


def scale(job: Job, run: Measured) -> float:
    """Return how many times as long as a run's epoch a job's takes; 0 where that is not known."""
    pixels = math.prod(job.work.size) / math.prod(run.work.size)
    if job.work.data == run.work.data:
        return pixels
    return pixels * job.work.images / run.work.images if job.work.images and run.work.images else 0.0


def rest_of(job: Job, runs: Sequence[Measured]) -> float | None:
    """Return the mean seconds that are no epochs, of the network's runs on the same data, or else of all of its runs.

    None where none has recorded them.
    """
    known = [run for run in runs if run.other_seconds is not None and run.has("network", job)]
    alike = [run for run in known if run.has("data", job)] or known
    return sum(run.other_seconds or 0.0 for run in alike) / len(alike) if alike else None


def of_experiment(job: Job, runs: Sequence[Measured]) -> list[Measured]:
    """Return the runs of a job's experiment; all where there are none."""
    return [run for run in runs if run.folder.parent == job.folder.parent] or list(runs)


def usual_device(runs: Sequence[Measured]) -> list[Measured]:
    """Return the runs on the device that most of them were trained on."""
    ((device, _),) = Counter(run.device for run in runs).most_common(1)
    return [run for run in runs if run.device == device]


def estimate_bytes(job: Job, runs: Sequence[Measured]) -> float | None:
    """Judge how large the folder of a run becomes, by finished runs; None where nothing is comparable.

    Neither a trial of a tuning nor a run that was unpacked has a checkpoint, so they tell nothing of other runs.
    """
    runs = [run for run in runs if run.finished and (job.trial or run.has_checkpoints)]
    for level in SIZE_LEVELS:
        alike = [run for run in runs if all(run.has(key, job) for key in level)]
        if alike:
            alike = of_experiment(job, alike)
            return sum(run.bytes_without_checkpoints if job.trial else run.bytes for run in alike) / len(alike)
    return None


def size_of(folder: Path) -> int:
    """Return the bytes of the files in a folder and below it; 0 where there is none."""
    return sum(Path(parent, name).lstat().st_size for parent, _, names in os.walk(folder) for name in names)


def epochs_of(config: Mapping[str, Any]) -> tuple[int, bool]:
    """Return the most epochs of a configuration, and whether there may be fewer."""
    callbacks = (config.get("callbacks") or {}).values()
    early = any(str(one.get("_target_")).endswith("EarlyStopping") for one in callbacks if isinstance(one, Mapping))
    return int(config["trainer"].get("max_epochs") or 0), early
