"""The words of a command line, `key=value`: put in order and completed, as Hydra reads them."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from hydra._internal.utils import get_args_parser

from medseg.config import yaml_files
from medseg.config.commas import check_commas
from medseg.errors import ConfigError


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
    usage = " ".join(["medseg", yaml_files.command_title(config_name), *(key.rstrip("*").upper() for key in keys)])
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
