"""Options of Hydra's command line that a multirun, or any command, cannot follow: refused at once."""

from __future__ import annotations

import re
from collections.abc import Sequence

from hydra._internal.utils import get_args_parser
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from medseg.config import yaml_files
from medseg.errors import ConfigError

PLUGIN = re.compile(r"\+*hydra\.(launcher|sweeper)\._target_=")
"""A launcher or sweeper given by its class."""

MODES = ("run", "multirun", "cfg", "info", "shell_completion")
"""Options that select what Hydra does."""


def check_options(arguments: Sequence[str], config_name: str) -> None:
    """Refuse options that Hydra would drop without a word, or answer with a traceback.

    Args:
        arguments: of the command line.
        config_name: of the primary configuration of the command.

    Raises `ConfigError`.
    """
    given, _ = get_args_parser().parse_known_args(list(arguments))
    if given.experimental_rerun is not None:
        raise ConfigError(
            "--experimental-rerun: such a file is a pickle, which may run anything, and its run is not one that medseg "
            "plans; give the command itself again"
        )
    others = {file.stem for file in yaml_files.config_dir().glob("*.yaml")} - {config_name}
    if given.config_name in others:
        raise ConfigError(f"--config-name {given.config_name}: that is another command, medseg {given.config_name}")
    plugin = next((word for word in given.overrides if PLUGIN.match(word)), None)
    if plugin is not None:
        raise ConfigError(f"{plugin}: choose by its name which launcher starts the jobs: hydra/launcher=ray")
    modes = [f"--{name.replace('_', '-')}" for name in MODES if getattr(given, name)]
    if len(modes) > 1:
        raise ConfigError(f"{' and '.join(modes)} cannot be given together")
    for name in ("package", "resolve"):
        if getattr(given, name) and not given.cfg:
            raise ConfigError(f"--{name} changes how --cfg shows the configuration; add --cfg job, or leave it out")


def check_sweep(hydra_config: DictConfig) -> None:
    """Refuse what Hydra can do with jobs in its process, and not with medseg's, which are separate processes.

    Raises `ConfigError`.
    """
    if hydra_config.job.chdir:
        raise ConfigError("hydra.job.chdir=true: a job works in the folder that the sweep is started in; leave it out")


def check_sweeper() -> None:
    """Refuse a multirun in this process, which is that of another sweeper than medseg's.

    Raises `ConfigError`.
    """
    if HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN:
        raise ConfigError("hydra/sweeper: medseg's jobs are those of the basic sweeper; leave this option out")
