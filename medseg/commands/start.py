"""The start of a command: its words, Hydra's start, its configuration checked, its end."""

from __future__ import annotations

import functools
import os
import sys
import warnings
from contextlib import suppress
from pathlib import Path

import hydra
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.plugins import Plugins
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import DictConfig

from medseg.commands.command import Command, help_text
from medseg.commands.failures import exit_on_interrupt, exit_with_error, fail
from medseg.config import yaml_files
from medseg.config.explain import unknown_key
from medseg.config.override_checks import check_overrides
from medseg.config.overrides import add_keys, normalize_overrides, split
from medseg.config.tuning import is_searched
from medseg.errors import ConfigError
from medseg.sweeps.composition import SweptCommand
from medseg.sweeps.conditions import read_conditions
from medseg.sweeps.options import check_options, check_sweeper
from medseg.sweeps.planned_config import read_planned_config
from medseg.sweeps.sweep import register
from medseg.system import signals
from medseg.system.logs import set_up_logging


class ExperimentsSearchPath(SearchPathPlugin):
    """Let Hydra find `+experiments=...` in the folder of that name, which lies beside `conf/`."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Append the folder that holds `experiments/`."""
        search_path.append(provider="medseg", path=f"file://{yaml_files.config_root()}")


@exit_on_interrupt()
def run_command(command: Command) -> None:
    """Run a command with the configuration that its command line composes; in a multirun, every combination.

    Ends the process: 0 done, 1 a user's error or a failed job, 2 an invalid command line, 75 another process works on
    the same, 130 interrupted.
    """
    if {"--help", "-h"} & set(sys.argv[1:]):
        with suppress(BrokenPipeError):  # `--help | head`
            print(help_text(command), flush=True)
        return
    signals.exit_with_parent()
    signals.install_signal_handlers()
    set_up_logging()
    planned = read_planned_config(command.arguments)
    # As for `python -m`: custom classes are imported from the folder the command is given in.
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        words, flags = split(sys.argv[1:])
        words, conditions = read_conditions(words)
        if conditions and not {"-m", "--multirun"} & set(flags):
            raise ConfigError(f"'{conditions[0].text}' is for some jobs of a multirun: add -m, or leave out the option")
        words = normalize_overrides(add_keys(words, command.positional, command.name))
        check_overrides(words, command.name)
    except ConfigError as error:
        fail(str(error), error.exit_code)
    # All words in one row: argparse, which Hydra uses, does not take words after a flag as positional arguments.
    sys.argv[1:] = [*words, *flags]
    if command.planner is not None:
        # Not for every command: there, any folder beside `experiments/`, such as runs/, hides the key of its name.
        Plugins.instance().register(ExperimentsSearchPath)
    check = functools.partial(check_configuration, config_name=command.name)
    register(
        SweptCommand(
            command.arguments,
            command.name,
            check,
            command.planner,
            tuple(conditions),
            command.dry_run,
            command.check_finished,
        )
    )
    # Of the launchers in conf/hydra/, which their plugins describe as well.
    warnings.filterwarnings("ignore", message="(?s).*validated against ConfigStore schema.*")
    # Hydra then raises what it would otherwise print in many lines.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    failures: list[Exception] = []
    composed: list[DictConfig] = []

    def job(cfg: DictConfig) -> None:
        # Kept for later: Hydra announces an exception that leaves this function in an additional line.
        try:
            check_sweeper()
            command.check_required(cfg)
            check(cfg)
            composed.append(cfg)
            if planned is None and is_searched(cfg.get("tuning")):
                return
            command.task(cfg)
        except Exception as error:
            failures.append(error)

    try:
        check_options(sys.argv[1:], command.name)
        run = hydra.main(config_path=str(yaml_files.config_dir()), config_name=command.name, version_base="1.3")(job)
        run(planned)
        if not failures and planned is None and composed and is_searched(composed[0].get("tuning")):
            sys.argv.append("--multirun")  # the trials, then the run
            run(planned)
        if failures:
            raise failures[0]
    except Exception as error:
        exit_with_error(error, command.name, words, composed)


def check_configuration(cfg: DictConfig, config_name: str) -> None:
    """Refuse unknown keys and invalid values, before anything is loaded.

    Raises `ConfigError`, and what OmegaConf raises for a value that refers to one that is not there.
    """
    from medseg.config.checks.check import check  # not above: --help needs none of it

    known = yaml_files.top_level_keys(config_name)
    for key in cfg:
        if key not in known:  # what `+key=value` added would have no effect
            raise ConfigError(unknown_key(str(key), sorted(known)))
    check(cfg, config_name)
