"""The configuration of a run, as its folder has it."""

from __future__ import annotations

from collections.abc import Collection
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from medseg.runs.naming import digest, leaves
from medseg.system.files import MAX_BYTES, damaged, parse_yaml, read_text

WHOLE_CONFIG = ("model", "data", "loss", "optimizer", "trainer", "callbacks")
"""Groups of a configuration; the last one stands at its end."""

Configuration = tuple[dict[str, Any], dict[str, Any], str]
"""A configuration, its settings by their keys with dots, and a digest of these."""


def read_config(file: Path, seed: int, groups: Collection[str]) -> Configuration:
    """Read the configuration of a run; empty where there is none. `groups`: that the run chose options in.

    Raises `UserError` for a damaged file.
    """
    text = read_text(file, MAX_BYTES[".yaml"])
    if text is None:
        return {}, {}, ""
    # The runs of a setting differ in the line of the seed alone, and parsing is what takes the time.
    head, line, tail = text.partition(f"\nseed: {seed}\n")
    try:
        if not text.endswith("\n"):  # what is left of half a file may well be YAML
            raise ValueError("cut short")
        config, settings, code = parse_config(f"{head}\n{tail}" if line else text)
        lacking = next((key for key in WHOLE_CONFIG if key in groups and key not in config), None)
        if lacking is not None:  # of half a file, which an absent key must not be mistaken for
            raise ValueError(f"no {lacking!r} in it")
    except (ValueError, yaml.YAMLError, TypeError, RecursionError) as error:
        raise damaged(file, error) from None
    return {**config, "seed": seed}, settings, code


@lru_cache(maxsize=4096)
def parse_config(text: str) -> Configuration:
    """Parse a configuration; what is returned must not be changed."""
    content = parse_yaml(text)
    if not isinstance(content, dict):
        raise TypeError(f"{type(content).__name__} instead of keys with values")
    settings = leaves(content)
    return content, settings, digest(settings)
