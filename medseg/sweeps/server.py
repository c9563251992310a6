"""The process that starts the jobs of a multirun in this process: it has imported what all of them need."""

from __future__ import annotations

import os
import sys
from functools import cache

from omegaconf import DictConfig, OmegaConf

from medseg.system.forked import ForkServer

PRELOADED = (
    "medseg.commands.train",
    "medseg.training.job",
    "medseg.data.augmentation",
    "medseg.measure.cost",
)
"""What a job needs and takes a while to import. Nothing of it starts a thread, a GPU or a service."""


def job_server(cfg: DictConfig, total: int) -> ForkServer | None:
    """Return the server that starts a job; None where it has to be started anew, or that is no slower.

    Args:
        cfg: of the job.
        total: jobs of the multirun.
    """
    one_process = "trainer" not in cfg or has_one_device(cfg.trainer)  # Lightning starts the others anew
    # SLURM has a process for each job.
    forks = sys.platform.startswith("linux") and "SUBMITIT_EXECUTOR" not in os.environ and total > 1
    if not forks or not one_process or os.environ.get("MEDSEG_FORK") == "0" or server().useless:
        return None
    return server()


@cache
def server() -> ForkServer:
    """Return the server of this process, which starts with its first job."""
    return ForkServer(PRELOADED)


def has_one_device(trainer: DictConfig) -> bool:
    """Whether a job trains in one process alone."""
    devices = trainer.devices
    return (len(devices) if OmegaConf.is_list(devices) else str(devices)) in (1, "1")
