"""A multirun: its jobs planned before the first begins, isolated while they run, accounted for at the end."""

from __future__ import annotations

import copy
import logging
import re
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from itertools import islice

from hydra._internal.config_loader_impl import get_overrides_dirname
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper, BasicSweeperConf
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.plugins import Plugins
from hydra.core.utils import JobStatus
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from medseg.config.explain import explain
from medseg.config.overrides import normalize_overrides
from medseg.errors import ConfigError, UserError
from medseg.sweeps import planned_config
from medseg.sweeps.conditions import Condition, add_overrides, read_conditions
from medseg.sweeps.job import IsolatedJob, Planner
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
from medseg.sweeps.outcome import Outcome, count, report
from medseg.sweeps.planned_job import PlannedJob, lost_job_outcome, or_finished_elsewhere, state_of
from medseg.sweeps.tuning import Change, expected_jobs, is_tuned, tune
from medseg.system.bf16 import may_depend_on_bf16, share_bf16_speedup

log = logging.getLogger(__name__)

SEED = re.compile(r"seed=(0|[1-9][0-9]*)")
"""The override of a seed."""

MOST_JOBS = 10_000
"""Jobs of a multirun; more are taken for a mistake, since all are composed before the first begins."""

SETTLE = 30.0
"""Seconds that a stopped sweep waits for jobs in a launcher's processes to record that they are interrupted."""


@dataclass(frozen=True)
class SweptCommand:
    """What a multirun repeats.

    Args:
        program: how a job is started: `python -m <program>`.
        config_name: of its primary configuration.
        check: raises `UserError` for an invalid configuration.
        planner: tells which run a configuration means; None for a command without run folders.
        conditions: overrides of the command line for some of the jobs.
        dry_run: prints what the jobs would do, given them and the launcher's configuration; None for a command that
            has no `dry_run`.
    """

    program: tuple[str, ...]
    config_name: str
    check: Callable[[DictConfig], None]
    planner: Planner | None
    conditions: tuple[Condition, ...] = ()
    dry_run: Callable[[Sequence[PlannedJob], DictConfig], None] | None = None


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
        self.composed: dict[tuple[str, ...], DictConfig] = {}
        self.params = [f"{key!s}={values}" for key, values in (params or {}).items()]

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Take what Hydra gives; launchers are made when it is known what the jobs need."""
        check_installed(config.hydra.launcher, list(Plugins.instance().class_name_to_class))
        check_sweep(config.hydra)
        self.hydra_context, self.config = hydra_context, config
        HydraConfig.instance().set_config(config.copy())  # which makes it read-only
        _ = config.hydra.sweep.dir  # the time in it is now that of all jobs

    def sweep(self, arguments: list[str]) -> None:
        """Run every job that is not finished; with `dry_run`, print what that would be.

        Raises `UserError` before the first job for a combination that cannot be composed, and after the last one where
        any is not finished.
        """
        combinations = self.combinations(arguments)
        if len({word for words in combinations for word in words if word.startswith("dry_run=")}) > 1:
            raise ConfigError("dry_run has several values; give one for all jobs; no job was started")
        jobs = self.plan(combinations)
        written = {of.override.lstrip("+~").partition("=")[0]: of.text for of in self.command.conditions}
        if self.command.dry_run is not None and any(job.cfg.dry_run for job in jobs):
            assert self.config is not None
            self.command.dry_run(expected_jobs(jobs, self.plan, written), self.config.hydra.launcher)
            return
        self.check_data(jobs)
        unfinished: list[Outcome] = []
        if any(map(is_tuned, jobs)):
            self.of_many = True
            jobs, unfinished = tune(jobs, self.plan, self.run, written)
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
        if any(has_measured_precision(job) for job in due):
            share_bf16_speedup()
        try:
            outcomes = self.launch(due)
        except KeyboardInterrupt:
            wait_for_jobs(due)
            log.warning("stopped: %s; the same command goes on", count(map(state_of, jobs)))
            raise
        return [*outcomes, *(Outcome(job.name, "finished") for job in finished)]

    def combinations(self, arguments: list[str]) -> list[tuple[str, ...]]:
        """List the overrides of every job, from the command line and from `hydra.sweeper.params`."""
        assert self.hydra_context is not None
        assert self.config is not None
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        params, conditions = read_conditions(self.params)
        overrides = parser.parse_overrides([*params, *arguments])
        jobs = 1
        for override in filter(Override.is_discrete_sweep, overrides):
            jobs *= sum(1 for _ in islice(override.sweep_iterator(), MOST_JOBS + 1))
            if not jobs:
                raise ConfigError(f"'{override.input_line}' matches nothing; no job was started")
            if jobs > MOST_JOBS:
                raise ConfigError(f"'{override.input_line}' makes more than {MOST_JOBS:,} jobs; no job was started")
        (batch,) = BasicSweeper.split_arguments(overrides, None)
        if conditions or self.command.conditions:
            loader = self.hydra_context.config_loader
            batch = add_overrides(batch, conditions, self.command.conditions, loader, self.config)
        return [tuple(normalize_overrides(job)) for job in batch]

    def plan(self, combinations: Sequence[tuple[str, ...]], change: Change | None = None) -> list[PlannedJob]:
        """Compose every job, with a change of its configuration; combinations that mean the same run are one job.

        Raises `UserError`: a misspelt word is reported now, not after hours.
        """
        jobs: dict[str, PlannedJob] = {}
        for number, overrides in enumerate(combinations, 1):
            try:
                job = self.compose(overrides, change)
            except Exception as error:
                text = str(error) if isinstance(error, UserError) else None
                text = text or explain(error, self.command.config_name, list(overrides))
                if text is None:
                    raise
                where = f"; no job was started: number {number} of {len(combinations)} is {' '.join(overrides)}"
                kind = UserError if type(error) is UserError else ConfigError
                raise kind(f"{text}{where if len(combinations) > 1 else ''}") from error
            if job.key in jobs:
                log.warning("the same run as another job, so left out: %s", " ".join(overrides))
            jobs.setdefault(job.key, job)
        return list(jobs.values())

    def compose(self, overrides: tuple[str, ...], change: Change | None = None) -> PlannedJob:
        """Compose one job, change its configuration, and find out which run it means."""
        assert self.hydra_context is not None
        assert self.config is not None
        composed = self.load(overrides)
        if change is not None:
            change(composed)
        HydraConfig.instance().set_config(composed)
        planned_config.resolve_values(composed)
        launcher, cfg = composed.hydra.launcher, composed.copy()
        with open_dict(cfg):
            del cfg["hydra"]
        self.command.check(cfg)
        plan = self.command.planner(cfg, composed.hydra) if self.command.planner else None
        packed = "" if cfg.get("dry_run") else planned_config.pack(composed)
        return PlannedJob(overrides, cfg, packed, launcher, plan)

    def load(self, overrides: tuple[str, ...]) -> DictConfig:
        """Compose a configuration; one that differs from an earlier one in its seed alone is made from that.

        Hydra takes a tenth of a second for one, and a sweep has several seeds of everything.
        """
        assert self.hydra_context is not None
        assert self.config is not None
        loader = self.hydra_context.config_loader
        seeds = [word for word in overrides if SEED.fullmatch(word)]
        if len(seeds) != 1 or sum(word.lstrip("+~").startswith("seed") for word in overrides) != 1:
            return loader.load_sweep_config(self.config, list(overrides))
        others = tuple(word for word in overrides if word != seeds[0])
        if others not in self.composed:
            self.composed[others] = loader.load_sweep_config(self.config, list(overrides))
        return with_seed(self.composed[others], overrides, int(seeds[0].partition("=")[2]))

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


def with_seed(composed: DictConfig, overrides: Sequence[str], seed: int) -> DictConfig:
    """Return a copy of a composed configuration with another seed, and with these overrides as those of the task."""
    result = copy.deepcopy(composed)
    result.seed = seed
    names = result.hydra.job.config.override_dirname
    given = [parse_override(word) for word in overrides]
    with read_write(result.hydra):
        result.hydra.overrides.task = list(overrides)
        result.hydra.job.override_dirname = get_overrides_dirname(
            given, kv_sep=names.kv_sep, item_sep=names.item_sep, exclude_keys=names.exclude_keys
        )
    return result


@cache
def parse_override(word: str) -> Override:
    """Parse a word of a command line as Hydra does."""
    return OverridesParser.create().parse_override(word)


def is_finished(job: PlannedJob) -> bool:
    """Tell whether a job is finished already and not to be repeated."""
    return job.plan is not None and job.plan.finished and not job.plan.repeated


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
