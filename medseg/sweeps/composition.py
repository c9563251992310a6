"""The jobs of a multirun: every combination of the overrides, composed and checked before the first job begins."""

from __future__ import annotations

import copy
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice
from typing import Any

from hydra._internal.config_loader_impl import get_overrides_dirname
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_loader import ConfigLoader
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, open_dict, read_write

from medseg.config.explain import explain
from medseg.config.overrides import normalize_overrides
from medseg.errors import ConfigError, UserError
from medseg.runs.plan import RunPlan, settings_of
from medseg.sweeps import planned_config
from medseg.sweeps.conditions import Condition, add_overrides, read_conditions
from medseg.sweeps.job import Planner
from medseg.sweeps.planned_job import PlannedJob
from medseg.sweeps.tuning import Change

log = logging.getLogger(__name__)

SEED = re.compile(r"seed=(0|[1-9][0-9]*)")
"""The override of a seed."""

MOST_JOBS = 10_000
"""Jobs of a multirun; more are taken for a mistake, since all are composed before the first begins."""


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
        check_finished: warns where finished runs, which are not repeated, are not quite what is asked for.
    """

    program: tuple[str, ...]
    config_name: str
    check: Callable[[DictConfig], None]
    planner: Planner | None
    conditions: tuple[Condition, ...] = ()
    dry_run: Callable[[Sequence[PlannedJob], DictConfig], None] | None = None
    check_finished: Callable[[Sequence[RunPlan]], None] | None = None


class Composer:
    """Compose the jobs of a command.

    Args:
        command: which one.
        loader: of Hydra.
        config: of the multirun itself.
        params: `hydra.sweeper.params`, key -> values, before those of the command line.
    """

    def __init__(
        self, command: SweptCommand, loader: ConfigLoader, config: DictConfig, params: Mapping[Any, Any]
    ) -> None:
        self.command, self.loader, self.config = command, loader, config
        self.params = [f"{key!s}={values}" for key, values in params.items()]
        self.composed: dict[tuple[str, ...], DictConfig] = {}

    def combinations(self, arguments: list[str]) -> list[tuple[str, ...]]:
        """List the overrides of every job, from the command line and from `hydra.sweeper.params`."""
        parser = OverridesParser.create(config_loader=self.loader)
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
            batch = add_overrides(batch, conditions, self.command.conditions, self.loader, self.config)
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
                check_same_source(jobs[job.key], job)
                log.warning("the same run as another job, so left out: %s", " ".join(overrides))
            jobs.setdefault(job.key, job)
        return list(jobs.values())

    def compose(self, overrides: tuple[str, ...], change: Change | None = None) -> PlannedJob:
        """Compose one job, change its configuration, and plan its run."""
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
        seeds = [word for word in overrides if SEED.fullmatch(word)]
        if len(seeds) != 1 or sum(word.lstrip("+~").startswith("seed") for word in overrides) != 1:
            return self.loader.load_sweep_config(self.config, list(overrides))
        others = tuple(word for word in overrides if word != seeds[0])
        if others not in self.composed:
            self.composed[others] = self.loader.load_sweep_config(self.config, list(overrides))
        return with_seed(self.composed[others], overrides, int(seeds[0].partition("=")[2]))


def check_same_source(first: PlannedJob, other: PlannedJob) -> None:
    """Raise `ConfigError` where two jobs mean the same run with the data of two folders."""
    one, two = (settings_of(job.cfg, None)["data"].get("source") if job.plan else None for job in (first, other))
    if one != two:
        raise ConfigError(
            f"data.source has two values for one run, {one} and {two}; give those of each an experiment=...; no job "
            "was started"
        )


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
