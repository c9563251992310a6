"""Options of Hydra's command line that a multirun, or any command, cannot follow: refused at once."""

from __future__ import annotations

from collections.abc import Sequence

from hydra._internal.utils import get_args_parser
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from medseg.errors import ConfigError

MODES = ("run", "multirun", "cfg", "info", "shell_completion")
"""Options that say what Hydra is to do."""


def check_options(arguments: Sequence[str]) -> None:
    """Refuse options that Hydra would drop without a word, or answer with a traceback.

    Raises `ConfigError`.
    """
    given, _ = get_args_parser().parse_known_args(list(arguments))
    if given.experimental_rerun is not None:
        raise ConfigError(
            "--experimental-rerun: such a file is a pickle, which may run anything, and its run is not one that medseg "
            "plans; give the command itself again"
        )
    modes = [f"--{name.replace('_', '-')}" for name in MODES if getattr(given, name)]
    if len(modes) > 1:
        raise ConfigError(f"{' and '.join(modes)} cannot be given together")
    for name in ("package", "resolve"):
        if getattr(given, name) and not given.cfg:
            raise ConfigError(f"--{name} says how --cfg shows the configuration; add --cfg job, or leave it out")


def check_sweep(hydra_config: DictConfig) -> None:
    """Refuse what Hydra does with its own jobs and cannot do with medseg's, which are processes.

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
