"""What is wrong with a word of a command line, `key=value`, before anything is composed."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Override
from hydra.errors import HydraException

from medseg.config import yaml_files
from medseg.errors import ConfigError

SEVERAL = ("callbacks", "logger", "metrics")
"""Groups of which several options can be chosen at once, each under a different key."""


def check_overrides(words: Sequence[str], config_name: str) -> None:
    """Refuse what Hydra refuses without advice, or accepts without effect.

    Raises `ConfigError`.
    """
    parser = OverridesParser.create()
    for word in words:
        try:
            override = parser.parse_override(word)
        except HydraException:
            raise ConfigError(unreadable(word)) from None
        key = override.key_or_group
        if not key:
            raise ConfigError(unreadable(word))
        top = key.partition(".")[0]
        if top != key and top in yaml_files.primary(config_name)[1] and top != "tuning":
            raise ConfigError(f"'{word}': '{top}' takes no keys; give {top}=...")
        if override.is_delete() and key in yaml_files.top_level_keys(config_name):
            raise ConfigError(
                f"'{word}' removes what medseg {yaml_files.command_title(config_name)} needs; {to_choose(key)}"
            )
        if key in yaml_files.groups() or key == "hydra" or "/" in key:
            check_group(override, config_name)


def check_group(override: Override, config_name: str) -> None:
    """Refuse a choice of an option that is none. Raises `ConfigError`."""
    group, word = override.key_or_group, str(override.input_line)
    chosen = yaml_files.primary(config_name)[0]
    if group not in chosen and group in yaml_files.groups():
        raise ConfigError(other_group(group, config_name))
    if override.is_delete():
        return
    if (override.is_add() or override.is_force_add()) and group in chosen and override.package is None:
        raise ConfigError(f"'{group}' is chosen already: write {word.lstrip('+')} without the +")
    for value in values_of(override):
        check_option(group, value, word)


def check_option(group: str, value: Any, word: str) -> None:
    """Refuse what names no option of a group. Raises `ConfigError`."""
    if isinstance(value, list) and group in SEVERAL:
        if value and all(isinstance(one, str) and one for one in value) and len(set(value)) == len(value):
            return
        raise ConfigError(f"'{word}' must name options, each once; {to_choose(group)}")
    if isinstance(value, list) and len(value) > 1:
        several = ",".join(map(str, value))
        raise ConfigError(f"'{word}': there is one '{group}' at a time; -m {group}={several} runs each in turn")
    if not isinstance(value, str) or not value:
        raise ConfigError(f"'{word}' must name an option; {to_choose(group)}")


def values_of(override: Override) -> Iterator[Any]:
    """Yield the value of a word, or each one that a sweep takes in turn; none of a pattern or a range."""
    if not override.is_sweep_override():
        yield override.value()
    elif isinstance(override._value, ChoiceSweep):
        yield from override._value.list


def to_choose(group: str) -> str:
    """Describe how an option of a group is chosen, and how none."""
    known = list(yaml_files.options(group)) if (yaml_files.config_dir() / group).is_dir() else []
    none = "csv" if group == "logger" else "none"
    off = f" ({group}={none} for none)" if none in known else ""
    return f"choose one with {group}=...{off}: {', '.join(known)}" if known else "leave the word out"


def other_group(group: str, config_name: str) -> str:
    """Return the message that a command has no such group, with those that it has and the commands that have it."""
    keys = yaml_files.plain_keys(config_name, group)
    if keys:
        command = yaml_files.command_title(config_name)
        return f"'{group}' is no group of medseg {command}: give its keys, such as {group}.{keys[-1]}=..."
    ours = [name for name in yaml_files.primary(config_name)[0] if name in yaml_files.groups()]
    has = f"; it has {', '.join(ours)}" if ours else ""
    files = sorted(yaml_files.config_dir().glob("*.yaml"))
    others = ", ".join(
        f"medseg {yaml_files.command_title(file.stem)}" for file in files if group in yaml_files.primary(file.stem)[0]
    )
    return f"medseg {yaml_files.command_title(config_name)} has no group '{group}'{has} ('{group}' is of {others})"


def unreadable(word: str) -> str:
    """Return the message that Hydra cannot read a word, with the quoting that it needs where that is all."""
    key, given, value = word.partition("=")
    if not given:
        return f"cannot read '{word}': write key=value"
    bare = value.strip("'\"")
    quoted = f'{key}="{bare}"'
    plain = bool(bare) and '"' not in bare and not bare.endswith("\\") and value[0] not in "[{"
    try:
        right = plain and OverridesParser.create().parse_override(quoted).value() == bare
    except HydraException:
        right = False
    if right:
        return f"cannot read '{word}': quote the value, once for the shell as well: {shlex.quote(quoted)}"
    # A key in braces has no quotes, a colour in them has.
    colours = re.sub(r"(?<![\"'\w])#\w+", r'"\g<0>"', word)
    for reason, better in (
        ("a colour needs quotes", colours),
        ("a key in braces has no quotes", re.sub(r"([\"'])([^\"']*)\1\s*:", r"\2:", colours)),
    ):
        if better != word and can_be_read(better):
            return f"cannot read '{word}': {reason}: {shlex.quote(better)}"
    return f"cannot read '{word}': write key=value; brackets and quotes must be closed"


def can_be_read(word: str) -> bool:
    """Tell whether Hydra can read a word."""
    try:
        OverridesParser.create().parse_override(word)
    except HydraException:
        return False
    return True
