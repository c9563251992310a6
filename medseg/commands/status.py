"""`medseg status`: how far the runs of a sweep are, from their folders alone, also while they run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from medseg.commands.command import Command
from medseg.commands.start import run_command
from medseg.errors import ConfigError, printable
from medseg.errors import count as amount
from medseg.reporting.render.table import Column, Table
from medseg.reporting.render.text import as_text as write_text
from medseg.runs.packed.archive import home_of, runs_in_words
from medseg.runs.progress import JobProgress, Progress, read_progress
from medseg.runs.run import Run
from medseg.sweeps.outcome import count

SUMMARY = """
medseg status shows how far the runs of a sweep are: what is finished, what runs and until when, what failed and why,
what waits. It reads the run folders, also while they are written.
"""

EXAMPLES = (
    "medseg status runs/first",
    "medseg status runs/first runs/convunext/comparison",
    "medseg status runs/first format=json",
    "medseg status results/first.zip        the file of medseg pack",
)


def status(cfg: DictConfig) -> None:
    """Print how far the runs are in the folders that `cfg` names."""
    if not cfg.runs:
        raise ConfigError("which runs? Give their folder: medseg status runs/main")
    progress = read_progress([Path(folder).expanduser() for folder in cfg.runs])
    print(as_json(progress) if cfg.format == "json" else as_text(progress), flush=True)


def as_text(progress: Progress) -> str:
    """Write a line per job, what went wrong, and how far all of it is."""
    lines = [write_text(Table("status", "", COLUMNS, progress.jobs)), ""] if progress.jobs else []
    lines += [f"{job.state}: {job.run.name}: {job.remark}" for job in progress.jobs if job.remark]
    lines += [f"damaged: {problem}" for problem in progress.problems]
    lines += progress.copies
    counts = ", ".join(f"{number} {state}" for state, number in progress.counts.items())
    lines += trials_lines(progress.trials)
    none = "no runs yet: they follow when the trials of their settings have ended" if progress.trials else "no runs yet"
    lines.append(f"{runs_in_words(len(progress.jobs))}: {counts}" if progress.jobs else none)
    if progress.end is not None:
        lines.append(f"expected end: {show_time(progress.end)} (in {show_seconds(progress.seconds_left or 0)})")
    elif progress.unfinished:
        lines.append("expected end: not known before the first epoch is done")
    return printable("\n".join(lines))


def trials_lines(trials: Sequence[Run]) -> list[str]:
    """Write how far the trials of tunings are, a line for each folder of them."""
    folders: dict[Path, list[str]] = {}
    for run in trials:
        folders.setdefault(run.folder.parent, []).append(run.state)
    return [
        f"tuning: {amount(len(states), 'trial')}: {count(sorted(states))}"
        + (f"; medseg status {folder} lists them" if home_of(folder) == folder else "")
        for folder, states in folders.items()
    ]


def epoch(job: JobProgress) -> str | None:
    """Write how many epochs a run has behind it, and how many it will have."""
    return f"{job.epoch or 0}/{job.max_epochs}" if job.max_epochs else None


COLUMNS: Sequence[Column[JobProgress]] = (
    Column("state", "state", lambda job: job.state),
    Column("epoch", "epoch", epoch, number=True),
    Column("best", "best val Dice", lambda job: job.best, "{:.4f}".format, number=True),
    Column("end", "expected end", lambda job: job.end if job.state == "running" else None, lambda end: show_time(end)),
    Column("name", "run", lambda job: job.run.name),
)


def as_json(progress: Progress) -> str:
    """Write the same for programs; times are ISO, durations seconds."""
    return json.dumps(progress.as_plain(), indent=2, default=plain)


def plain(value: Any) -> Any:
    """Return what JSON has for a value that it does not know."""
    return value.isoformat(timespec="seconds") if isinstance(value, datetime) else str(value)


def show_time(moment: datetime) -> str:
    """Write a moment in the time of this machine, with the day where it is not today."""
    here = moment.astimezone()
    return f"{here:%H:%M}" if here.date() == datetime.now().date() else f"{here:%d %b %H:%M}"


def show_seconds(seconds: float) -> str:
    """Write a duration."""
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min" if minutes else "less than a minute"


COMMAND = Command("status", status, SUMMARY, EXAMPLES, positional=("runs*",))


def main() -> None:
    """Start from the command line."""
    run_command(COMMAND)
