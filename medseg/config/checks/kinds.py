"""Kinds of values: types with a range, and a description of each for error messages."""

from __future__ import annotations

import re
import types
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt, MaxLen, MinLen
from pydantic import AfterValidator, BeforeValidator, ConfigDict, TypeAdapter, ValidationError

from medseg.errors import ConfigError

MAX_SIDE = 2**14
"""Most pixels of an image's side, and the largest whole number that an argument of a network can be."""

Settings = dict[str, Any]
"""The kinds of the values of a command, group or class, by key; a mapping of more of them for a group without class."""

MAX_SHOWN = 80
"""Most characters of a wrong value that are shown."""


@dataclass(frozen=True)
class Words:
    """What a value must be, where its type and range do not describe it well: `it must be <text>`."""

    text: str


NAMES = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text",
    list: "a list",
    dict: "a mapping",
    type(None): "null",
}


def words(kind: Any) -> str:
    """Describe what a value of a kind is: `a number from 0`, `one of a, b, c`, `a whole number from 1 or null`."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        given = next((each.text for each in reversed(arguments) if isinstance(each, Words)), None)  # the outermost
        return given or words(arguments[0]) + in_range({type(each): each for each in arguments[1:]})
    if origin is Literal:
        texts = [each if isinstance(each, str) else shown(each) for each in arguments]
        return f"{'one of ' if len(texts) > 2 else ''}{(', ' if len(texts) > 2 else ' or ').join(texts)}"
    if origin in (Union, types.UnionType):
        return " or ".join(map(words, sorted(arguments, key=lambda each: each is not type(None))))  # null first
    if origin is list:
        return f"a list, each {words(arguments[0])}"
    return NAMES[kind]


def in_range(bounds: dict[Any, Any]) -> str:
    """Describe a range, from the bounds by their types."""
    low = f" from {bounds[Ge].ge:g}" if Ge in bounds else f" above {bounds[Gt].gt:g}" if Gt in bounds else ""
    if Le in bounds:
        top = str(bounds[Le].le)
        return f"{low} to {top}" if Ge in bounds else f"{low}, at most {top}"
    if Lt in bounds:
        top = f"{bounds[Lt].lt:g}"
        return f"{low} up to, but not, {top}" if Ge in bounds else f"{low}, below {top}"
    return low


@cache
def adapter(kind: Any) -> TypeAdapter[Any]:
    """Return what checks the values of a kind; a word is no number, true and false are none either, NaN is none."""
    return TypeAdapter(kind, config=ConfigDict(strict=True, allow_inf_nan=False))


def checked(key: str, value: Any, kind: Any) -> Any:
    """Return a value, if it is of a kind; a whole number where a text is wanted becomes one.

    Args:
        key: how the user names it.
        value: it.
        kind: one of those below, or another type that pydantic knows.

    Raises `ConfigError`: what it is called, what it is, what it must be.
    """
    try:
        return adapter(kind).validate_python(value)
    except ValidationError:
        raise ConfigError(f"{key} is {shown(value)}; it must be {words(kind)}") from None


def check_arguments(settings: Settings, prefix: str = "", **arguments: Any) -> None:
    """Check arguments that a class was given in Python; `prefix` is what their keys begin with in a configuration.

    Raises `ConfigError`.
    """
    for name, value in arguments.items():
        checked(f"{prefix}{name}", list(value) if isinstance(value, tuple) else value, settings[name])


def shown(value: Any) -> str:
    """Write a value as in YAML, cut where it is long."""
    names = {None: "null", True: "true", False: "false"}
    text = names[value] if value is None or isinstance(value, bool) else repr(value)
    return text if len(text) <= MAX_SHOWN else f"{text[: MAX_SHOWN - 3]}..."


def rule(can_be: Callable[[Any], bool]) -> AfterValidator:
    """Make a part of a kind of what tells whether a value can be."""

    def check(value: Any) -> Any:
        if not can_be(value):
            raise ValueError
        return value

    return AfterValidator(check)


def as_text(value: Any) -> Any:
    """Return a whole number from 0 as a text: a folder can be called 2024."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else value


def matches(pattern: str) -> AfterValidator:
    """Make a part of a kind of a regular expression that the whole text must match."""
    return rule(lambda value: not isinstance(value, str) or re.fullmatch(pattern, value) is not None)


def whole(least: int, most: int | None = None) -> Any:
    """Make the kind of a whole number in a range, both ends included."""
    return Annotated[int, Ge(least)] if most is None else Annotated[int, Ge(least), Le(most)]


def number(least: float, most: float) -> Any:
    """Make the kind of a number in a range, both ends included."""
    return Annotated[float, Ge(least), Le(most)]


def several(kind: Any, text: str, least: int = 1, most: int | None = None) -> Any:
    """Make the kind of a list, of at least and at most so many values of a kind; `text` describes it."""
    return Annotated[list[kind], MinLen(least), MaxLen(most or 10_000), Words(text)]


def pair(least: float, most: float) -> Any:
    """Make the kind of a range [low, high] between two numbers."""
    text = f"[low, high], two numbers from {least:g} to {most:g}, the smaller one first"
    return Annotated[several(number(least, most), text, 2, 2), rule(lambda ends: ends[0] <= ends[1])]


def size(least: int) -> Any:
    """Make the kind of an image's size in pixels, one number or [height, width]."""
    side = whole(least, MAX_SIDE)
    text = f"a number of pixels, or [height, width], each a whole number from {least} to {MAX_SIDE}"
    return Annotated[side | several(side, text, 2, 2), Words(text)]


SWITCH: Any = bool
POSITIVE: Any = Annotated[float, Gt(0), Le(1_000_000)]
PART: Any = number(0, 1)
BELOW_ONE: Any = Annotated[float, Ge(0), Lt(1)]
SEED: Any = whole(0, 2**32 - 1)
BATCH_SIZE: Any = whole(1, 65_536)
SIZE: Any = size(8)
"""Of prepared images."""
CHANNELS: Any = Annotated[whole(1, 64), Words("3 (RGB), 1 (grey) or the number of channels of the files, at most 64")]
VALUES: Any = Annotated[
    several(number(-1e15, 1e15), "", 2, 2),
    rule(lambda ends: ends[0] < ends[1]),
    Words("[low,high], the stored values that become black and white"),
]
INTENSITY_RANGE: Any = Annotated[VALUES | Literal["percentiles"], Words(f"{words(VALUES)}, or percentiles")]
CLASSES: Any = whole(2, 255)
"""The background included."""

DEVICE: Any = Annotated[
    str, matches(r"auto|cpu|gpu|mps|cuda(:\d{1,3})?"), Words("auto, cpu, gpu, cuda:<number> or mps")
]
TEXT: Any = Annotated[str, BeforeValidator(as_text), rule(lambda text: bool(text.strip())), Words("a text, not empty")]
PATH: Any = Annotated[
    str,
    BeforeValidator(as_text),
    rule(lambda text: bool(text.strip()) and "\0" not in text),
    Words("a path, not empty"),
]
PATHS: Any = several(PATH, "a list of paths, [A,B]", least=0)
