"""`dry_run=true`: the jobs of a sweep, what is finished, the time and disk that the rest takes. Starts nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from omegaconf import DictConfig

from medseg.commands.status import show_seconds
from medseg.data.prepared.lookup import MISSING, PREPARED, TO_DOWNLOAD, TO_PREPARE, DataState
from medseg.errors import UserError, printable
from medseg.reporting.render.table import Column, Table
from medseg.reporting.render.text import as_text
from medseg.runs.estimates import SOURCES
from medseg.sweeps.dry_run import DONE, Forecast, JobForecast, forecast
from medseg.sweeps.outcome import count
from medseg.sweeps.planned_job import PlannedJob

MOST_LINES = 40
"""Rows of a table; more jobs are put together by network and data."""


UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB")


@dataclass(frozen=True)
class Group:
    """The jobs of a network on a dataset."""

    model: str
    data: str
    jobs: Sequence[JobForecast]

    def number(self, *states: str) -> int | None:
        """Count the jobs in some states; None for none."""
        return sum(job.state in states for job in self.jobs) or None

    @property
    def seconds(self) -> float | None:
        """Seconds of the jobs that are due; None where one of them is not known."""
        return total([job.time.seconds if job.time else None for job in self.jobs if job.due])

    @property
    def bytes(self) -> float | None:
        """Bytes of the jobs that are due; None where one of them is not known."""
        return total([job.bytes for job in self.jobs if job.due])

    @property
    def sources(self) -> str | None:
        """What their times are judged by."""
        return ", ".join(dict.fromkeys(job.time.source for job in self.jobs if job.due and job.time)) or None


def show_dry_run(jobs: Sequence[PlannedJob], launcher: DictConfig) -> None:
    """Print what a sweep of these jobs would do.

    Raises `UserError`, also after that where data are missing.
    """
    plan = forecast(jobs, launcher)
    print("\n".join(dry_run_lines(plan)), flush=True)
    missing = [data.label for data in plan.datasets if data.state == MISSING] if plan.due else []
    if missing:
        raise UserError(f"the data of {', '.join(missing)} are missing, so their jobs would fail; see the lines above")


def dry_run_lines(plan: Forecast) -> list[str]:
    """Write what a sweep would do: a table of the jobs, then totals, data, what that is judged by."""
    lines = [*table_lines(plan), "", f"{len_of(plan.jobs)}: {count(in_order(plan.jobs))}"]
    if plan.due:
        lines += [*time_lines(plan), *disk_lines(plan), *data_lines(plan.datasets), *source_lines(plan)]
        lines.append("nothing was started; without dry_run the same command starts these jobs")
    elif all(job.state in DONE for job in plan.jobs):
        lines.append("every job is finished: the command would start nothing; force=true repeats the jobs")
    else:
        lines.append("nothing is left to start here: other processes work on the rest")
    return [printable(line) for line in lines]


def in_order(jobs: Sequence[JobForecast]) -> list[str]:
    """Return the states of jobs, those that are done first."""
    order = (*DONE, "running", "interrupted", "failed", "to do")
    return sorted((job.state for job in jobs), key=order.index)


def table_lines(plan: Forecast) -> list[str]:
    """Write a line for each job, or, of many, for each network and dataset; and remarks."""
    if len(plan.jobs) <= MOST_LINES:
        lines = as_text(Table("jobs", "", JOBS, plan.jobs)).splitlines()
        return lines + [f"{job.state}: {job.name}: {one_line(job.remark)}" for job in plan.jobs if job.remark]
    grouped: dict[tuple[str, str], list[JobForecast]] = {}
    for job in plan.jobs:
        grouped.setdefault((job.model, job.data), []).append(job)
    groups = [Group(*key, of) for key, of in grouped.items()]
    lines = as_text(Table("jobs", "", GROUPS, groups, displayed=groups[:MOST_LINES])).splitlines()
    more = len(groups) - MOST_LINES
    return lines + ([f"... and {more} more networks and datasets, which are in the totals"] if more > 0 else [])


def time_lines(plan: Forecast) -> list[str]:
    """Write how long the jobs take together, and until the last one ends."""
    known, due = plan.job_seconds, len(plan.due)
    if not known:
        return [
            "time: not known: no run here is comparable; let one job finish, or measure with medseg benchmark "
            "csv=FILE.csv and give dry_run=FILE.csv"
        ]
    rough = "roughly " if any(job.time and job.time.rough for job in plan.due) else "about "
    of = f" for {len(known)} of {len_of(plan.due)}" if len(known) < due else f" for {len_of(plan.due)}"
    lines = [
        f"time: {rough}{show_seconds(sum(known))} of computing{of}, {show_seconds(plan.wall_seconds)} until all end"
    ]
    lines[0] += f" ({plan.assumption})"
    if len(known) < due:
        lines.append(
            f"time of {len_of(plan.due[len(known) :])}: not known: no run here is comparable; let one of these "
            "finish, or measure with medseg benchmark csv=FILE.csv and give dry_run=FILE.csv"
        )
    return lines


def disk_lines(plan: Forecast) -> list[str]:
    """Write how much is written where, and how much is free there."""
    known = [job for job in plan.due if job.bytes is not None]
    if not known:
        return ["disk: not known: no run here is comparable, and the network cannot be built without its weights"]
    of = f" for {len(known)} of {len_of(plan.due)}" if len(known) < len(plan.due) else ""
    lines = []
    for folder, needed, free in plan.disks:
        lines.append(f"disk: about {show_bytes(needed)} to write{of}, {show_bytes(free)} free in {folder}")
        if needed > free:
            lines.append(
                f"warning: the disk of {folder} has too little room: {show_bytes(needed - free)} more are needed"
            )
    return lines


def data_lines(datasets: Sequence[DataState]) -> list[str]:
    """Write what there is of each dataset."""
    lines = []
    for data in datasets:
        images = ", ".join(f"{number} {split}" for split, number in (data.counts or {}).items())
        text = {
            PREPARED: f"prepared{f' ({images} images)' if images else ''}",
            TO_PREPARE: "is there, and will be prepared first",
            TO_DOWNLOAD: f"will be downloaded and prepared first: {data.detail}",
            MISSING: f"missing, so its jobs would fail: {one_line(data.detail)}",
        }[data.state]
        lines.append(f"data: {data.label}: {text}")
    return lines


def source_lines(plan: Forecast) -> list[str]:
    """Write what the times are judged by, and what is not in them."""
    times = [job.time for job in plan.due if job.time is not None]
    lines = []
    for source, text in SOURCES.items():
        devices = dict.fromkeys(time.device for time in times if time.source == source)
        if devices:
            lines.append(f"{source}: {text} ({'; '.join(devices)})")
    if not times:
        return lines
    missing = (
        [] if all(time.whole for time in times) else ["the start of a run, its test and pictures, where no run tells"]
    )
    if any(data.state in (TO_PREPARE, TO_DOWNLOAD) for data in plan.datasets):
        missing.append("preparing the data, and the room for them")
    if plan.sizes_by_weights:
        missing.append("in sizes of networks without a finished run, all but the checkpoints")
    lines += [f"not counted: {'; '.join(missing)}"] if missing else []
    if plan.stops_early:
        lines.append("early stopping may end a job sooner: runs of its setting tell, else all epochs are counted")
    return lines


def show_bytes(size: float) -> str:
    """Write a size in the largest unit of which there is one."""
    power = min(4, int(math.log2(max(size, 1)) // 10))
    number = size / 1024**power
    return f"{number:.1f} {UNITS[power]}" if power and number < 10 else f"{number:.0f} {UNITS[power]}"


def len_of(jobs: Sequence[JobForecast]) -> str:
    """Write how many jobs there are."""
    return "1 job" if len(jobs) == 1 else f"{len(jobs)} jobs"


def one_line(text: str) -> str:
    """Write a text on one line."""
    return " ".join(text.split())


def total(values: Sequence[float | None]) -> float | None:
    """Add values up; None where one of them is None, or there is none."""
    return math.fsum(value for value in values if value is not None) if values and None not in values else None


def epoch(job: JobForecast) -> str | None:
    """Write how many epochs a job has behind it; nothing for one that has not begun."""
    return f"{job.epoch}/{job.max_epochs}" if job.epoch and job.state not in DONE else None


def seconds(job: JobForecast) -> float | None:
    """Return the seconds that are left of a job."""
    return None if job.time is None else job.time.seconds


JOBS: Sequence[Column[JobForecast]] = (
    Column("state", "state", lambda job: job.state),
    Column("epoch", "epoch", epoch, number=True),
    Column("time", "time left", seconds, show_seconds, number=True),
    Column("disk", "disk", lambda job: job.bytes if job.due else None, show_bytes, number=True),
    Column("source", "judged by", lambda job: job.time.source if job.time else None),
    Column("name", "run", lambda job: job.name),
)

GROUPS: Sequence[Column[Group]] = (
    Column("model", "network", lambda group: group.model),
    Column("data", "data", lambda group: group.data),
    Column("jobs", "jobs", lambda group: len(group.jobs), number=True),
    Column("finished", "finished", lambda group: group.number("finished"), number=True),
    Column("trained", "trained", lambda group: group.number("trained"), number=True),
    Column("running", "running", lambda group: group.number("running"), number=True),
    Column("interrupted", "interrupted", lambda group: group.number("interrupted"), number=True),
    Column("failed", "failed", lambda group: group.number("failed"), number=True),
    Column("to_do", "to do", lambda group: group.number("to do"), number=True),
    Column("time", "time left", lambda group: group.seconds, show_seconds, number=True),
    Column("disk", "disk", lambda group: group.bytes, show_bytes, number=True),
    Column("source", "judged by", lambda group: group.sources),
)
