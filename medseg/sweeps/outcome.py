"""How jobs ended, and what is reported of that."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from medseg.errors import UserError
from medseg.runs.state import present_state
from medseg.sweeps.planned_job import PlannedJob

log = logging.getLogger(__name__)

LEAVING = 10.0
"""Seconds that a lost job has to leave its run."""

GOOD = ("finished", "evaluated", "done before", "skipped")
"""States with nothing left to do."""


@dataclass(frozen=True)
class Outcome:
    """How a job ended.

    Args:
        job: its name, or its overrides where it has no run folder.
        state: finished; of evaluations evaluated, done before or skipped; interrupted, failed, or busy: another process
            works on its run.
        error: why it is not finished, in one line.
        lines: the last ones it printed.
    """

    job: str
    state: str
    error: str = ""
    lines: tuple[str, ...] = ()


def lost_job_outcome(job: PlannedJob, reason: str) -> Outcome:
    """Return what became of a job whose launcher has lost it, and record it where its run is marked as running."""
    folder = job.plan.folder if job.plan else None
    if folder is not None and folder.status.get("state") == "running":
        # Its process ends with the launcher's, in a moment; one that another sweep has started goes on.
        with suppress(UserError), folder.locked(LEAVING):
            if folder.status.get("state") == "running":  # and may have ended since
                folder.set_state("interrupted")
    return outcome_on_disk(job, reason)


def or_finished_elsewhere(job: PlannedJob, outcome: Outcome) -> Outcome:
    """Return how a job ended: another process that worked on its run may have finished it since."""
    done = outcome.state == "busy" and state_of(job) in ("finished", "trained")
    return Outcome(job.name, "finished") if done else outcome


def outcome_on_disk(job: PlannedJob, reason: str) -> Outcome:
    """Return the outcome that a job's folder records; `reason`: why its process does not tell."""
    if job.plan is None:
        return Outcome(job.name, "failed", reason)
    folder = job.plan.folder
    state, remark = present_state(folder.status)
    return Outcome(job.name, state, remark or reason, tuple(folder.last_lines()))


def state_of(job: PlannedJob) -> str:
    """Return the state of a job, from its folder."""
    return outcome_on_disk(job, "").state


def count(states: Iterable[str]) -> str:
    """Say how many jobs are in which state."""
    listed = list(states)
    return ", ".join(f"{listed.count(state)} {state}" for state in dict.fromkeys(listed))


def report(outcomes: Sequence[Outcome], what: str = "sweep") -> None:
    """Say how the jobs ended; `what` they are, in a word.

    Raises `UserError` where any is not finished.
    """
    if len(outcomes) > 1:
        log.info("%s: %s", what, count(outcome.state for outcome in outcomes))
    bad = [outcome for outcome in outcomes if outcome.state not in GOOD]
    for outcome in bad:
        log.error("%s: %s", outcome.state, outcome.job)
        for line in (
            outcome.lines if outcome.lines and outcome.state == "failed" else (outcome.error,) * bool(outcome.error)
        ):
            log.error("    %s", line)
    if bad:
        jobs = "1 job" if len(bad) == 1 else f"{len(bad)} jobs"
        verb = "failed" if all(outcome.state == "failed" for outcome in bad) else "not finished"
        raise UserError(f"{jobs} {verb} of {len(outcomes)}; the same command tries again what is not finished")
