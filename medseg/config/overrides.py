"""The words of a command line, `key=value`: put in order, completed, and checked before anything is composed."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Override
from hydra.errors import HydraException

from medseg.config import yaml_files
from medseg.config.commas import check_commas
from medseg.errors import ConfigError

SEVERAL = ("callbacks", "logger", "metrics")
"""Groups of which several options can be chosen at once, each under a different key."""


def split(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the words of a command line and its flags with their values, such as `--cfg job`, in whatever order.

    Raises `ConfigError` for a flag that is unknown or has no value.
    """
    actions = get_args_parser()._option_string_actions
    words: list[str] = []
    flags: list[str] = []
    rest = iter(arguments)
    for argument in rest:
        name, given, value = argument.partition("=")
        if not argument.startswith("-"):
            words.append(argument)
            continue
        alike = {id(actions[flag]): flag for flag in actions if name.startswith("--") and flag.startswith(name)}
        flag = name if name in actions else next(iter(alike.values())) if len(alike) == 1 else None
        if flag is None:
            raise ConfigError(f"unknown option '{argument}': write key=value, without dashes; --help lists the keys")
        action = actions[flag]
        flags.append(flag)
        if action.nargs == 0:
            continue
        choices = list(action.choices or ())
        if not given:
            value = next(rest, "")
        if not value or (choices and value not in choices):
            raise ConfigError(f"{flag} needs {'one of ' + ', '.join(choices) if choices else 'a value'} after it")
        flags.append(value)
    return words, flags


def normalize_overrides(words: Sequence[str]) -> list[str]:
    """Return words as Hydra needs them to be.

    `+model._target_=package.Class` stands alone: without a choice of `model` it means `model=custom`. A home folder,
    `key=~/folder`, is filled in: the shell leaves it alone there, and Hydra cannot read it. Nor can it read a
    pattern, `data.groups=(p[0-9]+)_.*`, without quotes. A key of `tuning.space` is added, or replaced by what may be of
    another kind. Beside `budget=...`, `+experiments=...` is moved before the budget: Hydra would compose it last, and
    its numbers would win.

    Raises `ConfigError` for the home folder of a user who has none.
    """
    normal = [re.sub(r"^([^=]+)=(~[^,=]*)$", lambda m: f"{m[1]}={home(m[2])}", word) for word in words]
    normal = [
        re.sub(r"^(\+*data\.groups)=(?!['\"])(.*\(.*)$", lambda m: f"{m[1]}={as_string(m[2])}", word) for word in normal
    ]
    normal = [each for word in normal for each in replacing_space(word)]
    # The words of a job are written like this once more, so what was replaced before stays as it is.
    normal = [word for at, word in enumerate(normal) if at == 0 or word != normal[at - 1]]
    custom = any(re.match(r"\+*model\._target_=", word) for word in normal)
    chosen = any(word.startswith("model=") for word in normal)
    if any(word.startswith("budget=") for word in normal):
        normal = [re.sub(r"^\+experiments=", "experiments@_global_=", word) for word in normal]
    return [*normal, "model=custom"] if custom and not chosen else normal


def replacing_space(word: str) -> list[str]:
    """Return `tuning.space.key=values` as words that replace what is there; other words as they are.

    A range cannot be merged with a list, so the key is set to null first. The two words are written differently, since
    a multirun takes the last one of those with the same key and the same mark.
    """
    match = re.match(r"\+{0,2}(tuning\.space(?:\.[\w.]+)?)=(.+)", word, re.DOTALL)
    if match is None:
        return [word]
    first = f"++{match[1]}=null"
    return [first] if match[2] == "null" else [first, f"{match[1]}={match[2]}"]


def home(path: str) -> Path:
    """Return a path with its home folder filled in; raises `ConfigError` for that of an unknown user."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise ConfigError(f"{path}: there is no such home folder; for one in this folder write ./{path}") from None


def add_keys(words: Sequence[str], keys: Sequence[str], config_name: str) -> list[str]:
    """Return words as Hydra needs them to be: those without a key are the values of `keys`, in turn.

    Args:
        words: `unet data=kvasir`, of a command line.
        keys: keys and groups; one may end in `*`, which takes what the others leave, at least one value. A key that
            has its value is passed over. A folder as `data` means the user's images.
        config_name: of the command.

    Raises `ConfigError` for a word without a key that no key is left for, and for a comma at an end of a word.
    """
    check_commas(words)
    values = [word for word in words if is_value(word, config_name)]
    others = [word for word in words if word not in values]
    given = {word.lstrip("+~").partition("=")[0] for word in others}
    free = [key for key in keys if key.rstrip("*") not in given]
    several = next((at for at, key in enumerate(free) if key.endswith("*")), None)
    if len(values) > len(free) and several is None:
        raise ConfigError(too_many(values[len(free)], keys, config_name))
    if several is not None:
        # As `cp` does it: the last words belong to the keys behind.
        count = max(1, len(values) - len(free) + 1)
        free[several : several + 1] = [free[several].rstrip("*")] * count
    filled: dict[str, list[str]] = {}
    for key, value in zip(free, values, strict=False):
        filled.setdefault(key, []).append(value)
    result = [*others, *(word for key, value in filled.items() for word in with_key(key, value, config_name))]
    return [word for each in result for word in with_data_folder(each, config_name)]


def with_key(key: str, values: Sequence[str], config_name: str) -> list[str]:
    """Write a key with its values as Hydra reads them."""
    first = values[0]
    if key in yaml_files.primary(config_name)[0]:
        is_path = key == "data" and first not in yaml_files.options("data") and has_images(first)
        return [f"{key}={f'.{os.sep}' if is_path and os.sep not in first else ''}{first}"]
    if key == "models":
        values = [
            each for value in values for each in (value.split(",") if re.fullmatch(r"[\w,]+", value) else [value])
        ]
    if len(values) == 1 and first.startswith("[") and not expanded(first).exists():
        return [f"{key}={first}"]
    several = len(values) > 1 or key in ("runs", "models")
    return [f"{key}=[{','.join(map(quoted, values))}]" if several else f"{key}={quoted(first)}"]


def with_data_folder(word: str, config_name: str) -> list[str]:
    """Return `data=PATH`, where the path has a slash, as the choice of the user's images; other words as they are.

    Raises `ConfigError` where there is no such folder, nor zip archive.
    """
    path = word.removeprefix("data=")
    if path == word or os.sep not in path or "$" in path or "data" not in yaml_files.primary(config_name)[0]:
        return [word]
    if not has_images(path):
        hint = "; of several: -m data=folder data.root=A,B" if "," in path else ""
        raise ConfigError(f"{path}: no such folder or zip archive{hint}")
    return ["data=folder", f"data.root={quoted(path)}"]


def has_images(path: str) -> bool:
    """Whether a path can be a user's images: a folder or a zip archive."""
    full = expanded(path)
    return full.is_dir() or (full.suffix.lower() == ".zip" and full.is_file())


def too_many(word: str, keys: Sequence[str], config_name: str) -> str:
    """Tell what to do about a word without a key that no key is left for."""
    groups = [group for group in yaml_files.primary(config_name)[0] if word in yaml_files.options(group)]
    others = [group for group in groups if group not in keys]
    if others:
        return f"'{word}' has no key: write {others[0]}={word}"
    usage = " ".join(["medseg", command_title(config_name), *(key.rstrip("*").upper() for key in keys)])
    if groups:
        return f"'{word}': there is one {groups[0]} at a time: {usage}"
    return f"cannot read '{word}': write key=value{f'; without a key: {usage}' if keys else ''}"


def expanded(path: str) -> Path:
    """Return a path with its home folder filled in; `./~name` is a file of that name."""
    filled = os.path.expanduser(path)  # noqa: PTH111 - a Path drops the `./`
    return Path(os.path.abspath(filled) if filled.startswith("./~") else filled)  # noqa: PTH100


def quoted(path: str) -> str:
    """Write a path as Hydra reads it, whatever characters it has."""
    return "'" + str(expanded(path)).replace("\\", "\\\\").replace("'", "\\'") + "'"


def as_string(text: str) -> str:
    """Write a text as Hydra reads it, which takes a backslash for one, but before a quote."""
    return "'" + re.sub(r"(\\*)('|$)", lambda m: m[1] * 2 + ("\\'" if m[2] else ""), text) + "'"


def is_value(word: str, config_name: str) -> bool:
    """Tell a value, such as a path or a name, from a word for Hydra: `key=value`, or `~key`.

    A word that begins with a key of the command is for Hydra, also where a file has that name.
    """
    key = word.partition("=")[0]
    first = re.split("[.@]", key.lstrip("+~"))[0]
    if "=" in word and (first in yaml_files.top_level_keys(config_name) | {"hydra"} or first.startswith("hydra/")):
        return False
    bare = "=" not in word or "/" in key
    try:
        return expanded(word).exists() or (bare and not re.fullmatch(r"~[\w.]+", word))
    except (OSError, ValueError):
        return bare


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
            raise ConfigError(f"'{word}' removes what medseg {command_title(config_name)} needs; {to_choose(key)}")
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
        command = command_title(config_name)
        return f"'{group}' is no group of medseg {command}: give its keys, such as {group}.{keys[-1]}=..."
    ours = [name for name in yaml_files.primary(config_name)[0] if name in yaml_files.groups()]
    has = f"; it has {', '.join(ours)}" if ours else ""
    files = sorted(yaml_files.config_dir().glob("*.yaml"))
    others = ", ".join(
        f"medseg {command_title(file.stem)}" for file in files if group in yaml_files.primary(file.stem)[0]
    )
    return f"medseg {command_title(config_name)} has no group '{group}'{has} ('{group}' is of {others})"


def command_title(config_name: str) -> str:
    """Return what a command is called on a command line."""
    return config_name.replace("_", "-")


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
