"""The data of the jobs of a sweep, looked for before the first one begins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from omegaconf import DictConfig, OmegaConf

from medseg.data.prepared.lookup import why_missing
from medseg.errors import UserError
from medseg.runs.naming import canonical
from medseg.sweeps.launchers import RAY, SLURM
from medseg.sweeps.planned_job import PlannedJob


def check_data(jobs: Sequence[PlannedJob], launcher: DictConfig) -> None:
    """Raise `UserError` where none of the jobs has its data, so that none can run.

    Where some have, the others fail by themselves. Jobs that run on other machines, and those without a run folder,
    are not judged.
    """
    if runs_elsewhere(launcher) or any(job.plan is None for job in jobs):
        return
    reasons: dict[str, str] = {}
    names: dict[str, None] = {}
    for job in jobs:
        options: Any = OmegaConf.to_container(job.cfg.data, resolve=True)
        key = canonical(options)
        if key in reasons:
            continue
        try:
            reason = why_missing(job.cfg.data)
        except UserError:  # which the job raises as well
            return
        if reason is None:
            return
        reasons[key] = reason
        assert job.plan is not None
        names[str(job.plan.facts["data"])] = None
    different = set(reasons.values())
    if len(different) == 1:
        raise UserError(f"no job was started: {different.pop()}")
    if different:
        raise UserError(
            f"no job was started: the data of all of them are missing ({', '.join(names)}); give data.source=DIR, the "
            "folder with their archives, or data.download=true where they can be downloaded; dry_run=true lists them"
        )


def runs_elsewhere(launcher: DictConfig) -> bool:
    """Tell whether jobs may run on machines with other data."""
    target = launcher.get("_target_")
    return target == SLURM or (target == RAY and OmegaConf.select(launcher, "ray.init.address") is not None)
