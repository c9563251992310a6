"""Ranges of axes, and where their ticks are."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Scale:
    """The range of an axis, its ticks, and whether it is `linear` or `log`."""

    low: float
    high: float
    ticks: Sequence[float]
    labels: Sequence[str]
    kind: str = "linear"


def linear(values: Iterable[float], *, margin: float = 0.06, most: int = 5) -> Scale:
    """Return a scale that holds all finite values and at most `most` ticks; `margin`: of the range, on each side."""
    finite = [value for value in map(float, values) if math.isfinite(value)]
    low, high = (min(finite), max(finite)) if finite else (0.0, 1.0)
    room = (high - low) * margin if high - low > 1e-9 * max(abs(low), abs(high), 1e-9) else max(abs(high) * 0.05, 0.01)
    low, high = low - room, high + room
    size = 10.0 ** math.floor(math.log10(high - low))
    for step in (0.1 * size, 0.2 * size, 0.25 * size, 0.5 * size, size, 2 * size):
        ticks = [n * step for n in range(math.ceil(low / step), math.floor(high / step) + 1)]
        if len(ticks) <= most:
            break
    return Scale(low, high, ticks, labelled(ticks, step))


def labelled(ticks: Sequence[float], step: float) -> list[str]:
    """Write ticks with as many digits as their step needs."""
    largest = max(map(abs, ticks), default=1.0)
    if 1e-3 <= largest < 1e5:
        digits = next(n for n in range(16) if n == 15 or math.isclose(round(step, n), step, rel_tol=1e-6))
        return [f"{tick + 0.0:.{digits}f}" for tick in ticks]
    return [f"{tick + 0.0:.{math.ceil(math.log10(max(largest / step, 1))) + 2}g}" for tick in ticks]


def whole(high: int, *, most: int = 6) -> Scale:
    """Return a scale for whole numbers from 1 to `high`, such as epochs."""
    steps = (digit * 10**power for power in range(9) for digit in (1, 2, 5))
    step = next(step for step in steps if high // step <= most)
    ticks = list(range(step, high + 1, step)) or [1]
    room = max(0.4, (high - 1) * 0.03)
    return Scale(1 - room, high + room, ticks, list(map(str, ticks)))


def logarithmic(values: Sequence[float]) -> Scale:
    """Return a logarithmic scale for positive values, with few ticks at numbers of one digit."""
    low, high = min(values) / 1.6, max(values) * 1.6
    ticks = round_numbers(low, high)
    return Scale(low, high, ticks, [f"{tick:g}" for tick in ticks], "log")


def round_numbers(low: float, high: float) -> list[float]:
    """Return numbers of one digit between two positive numbers; few where the two are far apart."""
    for digits in ((1, 2, 3, 4, 5, 6, 8), (1, 2, 3, 5), (1, 3), (1,)):
        every = [digit * 10.0**power for power in range(-9, 13) for digit in digits]
        chosen = [value for value in every if low <= value <= high]
        if len(chosen) <= 6:
            return chosen
    return chosen[:: -(-len(chosen) // 6)]
