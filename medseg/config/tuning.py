"""The `tuning` of a configuration: none, the space that is searched before a training, or the mark of a trial."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

RANGE = ("low", "high", "log")
"""Keys of a range of numbers."""

FACTOR = re.compile(r"x(\d+\.?\d*(?:e[+-]?\d+)?)", re.IGNORECASE)
"""A value that is a multiple of the one that the key has: `x3`, `x0.1`."""


def searched(space: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return what a nested space holds: key with dots -> list of values, or range."""
    found: dict[str, Any] = {}
    for name, values in space.items():
        nested = isinstance(values, Mapping) and not set(values) & set(RANGE)
        found |= searched(values, f"{prefix}{name}.") if nested else {f"{prefix}{name}": values}
    return found


def is_trial(tuning: Mapping[Any, Any] | None) -> bool:
    """Tell whether the `tuning` of a configuration is that of a trial."""
    return tuning is not None and "trial" in tuning


def is_searched(tuning: Mapping[Any, Any] | None) -> bool:
    """Tell whether the `tuning` of a configuration asks for trials before its training."""
    return tuning is not None and "trial" not in tuning


def tuned_keys(config: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the keys of a configuration that were tuned; none where nothing was."""
    tuning = config.get("tuning")
    space = tuning.get("space") if isinstance(tuning, Mapping) else None
    return tuple(searched(space)) if isinstance(space, Mapping) else ()
