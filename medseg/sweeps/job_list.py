"""The jobs of a multirun, added to the lists of their experiments."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from medseg.runs.jobs import add_jobs
from medseg.runs.plan import RunPlan


def add_to_job_list(plans: Iterable[RunPlan]) -> None:
    """Add runs to the `sweep.json` of their experiments, where those of earlier multiruns stay."""
    folders: dict[Path, list[dict[str, Any]]] = {}
    for plan in plans:
        folders.setdefault(plan.folder.path.parent, []).append(plan.record)
    for folder, records in folders.items():
        add_jobs(folder, records)
