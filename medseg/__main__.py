"""The program: `medseg <command> ...`, which is also `python -m medseg <command> ...`."""

from __future__ import annotations

import importlib
import os
import pkgutil
import runpy
import sys

from medseg import __version__, commands
from medseg.config import yaml_files
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
        lines.append(f"  {name.replace('_', '-'):<18} {summary}")
    return "\n".join([*lines, "", "medseg COMMAND --help describes one."])


def complete(arguments: list[str]) -> None:
    """Print what a shell may complete, or the lines that make it ask: `eval "$(medseg -sc install=bash)"`."""
    line = os.environ.get("COMP_LINE", "")
    words = line.split(" ")
    if "query=bash" in arguments and len(words) < 3:
        print(" ".join(name.replace("_", "-") for name in command_names()))
        return
    name = words[1].replace("-", "_") if len(words) > 2 else "train"
    if name not in command_names():
        return
    # Hydra completes a line that begins with a program and goes on with overrides.
    rest = " ".join([words[0], *words[2:]])
    os.environ["COMP_LINE"] = rest
    os.environ["COMP_POINT"] = str(int(os.environ.get("COMP_POINT", 0)) - (len(line) - len(rest)))
    sys.argv = ["medseg", *arguments]  # Hydra asks the shell to complete the words after this name
    importlib.import_module(f"medseg.commands.{name}").main()


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
    if first in ("--help", "-h", "help"):
        print(help_text())
    elif first == "--version":
        print(f"medseg {__version__}")
    elif first.partition("=")[0] in COMPLETION:
        complete(sys.argv[1:])
    elif name in command_names():
        start(name, rest)
    else:
        hint = close_matches(first, [known.replace("_", "-") for known in command_names()])
        advice = f"write medseg train {first}" if "=" in first else "medseg alone lists the commands"
        print(f"error: unknown command '{first}'{hint or f'; {advice}'}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
