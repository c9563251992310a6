"""What the commands share: Hydra's start, the help text, one line for an error, the exit code."""

from __future__ import annotations

import functools
import io
import logging
import os
import select
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn

import hydra
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.plugins import Plugins
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import DictConfig

from medseg import config, interruption
from medseg.errors import ConfigError, UserError, printable
from medseg.meanings import explain, unknown_key
from medseg.refusals import explain_os_error
from medseg.runs.environment import is_first_process
from medseg.sweeps.handed import handed
from medseg.sweeps.job import Planner
from medseg.sweeps.options import check_options, check_sweeper
from medseg.sweeps.sweep import SweptCommand, register
from medseg.words import as_meant, check_words, split, with_runs

log = logging.getLogger("medseg")


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

    Ends the process: 0 done, 1 a user's error or a failed job, 2 a wrong command line, 75 another process is at it,
    130 interrupted.
    """
    if {"--help", "-h"} & set(sys.argv[1:]):
        with suppress(BrokenPipeError):  # `--help | head`
            print(help_text(config_name, module, summary, examples), flush=True)
        return
    interruption.follow_supervisor()
    interruption.listen()
    set_up_logging()
    planned = handed(module)
    # As for `python -m`: a user's own classes are found in the folder the command is given in.
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        words, flags = split(sys.argv[1:])
        words = as_meant(with_runs(words) if takes_runs else words)
        check_words(words, config_name)
    except ConfigError as error:
        fail(str(error), error.exit_code)
    # All words in one row: argparse, which Hydra uses, does not know those that come after a flag as its own.
    sys.argv[1:] = [*words, *flags]
    if planner is not None:
        # Not for every command: there, any folder beside `experiments/`, such as runs/, hides the key of its name.
        Plugins.instance().register(ExperimentsSearchPath)
    check = functools.partial(check_configuration, config_name=config_name)
    register(SweptCommand(module, config_name, check, planner))
    # Of the launchers in conf/hydra/, which their plugins describe as well.
    warnings.filterwarnings("ignore", message="(?s).*validated against ConfigStore schema.*")
    # Hydra then raises what it would otherwise print in its own many lines.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    failures: list[Exception] = []
    composed: list[DictConfig] = []

    def job(cfg: DictConfig) -> None:
        # Kept for later: what leaves this function, Hydra announces in a line of its own.
        try:
            check_sweeper()
            check(cfg)
            composed.append(cfg)
            task(cfg)
        except Exception as error:
            failures.append(error)

    try:
        check_options(sys.argv[1:], config_name)
        hydra.main(config_path=str(config.config_dir()), config_name=config_name, version_base="1.3")(job)(planned)
        if failures:
            raise failures[0]
    except UserError as error:
        fail(str(error), error.exit_code)
    except Exception as error:
        if isinstance(error, BrokenPipeError) and reader_has_gone():
            # Whoever read the output has seen enough; Python would complain once more while it closes.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return
        explanation = explain(error, config_name, words)
        if explanation is not None:
            fail(explanation, ConfigError.exit_code)
        if isinstance(error, OSError):
            fail(explain_os_error(error, elsewhere(config_name, composed, error.filename)), 1)
        fail(unexpected(error), 1)


def fail(message: str, exit_code: int) -> NoReturn:
    """Print `message` as one line on standard error and end the process; MEDSEG_DEBUG=1 shows where it comes from."""
    if os.environ.get("MEDSEG_DEBUG"):
        traceback.print_exc()
    print(f"error: {printable(' '.join(message.split()))}", file=sys.stderr)
    sys.exit(exit_code)


def unexpected(error: Exception) -> str:
    """Say what was raised where, of an error that nobody foresaw."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if f"{os.sep}medseg{os.sep}" in frame.filename] or frames
    place = f"in {Path(ours[-1].filename).name}, line {ours[-1].lineno}; " if ours else ""
    return f"{type(error).__name__}: {error} ({place}MEDSEG_DEBUG=1 before the command shows all of it)"


def elsewhere(config_name: str, composed: Sequence[DictConfig], file: Any) -> list[str]:
    """Return the words that tell a command to write elsewhere: of the folder that a file is in, or of all.

    Args:
        config_name: of the command.
        composed: its configuration, if it came to that.
        file: what could not be written, if that is known.
    """
    keys = [key for key in ("output", "runs_dir", "data_dir") if key in config.top_level_keys(config_name)]
    places = {key: cfg.get(key) for cfg in composed for key in keys}
    inside = [key for key, place in places.items() if isinstance(place, str) and is_below(file, place)]
    others = ["output"] if "output" in keys else keys
    is_file = " file " in config.primary(config_name)[1].get("output", "").partition(";")[0]
    return [f"{key}={'FILE' if key == 'output' and is_file else 'FOLDER'}" for key in inside or others]


def reader_has_gone() -> bool:
    """Tell whether nobody reads standard output any more, as after `| head`."""
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))


def is_below(file: Any, folder: str) -> bool:
    """Tell whether a file is in a folder, or the folder itself or one that it is in."""
    if not isinstance(file, str | Path):
        return False
    path, place = Path(file).absolute(), Path(folder).expanduser().absolute()
    return path.is_relative_to(place) or place.is_relative_to(path)


def check_top_level(cfg: DictConfig, config_name: str) -> None:
    """Refuse what `+key=value` added beside the known keys and groups: it would have no effect.

    Raises `ConfigError`.
    """
    known = config.top_level_keys(config_name)
    for key in cfg:
        if key not in known:
            raise ConfigError(unknown_key(str(key), sorted(known)))


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


def check_configuration(cfg: DictConfig, config_name: str) -> None:
    """Refuse unknown keys and values that cannot be, before anything is loaded.

    Raises `ConfigError`, and what OmegaConf raises for a value that refers to one that is not there.
    """
    from medseg.settings.check import check  # not above: --help needs none of it

    check_top_level(cfg, config_name)
    check(cfg, config_name)


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
