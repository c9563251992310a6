"""A job before it begins, and its outcome where its process does not tell."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig, OmegaConf

from medseg.config.tuning import is_searched
from medseg.errors import UserError
from medseg.runs.naming import canonical
from medseg.runs.plan import RunPlan
from medseg.runs.state import present_state
from medseg.sweeps.outcome import Outcome


@dataclass(frozen=True)
class PlannedJob:
    """A job before it begins: its overrides, its configuration, also packed for its process, the run it means."""

    overrides: tuple[str, ...]
    cfg: DictConfig
    packed: str
    launcher: DictConfig
    plan: RunPlan | None

    @property
    def name(self) -> str:
        return self.plan.folder.path.name if self.plan else " ".join(self.overrides)

    @property
    def key(self) -> str:
        """What no two jobs share: the run that it means, and what its settings are to be chosen from."""
        if self.plan is None:
            return self.name
        tuning: Any = OmegaConf.to_container(self.cfg.tuning, resolve=True) if self.cfg.get("tuning") else None
        return f"{self.plan.identity} {canonical(tuning)}" if is_searched(tuning) else self.plan.identity


LEAVING = 10.0
"""Seconds that a lost job has to leave its run."""


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
