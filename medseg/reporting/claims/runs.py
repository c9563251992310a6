"""Which runs a claim selects, and under what protocol they were made."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

import yaml

from medseg.reporting.claims.file import EPOCHS, SIZE, STEPS, Selector
from medseg.runs.naming import canonical
from medseg.runs.run import Run

T = TypeVar("T")

GROUPS = ("protocol", "budget")
"""Groups of the configuration that define under what protocol a run was made."""


def matches(run: Run, *selectors: Selector) -> bool:
    """Whether a run has all that some selectors ask for."""
    return all(has(run, key, value) for selected in selectors for key, value in selected.items())


def has(run: Run, key: str, value: Any) -> bool:
    """Whether a run has what a selector asks for; networks and datasets go by their name and by their option."""
    return same(value_of(run, key), value) or (key in ("model", "data") and same(run.choices.get(key), value))


def value_of(run: Run, key: str) -> Any:
    """Return what a selector's key is in a run; None where the run has no such key."""
    if key in ("model", "data"):
        return getattr(run, key)
    if key in run.choices:
        return run.choices[key]
    if run.settings:
        return run.settings.get(key)
    given = dict(override.lstrip("+").split("=", 1) for override in run.overrides if "=" in override)
    return yaml.safe_load(given[key]) if key in given else None  # of a run that has not begun


def same(value: Any, asked: Any) -> bool:
    """Whether two values are the same, as a file has them: 1.0 is 1, True is not, and a tuple is a list."""
    return canonical(value) == canonical(asked)


def changes_network(run: Run, *selectors: Selector) -> bool:
    """Whether a run has other values of its network than its option gives it, beside those that selectors ask for."""
    # A run of an older version does not have the defaults: what was given may be one of them.
    keys = run.defaults if run.defaults is not None else [given.lstrip("+").split("=")[0] for given in run.overrides]
    return any(key.startswith("model.") and all(key not in selected for selected in selectors) for key in keys)


def selector_text(selected: Selector) -> str:
    """Write a selector for people: `unet, norm=layer`."""
    shown = {key: value if isinstance(value, str) else json.dumps(value) for key, value in selected.items()}
    return ", ".join(text if key == "model" else f"{key.rpartition('.')[2]}={text}" for key, text in shown.items())


def outside(protocol: Mapping[str, Any], run: Run) -> str:
    """Return what keeps a finished run from being one of a protocol, `64 x 64, 200 steps`; empty where nothing does."""
    unit = STEPS if STEPS in protocol else EPOCHS
    size, length = (of.get(run.data) if isinstance(of, dict) else of for of in (protocol[SIZE], protocol[unit]))
    if size is None or length is None:
        return f"the protocol does not name {run.data}"
    large = min(run.summary.get("evaluation_size") or [0]) >= size
    if unit == STEPS:
        long = bool(run.epochs) and run.epochs[-1]["step"] >= length
    else:
        long = not shortened(run) and (run.summary.get("epochs") or 0) >= length
    return "" if large and long else f"{size_of(run)}, {length_of(run)}"


def shortened(run: Run) -> bool:
    """Whether the epochs of a run saw a part of the training split only."""
    limit = run.config.get("trainer", {}).get("limit_train_batches")
    # Lightning reads 1.0 as all batches and 1 as one batch.
    return limit is not None and not (isinstance(limit, float) and limit >= 1)


def size_of(run: Run) -> str:
    """Write the size of the test images, `96 x 96`."""
    return " x ".join(map(str, run.summary.get("evaluation_size") or ["unknown size"]))


def length_of(run: Run) -> str:
    """Write how long a run trained: epochs, or steps where epochs were cut short."""
    if shortened(run) and run.epochs:
        return f"{run.epochs[-1]['step']:.0f} steps"
    epochs = run.summary.get("epochs") or 0
    return f"{epochs} epoch{'' if epochs == 1 else 's'}"


def protocol_of(runs: Sequence[Run]) -> str:
    """Write the protocol of runs: `protocol=medseg, budget=short, 96 x 96, 200 steps, 3 seeds`."""
    options = {group: sorted({run.choices[group] for run in runs if group in run.choices}) for group in GROUPS}
    parts = [f"{group}={','.join(of)}" for group, of in options.items() if of]
    parts += [" and ".join(dict.fromkeys(map(write, runs))) for write in (size_of, length_of)]
    seeds = defaultdict(set)  # of each setting, in which all seeds of a network on a dataset agree
    for run in runs:
        seeds[run.setting].add(run.seed)
    least, most = min(map(len, seeds.values())), max(map(len, seeds.values()))
    several = f"{least} to {most}" if most > least else str(most)
    return ", ".join([*parts, f"{several} seed{'' if most == 1 else 's'}"])


def unique(items: Iterable[T]) -> tuple[T, ...]:
    """Return each different item once, in their order."""
    return tuple(dict.fromkeys(items))
