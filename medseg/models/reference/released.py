"""What is known of a released network: how its parameters are called, and how to read its arguments from the shapes."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from medseg.errors import UserError

Shapes = dict[str, tuple[int, ...]]
"""Name of a parameter or buffer in the released code -> its shape."""

Renames = dict[str, str | Callable[[re.Match[str]], str]]
"""Pattern of the beginning of our parameter's name -> what replaces it in the released name; the first one wins."""


@dataclass(frozen=True)
class Released:
    """A network whose released weights can be imported.

    Args:
        build: our network's class with the widths, depths and classes of a released state as its arguments; raises
            `UserError` (by `shape_of`) where an entry that it reads is missing.
        renames: from our names to the released ones; a function where these depend on the state.
    """

    build: Callable[[Shapes], partial[Any]]
    renames: Renames | Callable[[Shapes], Renames]

    def rename(self, key: str, shapes: Shapes | None = None) -> str:
        """Return the released name of our parameter `key`, as the state with these shapes has it."""
        renames = self.renames(shapes or {}) if callable(self.renames) else self.renames
        for pattern, replacement in renames.items():
            renamed, count = re.subn(f"^{pattern}", replacement, key)
            if count:
                return renamed
        raise KeyError(key)


def shape_of(name: str, shapes: Shapes, key: str, dimensions: int) -> tuple[int, ...]:
    """Return the shape of the entry `key` of a state for the network `name`; raises `UserError` if it is not there."""
    if key not in shapes:
        present = ", ".join(list(shapes)[:3]) or "nothing"
        raise UserError(f"this state does not fit the released '{name}': {key} is missing (it begins with {present})")
    if len(shapes[key]) != dimensions:
        raise UserError(
            f"this state does not fit the released '{name}': {key} is {as_text(shapes[key])} where {dimensions}"
            " dimensions are expected"
        )
    return shapes[key]


def count_of(shapes: Shapes, pattern: str) -> int:
    """Count the entries whose whole name matches `pattern`, to read a number of blocks."""
    return sum(bool(re.fullmatch(pattern, key)) for key in shapes)


def level(prefix: str, suffix: str) -> Callable[[re.Match[str]], str]:
    """Rename level k, the first group of a pattern, to level k + 1: encoder.0 of ours is down1."""
    return lambda match: f"{prefix}{int(match[1]) + 1}{suffix}"


def as_text(shape: tuple[int, ...]) -> str:
    """Write a shape as 16x8x3x3."""
    return "x".join(map(str, shape)) or "a scalar"
