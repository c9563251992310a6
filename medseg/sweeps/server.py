"""The process that starts the jobs of a multirun in this process: it has imported what all of them need."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from functools import cache

from omegaconf import DictConfig, OmegaConf

from medseg.system.forked import ForkServer

PROGRAM = ("medseg.train",)
"""Whose jobs are forked: other commands take longer than they need to start, or start in no time."""

PRELOADED = (
    "medseg.commands.train",
    "medseg.training.job",
    "medseg.data.augmentation",
    "medseg.measure.cost",
    "wandb",
)
"""What a training needs and takes a while to import. Nothing of it starts a thread, a GPU or a service."""


def job_server(program: Sequence[str], cfg: DictConfig, *, of_many: bool) -> ForkServer | None:
    """Return the server that starts a job; None where it has to be started anew, or that is no slower.

    Args:
        program: of the job, `python -m <program>`.
        cfg: its configuration.
        of_many: whether the multirun has other jobs.
    """
    if tuple(program) != PROGRAM or not sys.platform.startswith("linux") or os.environ.get("MEDSEG_FORK") == "0":
        return None
    if not of_many or "SUBMITIT_EXECUTOR" in os.environ:  # SLURM has a process for each job
        return None
    if not has_one_device(cfg.trainer):  # Lightning starts the others anew
        return None
    return None if server().useless else server()


@cache
def server() -> ForkServer:
    """Return the server of this process, which starts with its first job."""
    return ForkServer(PRELOADED)


def has_one_device(trainer: DictConfig) -> bool:
    """Whether a job trains in one process alone."""
    devices = trainer.devices
    return (len(devices) if OmegaConf.is_list(devices) else str(devices)) in (1, "1")
