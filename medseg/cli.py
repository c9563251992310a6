"""What the commands share: Hydra's start, the help text, one line for an error, the exit code."""

from __future__ import annotations

import functools
import io
import logging
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import hydra
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.plugins import Plugins
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import DictConfig

from medseg import config, interruption
from medseg.errors import ConfigError, UserError, printable
from medseg.runs.environment import is_first_process
from medseg.sweeps.job import Planner
from medseg.sweeps.sweep import SweptCommand, register

log = logging.getLogger("medseg")

DISK_HINT = "free some space, or choose a folder that can be written with runs_dir=... or data_dir=..."


class ExperimentsSearchPath(SearchPathPlugin):
    """Let Hydra find `+experiments=...` in the folder of that name, which lies beside `conf/`."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Append the folder that holds `experiments/`."""
        search_path.append(provider="medseg", path=f"file://{config.config_root()}")


@contextmanager
def interruptible() -> Iterator[None]:
    """End the process as an interrupted one, in one line, wherever in it the interruption comes."""
    try:
        yield
    except KeyboardInterrupt:
        fail("interrupted", 130)
    finally:
        interruption.take_no_notice()


@interruptible()
def run_command(
    task: Callable[[DictConfig], object],
    *,
    config_name: str,
    module: str,
    summary: str,
    examples: tuple[str, ...],
    planner: Planner | None = None,
    takes_runs: bool = False,
) -> None:
    """Run a command with the configuration that its command line composes; in a multirun, every combination.

    Args:
        task: what the command does with the composed configuration.
        config_name: its primary configuration, `conf/<config_name>.yaml`.
        module: how a job of a multirun is started: `python -m <module>`.
        summary: one paragraph for `--help`.
        examples: command lines for `--help`.
        planner: says which run a configuration means, for a command that leaves run folders.
        takes_runs: whether folders, given without a key, are the command's `runs`.

    Ends the process: 0 done, 1 a user's error or a failed job, 2 a wrong command line, 130 interrupted.
    """
    if {"--help", "-h"} & set(sys.argv[1:]):
        with suppress(BrokenPipeError):  # `--help | head`
            print(help_text(config_name, module, summary, examples), flush=True)
        return
    interruption.follow_supervisor()
    interruption.listen()
    set_up_logging()
    # As for `python -m`: a user's own classes are found in the folder the command is given in.
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    arguments = with_runs(sys.argv[1:]) if takes_runs else sys.argv[1:]
    sys.argv[1:] = config.as_meant(arguments)
    if planner is not None:
        # Not for every command: there, any folder beside `experiments/`, such as runs/, hides the key of its name.
        Plugins.instance().register(ExperimentsSearchPath)
    check = functools.partial(check_top_level, config_name=config_name)
    register(SweptCommand(module, config_name, check, planner))
    # Of the launchers in conf/hydra/, which their plugins describe as well.
    warnings.filterwarnings("ignore", message="(?s).*validated against ConfigStore schema.*")
    # Hydra then raises what it would otherwise print in its own many lines.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    failures: list[Exception] = []

    def job(cfg: DictConfig) -> None:
        # Kept for later: what leaves this function, Hydra announces in a line of its own.
        try:
            check(cfg)
            task(cfg)
        except Exception as error:
            failures.append(error)

    try:
        hydra.main(config_path=str(config.config_dir()), config_name=config_name, version_base="1.3")(job)()
        if failures:
            raise failures[0]
    except BrokenPipeError:
        # Whoever read the output has seen enough; Python would complain once more while it closes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        fail("interrupted", 130)
    except UserError as error:
        fail(str(error), error.exit_code)
    except Exception as error:
        explanation = config.explain(error, config_name, sys.argv[1:])
        if explanation is None and isinstance(error, OSError):
            fail(f"{error.filename or 'the disk'}: {error.strerror or error}; {DISK_HINT}", 1)
        if explanation is None:
            raise
        fail(explanation, ConfigError.exit_code)


def with_runs(arguments: Sequence[str]) -> list[str]:
    """Return command-line arguments as Hydra needs them to be: folders, given without a key, become `runs=[...]`."""
    folders = [word for word in arguments if "=" not in word and not word.startswith("-")]
    others = [word for word in arguments if word not in folders]
    if not folders:
        return others
    quoted = ("'" + folder.replace("\\", "\\\\").replace("'", "\\'") + "'" for folder in folders)
    return [*others, f"runs=[{','.join(quoted)}]"]


def fail(message: str, exit_code: int) -> None:
    """Print `message` as one line on standard error and end the process; MEDSEG_DEBUG=1 shows where it comes from."""
    if os.environ.get("MEDSEG_DEBUG"):
        traceback.print_exc()
    print(f"error: {printable(' '.join(message.split()))}", file=sys.stderr)
    sys.exit(exit_code)


def check_top_level(cfg: DictConfig, config_name: str) -> None:
    """Refuse what `+key=value` added beside the known keys and groups: it would have no effect.

    Raises `ConfigError`.
    """
    known = config.top_level_keys(config_name)
    for key in cfg:
        if key not in known:
            raise ConfigError(config.unknown_key(str(key), sorted(known)))


class Line(logging.Formatter):
    """Writes a message as a terminal can show it."""

    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))


def set_up_logging() -> None:
    """Send medseg's messages to standard error: in colour on a terminal, one line each elsewhere."""
    handler: logging.Handler
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names of files may be no text
    if sys.stderr.isatty():
        import rich
        from rich.logging import RichHandler

        # The console that the progress bar draws on as well, so that messages appear above the bar.
        rich.reconfigure(stderr=True)
        handler = RichHandler(console=rich.get_console(), show_path=False, show_time=False)
        handler.setFormatter(Line("%(message)s"))
    else:
        handler = logging.StreamHandler()
        handler.setFormatter(Line("%(levelname)s %(message)s"))
    log.handlers = [handler]
    # The further processes of a distributed run would only repeat the first.
    log.setLevel(logging.INFO if is_first_process() else logging.ERROR)
    log.propagate = False


def help_text(config_name: str, module: str, summary: str, examples: tuple[str, ...]) -> str:
    """Write the help of a command: what it does, the groups with their options, the other keys, examples."""
    defaults, plain = config.primary(config_name)
    lines = [summary.strip(), "", f"usage: python -m {module} [group=option ...] [key=value ...]", ""]
    if defaults:
        lines += ["Groups (group=option; * is the default; -m group=a,b runs every combination):"]
    for group, default in defaults.items():
        lines += ["", f"  {group}"]
        for option, description in config.options(group).items():
            mark = "*" if option == default else " "
            lines.append(f"   {mark} {option:<16} {description}")
    lines += ["", "Keys (key=value):", ""]
    lines += [f"    {key:<16} {text}" for key, text in plain.items()]
    lines += ["", "Examples:", "", *(f"    {example}" for example in examples), ""]
    lines += ["--cfg job prints the composed configuration; --cfg job --resolve with all values filled in."]
    return "\n".join(lines)
