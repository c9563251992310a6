"""The program: `medseg <command> ...`, which is also `python -m medseg <command> ...`."""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import pkgutil
import re
import runpy
import sys

from medseg import __version__, commands
from medseg.config import yaml_files
from medseg.config.overrides import add_keys
from medseg.config.yaml_files import command_title
from medseg.errors import close_matches

COMPLETION = ("--shell-completion", "-sc")


def command_names() -> list[str]:
    """List the commands, `train` first: each is a module of `medseg.commands` with a file `conf/<command>.yaml`."""
    modules = {module.name for module in pkgutil.iter_modules(commands.__path__)}
    files = {file.stem for file in yaml_files.config_dir().glob("*.yaml")}
    return sorted(modules & files, key=lambda name: (name != "train", name))


def help_text() -> str:
    """Write what commands there are."""
    lines = ["usage: medseg COMMAND ...", ""]
    for name in command_names():
        summary = yaml_files.describe(yaml_files.config_dir() / f"{name}.yaml")
        lines.append(f"  {command_title(name):<18} {summary}")
    return "\n".join([*lines, "", "medseg COMMAND --help describes one."])


def complete(arguments: list[str]) -> None:
    """Print what a shell may complete, or the lines that make it ask: `eval "$(medseg -sc install=bash)"`."""
    sys.argv = ["medseg", *arguments]  # Hydra asks the shell to complete the words after this name
    if "query=bash" not in arguments:
        if not any("=" in argument for argument in arguments):
            print("error: write --shell-completion install=bash, query=bash or uninstall=bash", file=sys.stderr)
            sys.exit(2)
        importlib.import_module("medseg.commands.train").main()
        return
    words = re.split(" +", os.environ.get("COMP_LINE", ""))
    names = [command_title(name) for name in command_names()]
    if len(words) < 3:
        print(" ".join(names))
    elif words[1] in names:
        with contextlib.redirect_stderr(io.StringIO()):  # what is wrong with a word is nothing for the prompt
            complete_words(words[1].replace("-", "_"), words[2:-1], words[-1])


def complete_words(name: str, words: list[str], last: str) -> None:
    """Print what may complete the last word of a command's line."""
    module = importlib.import_module(f"medseg.commands.{name}")
    flags = [word for word in words if word.startswith("-")]
    keyed = add_keys([word for word in words if not word.startswith("-")], module.COMMAND.positional, name)
    given = [word.partition("=")[0] for word in keyed]
    free = [key for key in module.COMMAND.positional if key.rstrip("*") not in given or key.endswith("*")]
    if free and "=" not in last:
        group = {"models*": "model"}.get(free[0], free[0])
        known = yaml_files.options(group) if group in yaml_files.groups() else {}
        start, comma, part = last.rpartition(",")
        print(" ".join(f"{start}{comma}{option}" for option in known if option.startswith(part)))
    # Hydra completes a line that begins with a program and goes on with overrides.
    line = " ".join(["medseg", *flags, *keyed, last])
    os.environ.update(COMP_LINE=line, COMP_POINT=str(len(line)))
    module.main()


def start(name: str, arguments: list[str]) -> None:
    """Run a command with the arguments of a command line."""
    sys.argv[1:] = arguments
    if name == "train":
        # As `python -m medseg.train`: Lightning starts the further processes of a distributed run that way.
        runpy.run_module("medseg.train", run_name="__main__", alter_sys=True)
    else:
        importlib.import_module(f"medseg.commands.{name}").main()


def main() -> None:
    """Start from the command line."""
    first, *rest = sys.argv[1:] or ["--help"]
    name = first.replace("-", "_")
    if first in ("--help", "-h", "help") and rest and rest[0].replace("-", "_") in command_names():
        start(rest[0].replace("-", "_"), ["--help"])
    elif first in ("--help", "-h", "help"):
        print(help_text())
    elif first == "--version":
        print(f"medseg {__version__}")
    elif first.partition("=")[0] in COMPLETION:
        complete(sys.argv[1:])
    elif name in command_names():
        start(name, rest)
    else:
        hint = close_matches(first, [command_title(known) for known in command_names()])
        trains = "=" in first or any(first in yaml_files.options(group) for group in ("model", "data"))
        advice = f"write medseg train {first}" if trains else "medseg alone lists the commands"
        print(f"error: unknown command '{first}'{hint if hint and not trains else f'; {advice}'}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
