"""Plan jobs in this process, and write the folders of runs that were never trained."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf

from medseg.runs.plan import settings_of
from medseg.sweeps.launchers import BASIC
from medseg.sweeps.planned_job import PlannedJob
from medseg.system.files import write_csv
from medseg.training.continuing import plan_training
from tests.helpers import TINY, compose_config

LAUNCHER = OmegaConf.create({"_target_": BASIC})


def plan_job(folder: Path, *overrides: str) -> PlannedJob:
    """Plan a job with runs and data below a folder."""
    places = (f"runs_dir={folder / 'runs'}", f"data_dir={folder / 'data'}")
    drawn = not any(word.startswith("data=") for word in overrides)
    tiny = [word for word in TINY if drawn or not word.startswith("data.dataset")]
    cfg = compose_config("train", *tiny, *places, *overrides)
    return PlannedJob(overrides, cfg, "", LAUNCHER, plan_training(cfg, HydraConfig.get()))


def write_run(
    job: PlannedJob,
    seconds: list[float],
    state: str = "finished",
    device: str = "cpu, 2 threads",
    counts: dict[str, int] | None = None,
    checkpoint: int = 1000,
    **status: Any,
) -> Path:
    """Write what a run of a planned job leaves.

    Args:
        job: as planned.
        seconds: of its epochs.
        state, device, counts: of the run.
        checkpoint: bytes of its last checkpoint; the best one is empty.
        status: what else its status says.
    """
    assert job.plan is not None
    folder = job.plan.folder
    folder.last_checkpoint.parent.mkdir(parents=True)
    folder.last_checkpoint.write_bytes(bytes(checkpoint))
    folder.best_checkpoint.touch()
    job.plan.write_record("0" * 32)
    folder.config.write_text(yaml.safe_dump(settings_of(job.cfg, job.plan.root), sort_keys=False))
    folder.environment.write_text(json.dumps({"device": device}))
    counts = counts or {"train": 16, "val": 2, "test": 2}
    folder.data.write_text(json.dumps({"title": "drawn images", "counts": counts}))
    write_csv(folder.metrics, [{"epoch": number, "seconds": value} for number, value in enumerate(seconds)])
    folder.set_state(state, epoch=len(seconds), max_epochs=job.cfg.trainer.max_epochs, **status)
    return folder.path
