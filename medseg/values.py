"""What kind of number a plain value of a configuration is."""

from __future__ import annotations

from typing import Any


def is_whole(value: Any) -> bool:
    """Tell whether a value is a whole number; true and false are none."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_count(value: Any) -> bool:
    """Tell whether a value is a whole number from 1."""
    return is_whole(value) and value >= 1


def is_number(value: Any) -> bool:
    """Tell whether a value is a number, not infinite, not NaN."""
    return is_whole(value) or (isinstance(value, float) and abs(value) < float("inf"))
