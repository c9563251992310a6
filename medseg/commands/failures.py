"""The end of a command that fails: one line on standard error, and the exit code."""

from __future__ import annotations

import os
import select
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from omegaconf import DictConfig

from medseg.config import yaml_files
from medseg.config.explain import explain
from medseg.errors import ConfigError, UserError, printable
from medseg.system import signals
from medseg.system.os_errors import explain_os_error


@contextmanager
def exit_on_interrupt() -> Iterator[None]:
    """End the process as an interrupted one, in one line, wherever in it the interruption comes."""
    try:
        yield
    except KeyboardInterrupt:
        fail("interrupted", 130)
    finally:
        signals.ignore_further_signals()


def exit_with_error(error: Exception, config_name: str, words: Sequence[str], composed: Sequence[DictConfig]) -> None:
    """Explain an error in one line and end the process; return where nobody reads the output any more.

    Args:
        error: what was raised.
        config_name: the command's primary configuration.
        words: its command line.
        composed: its configuration, if it was composed.
    """
    if isinstance(error, UserError):
        fail(str(error), error.exit_code)
    if isinstance(error, BrokenPipeError) and stdout_is_closed():
        # Python would complain once more while it closes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return
    explanation = explain(error, config_name, words)
    if explanation is not None:
        fail(explanation, ConfigError.exit_code)
    if isinstance(error, OSError):
        fail(explain_os_error(error, output_options(config_name, composed, error.filename)), 1)
    fail(describe_unexpected(error), 1)


def fail(message: str, exit_code: int) -> NoReturn:
    """Print `message` as one line on standard error and end the process; MEDSEG_DEBUG=1 shows where it comes from."""
    if os.environ.get("MEDSEG_DEBUG"):
        traceback.print_exc()
    # In one piece, since the processes of a distributed run may fail at once.
    sys.stderr.write(f"error: {printable(' '.join(message.split()))}\n")
    sys.exit(exit_code)


def describe_unexpected(error: Exception) -> str:
    """Describe an error that no code expects, with the line that raised it."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if f"{os.sep}medseg{os.sep}" in frame.filename] or frames
    line = f"in {Path(ours[-1].filename).name}, line {ours[-1].lineno}; " if ours else ""
    return f"{type(error).__name__}: {error} ({line}MEDSEG_DEBUG=1 before the command shows all of it)"


def output_options(config_name: str, composed: Sequence[DictConfig], file: Any) -> list[str]:
    """Return the options that make a command write elsewhere: of the folder that a file is in, or of all folders.

    Args:
        config_name: of the command.
        composed: its configuration, if it was composed.
        file: what could not be written, if that is known.
    """
    keys = [key for key in ("output", "runs_dir", "data_dir") if key in yaml_files.top_level_keys(config_name)]
    folders = {key: cfg.get(key) for cfg in composed for key in keys}
    inside = [key for key, folder in folders.items() if isinstance(folder, str) and is_below(file, folder)]
    others = ["output"] if "output" in keys else keys
    is_file = " file " in yaml_files.primary(config_name)[1].get("output", "").partition(";")[0]
    return [f"{key}={'FILE' if key == 'output' and is_file else 'FOLDER'}" for key in inside or others]


def stdout_is_closed() -> bool:
    """Tell whether nobody reads standard output any more, as after `| head`."""
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))


def is_below(file: Any, folder: str) -> bool:
    """Tell whether a file is in a folder, or the folder itself or one that it is in."""
    if not isinstance(file, str | Path):
        return False
    path, parent = Path(file).absolute(), Path(folder).expanduser().absolute()
    return path.is_relative_to(parent) or parent.is_relative_to(path)
