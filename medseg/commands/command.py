"""What a command is, and its help text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig, OmegaConf

from medseg.config import yaml_files
from medseg.config.yaml_files import command_title
from medseg.errors import ConfigError
from medseg.runs.plan import RunPlan
from medseg.sweeps.job import Planner
from medseg.sweeps.planned_job import PlannedJob


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
        dry_run: prints what the jobs of a multirun would do, given them and the launcher's configuration.
        check_finished: warns where finished runs, which are not repeated, are not quite what is asked for.
    """

    name: str
    task: Callable[[DictConfig], object]
    summary: str = ""
    examples: tuple[str, ...] = ()
    positional: tuple[str, ...] = ()
    planner: Planner | None = None
    program: tuple[str, ...] | None = None
    dry_run: Callable[[Sequence[PlannedJob], DictConfig], None] | None = None
    check_finished: Callable[[Sequence[RunPlan]], None] | None = None

    @property
    def arguments(self) -> tuple[str, ...]:
        """What stands after `python -m` to start the command."""
        return self.program or ("medseg", self.name)

    @property
    def title(self) -> str:
        """What the command is called on a command line."""
        return command_title(self.name)

    @property
    def usage(self) -> str:
        """The command with the words that need no key, those that may be left out in brackets."""
        required = missing_keys(OmegaConf.load(yaml_files.config_dir() / f"{self.name}.yaml"))
        words = []
        for key in self.positional:
            word = f"{key.rstrip('*').upper()}{' ...' if key.endswith('*') else ''}"
            words.append(word if key.rstrip("*") in required else f"[{word}]")
        return " ".join(["medseg", self.title, *words])

    def check_required(self, cfg: DictConfig) -> None:
        """Raise `ConfigError` where a word that the command needs is not given."""
        missing = [key for key in self.positional if key.rstrip("*") in missing_keys(cfg)]
        if missing:
            raise ConfigError(f"'{missing[0].rstrip('*')}' has no value; write {self.usage}")


def missing_keys(cfg: Any) -> set[str]:
    """Return the top-level keys of a configuration that have no value."""
    return {str(key) for key in cfg if OmegaConf.is_missing(cfg, key)}


def help_text(command: Command) -> str:
    """Write the help of a command: what it does, the groups with their options, the other keys, examples."""
    defaults, plain = yaml_files.primary(command.name)
    options = f"{'[group=option ...] ' if defaults else ''}[key=value ...]"
    lines = [command.summary.strip(), "", f"usage: {command.usage} {options}", ""]
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
