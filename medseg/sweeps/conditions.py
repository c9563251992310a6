"""Overrides for some jobs of a multirun only: `sgd:optimizer.lr=0.02` counts where the optimizer is `sgd`."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig

from medseg.config import yaml_files
from medseg.config.overrides import normalize_overrides
from medseg.errors import ConfigError
from medseg.runs.defaults import choices_of

PATTERN = re.compile(
    r"(?:(\w+)=)?([A-Za-z_][\w-]*):(\+{0,2}[A-Za-z_][\w.@/]*=.*|~[A-Za-z_][\w.@/]*(?:=.*)?)", re.DOTALL
)
"""Group, option and override of `sgd:optimizer.lr=0.02` or `optimizer=sgd:optimizer.lr=0.02`."""


@dataclass(frozen=True)
class Condition:
    """An override, and the option that it needs.

    Args:
        text: as it is given.
        group: whose option; None for that of any group.
        option: of the group.
        override: `key=value`, or `key=value,value` for several jobs.
    """

    text: str
    group: str | None
    option: str
    override: str

    def applies(self, choices: Mapping[str, Any]) -> bool:
        """Tell whether a job with these choices, group -> option, has the override."""
        chosen = choices.values() if self.group is None else [choices.get(self.group)]
        return any(self.option in (each if isinstance(each, list) else [each]) for each in chosen)


def read_conditions(words: Iterable[str]) -> tuple[list[str], list[Condition]]:
    """Return the words of a command line that are for all jobs, and those that are for some.

    A name that networks and other groups have in common, such as `convunext`, is the network's.

    Raises `ConfigError` for any other option that several groups have.
    """
    groups = yaml_files.groups()
    plain: list[str] = []
    conditions: list[Condition] = []
    for word in words:
        match = None if os.path.exists(word) else PATTERN.fullmatch(word)  # noqa: PTH110 - any text
        if match is None or (match[1] is not None and match[1] not in groups):
            plain.append(word)
            continue
        group, option, override = match.groups()
        if group is None:
            having = [name for name in groups if option in yaml_files.options(name)]
            if len(having) > 1 and "model" not in having:
                forms = " or ".join(f"{name}={word}" for name in having)
                raise ConfigError(f"'{word}': {' and '.join(having)} have an option '{option}'; write {forms}")
            group = "model" if "model" in having else None
        conditions.append(Condition(word, group, option, override))
    return plain, conditions


def add_overrides(
    jobs: Sequence[Sequence[str]],
    of_file: Sequence[Condition],
    of_command: Sequence[Condition],
    loader: ConfigLoader,
    master: DictConfig,
) -> list[list[str]]:
    """Add to each job the overrides whose condition it fulfils; several values make several jobs.

    Args:
        jobs: the overrides of each job.
        of_file: conditions of `hydra.sweeper.params`; those of options that the command has left out are ignored.
        of_command: conditions of the command line.
        loader: Hydra's.
        master: the configuration of the multirun.

    Raises `ConfigError` for a condition of the command line that no job fulfils.
    """
    conditions = [*of_file, *of_command]
    parser = OverridesParser.create(config_loader=loader)
    used: set[Condition] = set()

    def extend(job: list[str], done: frozenset[Condition]) -> Iterator[list[str]]:
        try:
            choices = choices_of(loader.load_sweep_config(master, normalize_overrides(job)).hydra)
        except Exception:  # it is composed again when it is planned, which explains what is wrong
            yield job
            return
        applying = [condition for condition in conditions if condition not in done and condition.applies(choices)]
        if not applying:
            yield job
            return
        used.update(applying)
        overrides = parser.parse_overrides([condition.override for condition in applying])
        (batch,) = BasicSweeper.split_arguments(overrides, None)
        for extra in batch:  # which may choose what another condition needs
            yield from extend([*job, *extra], done.union(applying))

    extended = [whole for job in jobs for whole in extend(list(job), frozenset())]
    for condition in of_command:
        if condition not in used:
            raise ConfigError(f"'{condition.text}': no job has the option '{condition.option}'; no job was started")
    return extended
