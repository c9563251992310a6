"""What a command is, and its help text."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from omegaconf import DictConfig

from medseg.config import yaml_files
from medseg.sweeps.job import Planner


@dataclass(frozen=True)
class Command:
    """A command of the program: `medseg <name>`.

    Args:
        name: of the command, and of its primary configuration `conf/<name>.yaml`, with `_` for `-`.
        task: what the command does with the composed configuration.
        summary: one paragraph for `--help`.
        examples: command lines for `--help`.
        positional: the keys and groups that words without a key are the values of, in turn; the one that ends in `*`
            takes several.
        planner: tells which run a configuration means, for a command that makes run folders.
        program: `python -m <program>` starts the command; None for `medseg <name>`.
    """

    name: str
    task: Callable[[DictConfig], object]
    summary: str = ""
    examples: tuple[str, ...] = ()
    positional: tuple[str, ...] = ()
    planner: Planner | None = None
    program: tuple[str, ...] | None = None

    @property
    def arguments(self) -> tuple[str, ...]:
        """What stands after `python -m` to start the command."""
        return self.program or ("medseg", self.name)

    @property
    def title(self) -> str:
        """What the command is called on a command line."""
        return self.name.replace("_", "-")


def help_text(command: Command) -> str:
    """Write the help of a command: what it does, the groups with their options, the other keys, examples."""
    defaults, plain = yaml_files.primary(command.name)
    words = [f"{key.rstrip('*').upper()}{' ...' if key.endswith('*') else ''}" for key in command.positional]
    given = " ".join([*(f"[{word}]" for word in words), "[group=option ...]" if defaults else "", "[key=value ...]"])
    lines = [command.summary.strip(), "", f"usage: medseg {command.title} {' '.join(given.split())}", ""]
    if defaults:
        lines += ["Groups (group=option; * is the default; -m group=a,b runs every combination):"]
    for group, default in defaults.items():
        lines += ["", f"  {group}"]
        for option, description in yaml_files.options(group).items():
            mark = "*" if option == default else " "
            lines.append(f"   {mark} {option:<16} {description}")
    lines += ["", "Keys (key=value):", ""]
    lines += [f"    {key:<16} {text}" for key, text in plain.items()]
    lines += ["", "Examples:", "", *(f"    {example}" for example in command.examples), ""]
    lines += ["--cfg job prints the composed configuration; --cfg job --resolve with all values filled in."]
    return "\n".join(lines)
