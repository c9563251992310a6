"""A multirun: its jobs are composed before the first begins, isolated while they run, and counted at the end."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper, BasicSweeperConf
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.core.utils import JobStatus
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict

from medseg.errors import ConfigError
from medseg.sweeps.composition import Composer, SweptCommand
from medseg.sweeps.job import IsolatedJob
from medseg.sweeps.job_list import add_to_job_list
from medseg.sweeps.launchers import (
    RAY,
    SLURM,
    check_installed,
    gpus_needed,
    shutdown_launcher,
    wait_for_every_job,
    with_gpus,
)
from medseg.sweeps.options import check_sweep
from medseg.sweeps.outcome import Outcome, count, lost_job_outcome, or_finished_elsewhere, report, state_of
from medseg.sweeps.planned_job import PlannedJob
from medseg.sweeps.tuning import expected_jobs, is_tuned, tune
from medseg.system.bf16 import may_depend_on_bf16, share_bf16_speedup

log = logging.getLogger(__name__)

SETTLE = 30.0
"""Seconds that a stopped sweep waits for jobs in a launcher's processes to record that they are interrupted."""


class Sweep(Sweeper):
    """Take every combination, as Hydra's basic sweeper does.

    Args:
        max_batch_size: how many jobs a launcher is given at a time; None for all of them.
        params: key -> values, before those of the command line.
    """

    command: SweptCommand
    """What is repeated; of the class, since Hydra makes the sweeper."""

    def __init__(self, max_batch_size: int | None, params: DictConfig | None) -> None:
        self.max_batch_size, self.of_many = max_batch_size, False
        self.params: Mapping[Any, Any] = params or {}

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Take what Hydra gives; launchers are made when it is known what the jobs need."""
        check_installed(config.hydra.launcher, list(Plugins.instance().class_name_to_class))
        check_sweep(config.hydra)
        self.hydra_context, self.config = hydra_context, config
        HydraConfig.instance().set_config(config.copy())  # which makes it read-only
        _ = config.hydra.sweep.dir  # the time in it is now that of all jobs
        self.composer = Composer(self.command, hydra_context.config_loader, config, self.params)

    def sweep(self, arguments: list[str]) -> None:
        """Run every job that is not finished; with `dry_run`, print what that would be.

        Raises `UserError` before the first job for a combination that cannot be composed, and after the last one where
        any is not finished.
        """
        combinations = self.composer.combinations(arguments)
        if len({word for words in combinations for word in words if word.startswith("dry_run=")}) > 1:
            raise ConfigError("dry_run has several values; give one for all jobs; no job was started")
        jobs = self.composer.plan(combinations)
        written = {of.override.lstrip("+~").partition("=")[0]: of.text for of in self.command.conditions}
        if self.command.dry_run is not None and any(job.cfg.dry_run for job in jobs):
            assert self.config is not None
            self.command.dry_run(expected_jobs(jobs, self.composer.plan, written), self.config.hydra.launcher)
            return
        self.check_data(jobs)
        unfinished: list[Outcome] = []
        if any(map(is_tuned, jobs)):
            self.of_many = True
            jobs, unfinished = tune(jobs, self.composer.plan, self.run, written)
        report([*self.run(jobs), *unfinished])

    def check_data(self, jobs: Sequence[PlannedJob]) -> None:
        """Raise `UserError` where no job that is not finished can run, since its data are missing."""
        from medseg.sweeps.missing_data import check_data  # not above: most commands read no data

        assert self.config is not None
        check_data([job for job in jobs if not is_finished(job)], self.config.hydra.launcher)

    def run(self, jobs: Sequence[PlannedJob]) -> list[Outcome]:
        """Run the jobs that are not finished, and return how all of them ended."""
        add_to_job_list(job.plan for job in jobs if job.plan)
        finished: list[PlannedJob] = []
        due: list[PlannedJob] = []
        for job in jobs:
            (finished if is_finished(job) else due).append(job)
        for job in finished:
            log.info("finished already, so not repeated: %s", job.name)
        if self.command.check_finished is not None:
            self.command.check_finished([job.plan for job in finished if job.plan])
        if any(has_measured_precision(job) for job in due):
            share_bf16_speedup()
        try:
            outcomes = self.launch(due)
        except KeyboardInterrupt:
            wait_for_jobs(due)
            log.warning("stopped: %s; the same command goes on", count(map(state_of, jobs)))
            raise
        return [*outcomes, *(Outcome(job.name, "finished") for job in finished)]

    def launch(self, jobs: Sequence[PlannedJob]) -> list[Outcome]:
        """Run the jobs, those that need the same of a machine together."""
        assert self.config is not None
        groups: dict[int | None, list[PlannedJob]] = {}
        asks = self.config.hydra.launcher.get("_target_") in (RAY, SLURM)
        for job in jobs:
            need = gpus_needed(job.cfg.trainer) if asks and "trainer" in job.cfg else None
            groups.setdefault(need, []).append(job)
        outcomes: list[Outcome] = []
        for need, group in groups.items():
            launcher = self.launcher_for(with_gpus(self.config.hydra.launcher, need) if asks else None, len(jobs))
            wait_for_every_job(self.config.hydra.launcher)
            size = self.max_batch_size or len(group)
            for start in range(0, len(group), size):
                batch = group[start : start + size]
                ends = run_batch(launcher, batch, len(outcomes))
                outcomes += [or_finished_elsewhere(job, end) for job, end in zip(batch, ends, strict=True)]
        return outcomes

    def launcher_for(self, launcher: DictConfig | None, total: int) -> Launcher:
        """Make Hydra's launcher, with its configuration as it is or as it is given here."""
        assert self.config is not None
        assert self.hydra_context is not None
        filled = self.config.copy()
        if launcher is not None:
            with open_dict(filled):
                filled.hydra.launcher = launcher
        job = IsolatedJob(self.command.program, self.command.planner, total, self.of_many or total > 1)
        return Plugins.instance().instantiate_launcher(self.hydra_context, job, filled)


def is_finished(job: PlannedJob) -> bool:
    """Tell whether a job is finished already and not to be repeated."""
    return job.plan is not None and job.plan.finished and not job.plan.started_again


def has_measured_precision(job: PlannedJob) -> bool:
    """Tell whether a measurement on this machine may decide a job's precision.

    It is made once, before the first job: another program must not have two jobs of a sweep choose differently. A job
    that SLURM or a Ray cluster starts on another kind of machine decides there.
    """
    precision, accelerator = (OmegaConf.select(job.cfg, f"trainer.{key}") for key in ("precision", "accelerator"))
    return may_depend_on_bf16(precision, accelerator) and job.launcher.get("_target_") != SLURM


def register(command: SweptCommand) -> None:
    """Have Hydra's multirun run `command` this way."""
    Sweep.command = command
    # Hydra takes a sweeper from its modules or from a package of plugins; this one stands in for the basic one.
    # `hydra.sweeper.params` of the command line is merged with it, and Hydra cannot merge with nothing.
    store = ConfigStore.instance()
    store.store(group="hydra/sweeper", name="basic", node=BasicSweeperConf(params={}), provider="hydra")
    Plugins.instance().class_name_to_class[f"{BasicSweeper.__module__}.{BasicSweeper.__name__}"] = Sweep


def run_batch(launcher: Launcher, jobs: Sequence[PlannedJob], first: int) -> list[Outcome]:
    """Have a launcher run jobs and return how each one ended, also where the launcher itself fails."""
    try:
        results = launcher.launch([(*job.overrides, job.packed) for job in jobs], initial_job_idx=first)
    except Exception as error:
        log.error("the launcher failed: %s: %s", type(error).__name__, " ".join(str(error).split()))
        return [lost_job_outcome(job, "the launcher failed before it ended") for job in jobs]
    return [
        result.return_value
        if result.status == JobStatus.COMPLETED
        else lost_job_outcome(job, str(result._return_value))
        for job, result in zip(jobs, results, strict=True)
    ]


def wait_for_jobs(jobs: Sequence[PlannedJob]) -> None:
    """Wait for the jobs of a stopped sweep that still run on this machine."""
    if not jobs:
        return
    launcher = jobs[0].launcher
    if launcher.get("_target_") == SLURM:
        log.warning("the jobs that SLURM has go on: `squeue --me` lists them, `scancel` ends them")
        return
    if str(launcher.get("_target_")).endswith(".BasicLauncher"):  # its jobs have ended; what runs is another sweep's
        return
    shutdown_launcher(launcher)
    limit = time.monotonic() + SETTLE
    with suppress(KeyboardInterrupt):
        while time.monotonic() < limit and any(state_of(job) == "running" for job in jobs):
            time.sleep(0.1)
