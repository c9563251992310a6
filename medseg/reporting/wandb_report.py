"""The comparison of a sweep as a W&B run beside those of its trainings."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from medseg.errors import UserError
from medseg.metrics.measures import MEASURES
from medseg.reporting.comparison import score_runs
from medseg.runs.packed.archive import home_of
from medseg.runs.run import Run

COLUMNS = ("network", "dataset", "measure", "mean", "sd", "low", "high", "seeds")


def log_comparison(runs: Sequence[Run], project: str | None = None, entity: str | None = None) -> Path:
    """Log the comparison of runs to an offline W&B run, in the group of their experiment; return its folder.

    The run has the table `comparison`, one row for each network, dataset and measure, and the files of `report/` where
    `medseg report` has written them, as an artifact. A repeated call makes a new part of the same run.

    Args:
        runs: of a report.
        project: of W&B; None for that of the runs.
        entity: of W&B; None for the default of the user.

    Raises `UserError` where no run is finished.
    """
    finished = [run for run in runs if run.finished]
    if not finished:
        raise UserError("no run is finished yet: there is nothing to compare")
    folder = Path(os.path.commonpath([home_of(run.folder.parent.absolute()).absolute() for run in runs]))
    experiment = ", ".join(sorted({run.experiment for run in runs}))
    projects = [run.config.get("logger", {}).get("wandb", {}).get("project") for run in finished]
    import wandb

    run = wandb.init(
        dir=folder,
        project=project or next(filter(None, projects), "medseg"),
        entity=entity,
        id=hashlib.sha256(f"report {experiment}".encode()).hexdigest()[:12],
        resume="allow",
        name=f"report of {experiment}",
        group=experiment,
        job_type="report",
        mode="offline",
        settings=wandb.Settings(console="off", silent=True),
    )
    run.log({"comparison": wandb.Table(columns=list(COLUMNS), data=rows(finished))})
    files = folder / "report"
    if files.is_dir():
        artifact = wandb.Artifact(f"report-{run.id}", type="report")
        artifact.add_dir(str(files))
        run.log_artifact(artifact)
    local = Path(run.dir).parent
    run.finish()
    return local


def rows(runs: Sequence[Run]) -> list[Sequence[object]]:
    """Return the rows of the table, as `COLUMNS` names them."""
    # Whatever is compared, a cell has all measures.
    return [
        (row.label, column.label, name, of.mean, of.sd, of.low, of.high, len(cell.sample.seeds) if cell.sample else 0)
        for (row, column), cell in score_runs(runs, MEASURES["dice"]).cells.items()
        for name, of in cell.scores.items()
    ]
