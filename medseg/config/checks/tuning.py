"""Settings of `protocol=tuned`: which keys are searched, by how many trials."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

from medseg.config.checks.kinds import SEED, TEXT, Settings, shown, whole
from medseg.config.tuning import FACTOR, RANGE, searched
from medseg.errors import ConfigError

TUNING: Settings = {
    "search": Literal["grid", "optuna"],
    "trials": whole(1, 10_000) | None,
    "epochs": whole(1, 1_000_000) | None,
    "seed": SEED,
    "pruning": Literal["median"] | None,
    "trial": TEXT,
}
"""Without the space, whose keys are those of the configuration. `trial` is set by the sweep, in the trials alone."""

NEEDED = ("search", "space", "seed")

PARTS = ("model", "optimizer", "scheduler", "loss", "augmentation", "trainer", "callbacks")
"""Groups whose keys can be tuned."""

OF_DATA = ("data.batch_size", "data.patches", "data.patch_foreground", "data.border_w0", "data.border_sigma")
"""Keys of the data that can be tuned: validation images and their scores stay the same."""

FIXED = ("model", "trainer", "callbacks", "model._target_", "trainer.devices", "trainer.accelerator")
"""Keys that decide what is compared, or where it runs."""


def check_tuning(tuning: Any) -> None:
    """Check `tuning`, as far as it can be checked without the rest of the configuration.

    Raises `ConfigError`.
    """
    if tuning is None or (isinstance(tuning, Mapping) and "trial" in tuning):
        return
    if not isinstance(tuning, Mapping) or not set(NEEDED) <= set(tuning):
        raise ConfigError(
            f"tuning is {shown(tuning)}; it must be null, or what protocol=tuned sets: add protocol=tuned"
        )
    unknown = sorted({*map(str, tuning)} - {*TUNING, "space"})
    if unknown:
        known = ", ".join(name for name in (*TUNING, "space") if name != "trial")
        raise ConfigError(f"unknown option 'tuning.{unknown[0]}': tuning has {known}")
    if tuning["search"] == "grid" and tuning.get("trials") is not None:
        raise ConfigError("tuning.trials is of tuning.search=optuna; a grid takes every combination of its space")
    if tuning.get("epochs") is not None and "trainer.max_epochs" in searched(tuning["space"] or {}):
        raise ConfigError("tuning.epochs and tuning.space.trainer.max_epochs do not go together: leave one of them out")
    space = tuning["space"]
    if not isinstance(space, Mapping) or not searched(space):
        raise ConfigError(f"tuning.space is {shown(space)}; it must have keys: tuning.space.optimizer.lr=[1e-3,3e-3]")
    for key, values in searched(space).items():
        check_key(key)
        check_range(key, values, str(tuning["search"])) if isinstance(values, Mapping) else check_list(key, values)


def check_key(key: str) -> None:
    """Raise `ConfigError` for a key that cannot be tuned."""
    part = key.partition(".")[0]
    if key in FIXED or not (part in PARTS or key in OF_DATA):
        raise ConfigError(
            f"tuning.space.{key}: {key} cannot be tuned; keys of {', '.join(PARTS[:-1])} and "
            f"{', '.join(OF_DATA[:2])} can"
        )


def check_list(key: str, values: Any) -> None:
    """Raise `ConfigError` for what is no list of values."""
    if not isinstance(values, list) or not values or any(isinstance(value, Mapping) for value in values):
        raise ConfigError(
            f"tuning.space.{key} is {shown(values)}; it must be a list of values, such as [x0.3,x1,x3] or "
            "[1e-4,1e-3], or with tuning.search=optuna a range, {low: 1e-4, high: 1e-2, log: true}"
        )


def check_range(key: str, values: Mapping[str, Any], search: str) -> None:
    """Raise `ConfigError` for an invalid range, and for one in a grid."""
    name = f"tuning.space.{key}"
    if search == "grid":
        raise ConfigError(f"{name} is a range, which needs tuning.search=optuna; a grid takes a list of values")
    ends = [values.get(end) for end in RANGE[:2]]
    fitting = set(values) <= set(RANGE) and isinstance(values.get("log", False), bool) and all(map(is_end, ends))
    numbers: list[Any] = [end for end in ends if not isinstance(end, str)]
    if not fitting or (len(numbers) == 2 and not numbers[0] < numbers[1]):
        raise ConfigError(f"{name} is {shown(dict(values))}; it must have low and high, the smaller first, and log")
    if values.get("log") and any(number <= 0 for number in numbers):
        raise ConfigError(f"{name} is {shown(dict(values))}; low must be above 0 with log=true")


def is_end(value: Any) -> bool:
    """Tell whether a value can be an end of a range: a finite number, or a factor."""
    if isinstance(value, str):
        return FACTOR.fullmatch(value) is not None
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
