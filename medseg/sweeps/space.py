"""The space of a tuning: the values of each key, with factors such as `x3` filled in."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf

from medseg.config.tuning import FACTOR, RANGE, searched
from medseg.errors import ConfigError
from medseg.runs.naming import canonical

Space = dict[str, Any]
"""Key -> list of values, or range `{low, high, log}`."""

Values = dict[str, Any]
"""Key -> value, of a trial."""

PLAIN = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", re.ASCII)
"""Text that needs no quotes, such as the name of a class."""

NO_TEXT = ("null", "true", "false", "nan", "inf")
"""Words that are no text without quotes."""

DIGITS = 6
"""Significant digits of a value that is computed: a run's name and its configuration have it as it is."""


def read_space(cfg: DictConfig) -> Space:
    """Return the space of a configuration, its factors multiplied with the values that the keys have.

    Raises `ConfigError` for a key that the configuration does not have, and for a factor of what is no number.
    """
    plain: Any = OmegaConf.to_container(cfg.tuning.space, resolve=True)
    return {key: filled_in(key, values, usual_value(cfg, key)) for key, values in searched(plain).items()}


def usual_value(cfg: DictConfig, key: str) -> Any:
    """Return the value that a key has without tuning, of a group its configuration.

    Raises `ConfigError` where there is no such key.
    """
    parent, _, last = key.rpartition(".")
    node = OmegaConf.select(cfg, parent) if parent else cfg
    if not OmegaConf.is_dict(node) or last not in node:
        raise ConfigError(f"tuning.space.{key}: the configuration has no '{key}'; --cfg job prints every option")
    value = node[last]
    return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value


def filled_in(key: str, values: Any, usual: Any) -> Any:
    """Return a list, each value once, or a range, with its factors multiplied with the usual value of the key.

    Raises `ConfigError`.
    """
    if not isinstance(values, Mapping):
        multiplied = [multiply(key, value, usual) for value in values]
        return list({canonical(value): value for value in multiplied}.values())
    low, high = (multiply(key, values[end], usual) for end in RANGE[:2])
    log = bool(values.get("log", False))
    if not low < high or (log and low <= 0):
        raise ConfigError(f"tuning.space.{key}: a range from {low} to {high} is empty{' or not above 0' * log}")
    return {"low": low, "high": high, "log": log}


def multiply(key: str, value: Any, usual: Any) -> Any:
    """Return a value; of a factor such as `x3`, that many times the usual one."""
    factor = FACTOR.fullmatch(value) if isinstance(value, str) else None
    if factor is None:
        return value
    if isinstance(usual, bool) or not isinstance(usual, int | float):
        raise ConfigError(f"tuning.space.{key}: {value} multiplies a number, but {key} is {usual}")
    product = usual * float(factor[1])
    return round(product) if isinstance(usual, int) else rounded(product)


def rounded(value: float) -> float:
    """Round to `DIGITS` significant digits."""
    return float(f"{value:.{DIGITS}g}")


def usual_values(cfg: DictConfig, space: Space) -> Values:
    """Return the values that the keys of a space have without tuning, but for those of whole groups."""
    values = {key: usual_value(cfg, key) for key in space}
    return {key: value for key, value in values.items() if not isinstance(value, Mapping)}


def as_words(values: Values) -> list[str]:
    """Write values as words of a command line."""
    return [f"{key}={as_word(value)}" for key, value in values.items()]


def as_word(value: Any) -> str:
    """Write a value as Hydra reads it."""
    if isinstance(value, str):  # Hydra reads a backslash as it is, but before a quote
        is_plain = PLAIN.fullmatch(value) and value.lower() not in NO_TEXT
        return value if is_plain else json.dumps(value, ensure_ascii=False)
    if isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"tuning.space: {value} cannot be tried")
    if isinstance(value, list):
        return f"[{','.join(map(as_word, value))}]"
    return json.dumps(value)
