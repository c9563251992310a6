"""What the files of a run must hold, so that nothing later fails on a wrong type."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medseg.runs.folder import HOTTEST, STATES
from medseg.runs.state import WAITING
from medseg.system.files import damaged, read_json

Schema = Mapping[Any, Any]
"""Key -> kind of its value.

A kind is a type (`int` is below `LARGEST` and never true or false, `float` any finite number), a tuple of kinds of
which one fits, a list of the kind of all entries, a `Schema` (of further keys nothing is asked; the key `...` stands
for every one), a function that tells, or None. A key that is absent is None.
"""

LARGEST = 2**63
"""No whole number in the files is as large; a float could not hold the largest that JSON allows."""


def fits(value: Any, kind: Any) -> bool:
    """Tell whether a value is of a kind, as `Schema` describes kinds."""
    if kind is None:
        return value is None
    if isinstance(kind, tuple):
        return any(fits(value, one) for one in kind)
    if isinstance(kind, list):
        return isinstance(value, list) and all(fits(entry, kind[0]) for entry in value)
    if isinstance(kind, Mapping):
        return isinstance(value, dict) and all(
            all(fits(entry, inner) for entry in value.values()) if key is ... else fits(value.get(key), inner)
            for key, inner in kind.items()
        )
    if kind is float:
        return fits(value, int) or (isinstance(value, float) and math.isfinite(value))
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool) and abs(value) < LARGEST
    if isinstance(kind, type):
        return isinstance(value, kind)
    return bool(kind(value))


def is_score(value: Any) -> bool:
    """Tell whether a value is what a score can be: a number, NaN, as a mean over no image is, or None."""
    return fits(value, (float, None)) or (isinstance(value, float) and math.isnan(value))


def is_size(value: Any) -> bool:
    """Tell whether a value is a height and a width."""
    return fits(value, [int]) and len(value) == 2 and min(value) > 0


def is_share(value: Any) -> bool:
    """Tell whether a value is a number from 0 to 1."""
    return fits(value, float) and 0 <= value <= 1


def is_temperature(value: Any) -> bool:
    """Tell whether a value is what a temperature can be."""
    return fits(value, float) and 0 < value <= HOTTEST


OF_PIXELS = ("brier", "brier_scaled", "ece", "ece_scaled")
"""Means over pixels, in `calibration`."""


RECORD: Schema = {
    "name": str,
    "experiment": str,
    "model": str,
    "data": str,
    "setting": str,
    "seed": int,
    "fold": (int, None),
    "choices": (dict, None),
    "default_choices": (dict, None),
    "defaults": (dict, None),
    "overrides": ([str], None),
    "id": (str, None),
    "trial": (str, None),
}

STATUS: Schema = {
    "state": lambda value: value in (*STATES, WAITING, None),
    "error": (str, None),
    "host": (str, None),
    "pid": (int, None),
    "max_epochs": (int, None),
    "epoch": (int, None),
    "other_seconds": (float, None),
    "wandb_id": (str, None),
    "remark": (str, None),
    "untested": (bool, None),
    "pruned": (bool, None),
    "diverged": (bool, None),
}

SUMMARY: Schema = {
    "evaluation_size": (is_size, None),
    "reachable_dice": (float, None),
    "not_finite": ([str], None),
    "images": (int, None),
    "parameters": (int, None),
    "macs": (int, None),
    "epochs": (int, None),
    "best_epoch": (int, None),
    "training_seconds": (float, None),
    "calibration": ({"temperature": (is_temperature, None), **dict.fromkeys(OF_PIXELS, (is_share, None))}, None),
    "headline": ({...: {"mean": is_score}}, None),
    "conventions": ({...: is_score}, None),
    "own_metrics": ({...: dict}, None),
    "prepared_size": ({"headline": ({...: {"mean": is_score}}, None), "conventions": ({...: is_score}, None)}, None),
    "data_identity": (str, None),
    "source_identity": (str, None),
    "tta": (bool, None),
    "prepared": (str, None),
    "split_name": (str, None),
    "network": ({"about": (str, None), "paper": (str, None), "publications": ([str], None)}, None),
}

EVALUATION: Schema = {
    **SUMMARY,
    "data": str,
    "split": str,
    "fold": (int, None),
    "checkpoint": (str, None),
    "words": ([str], None),
    "data_name": (str, None),
    "known_images": (int, None),
    "options": (dict, None),
}

ENVIRONMENT: Schema = {"packages": (dict, None)}

PIXELS: Schema = {"min": float, "median": float, "max": float}

FINGERPRINT: Schema = {
    "class_names": [str],
    "class_fractions": dict,
    "native_height": PIXELS,
    "native_width": PIXELS,
    "skipped": (list, dict),
    "problems": dict,
    "archive_sha256": (str, list, dict),
}

DATA: Schema = {
    "title": str,
    "about": (str, None),
    "licence": (str, None),
    "citation": (str, None),
    "counts": ({"train": int, ...: int}, None),
    "images": ([str], None),
    "fingerprint": (lambda value: value == {}, FINGERPRINT, None),  # one that was not kept is empty
}

SWEEP: Schema = {"jobs": (list, None)}


def read_checked(file: Path, schema: Schema) -> dict[str, Any]:
    """Read a JSON file that fits a schema; empty where there is none, but for a link to nothing.

    Raises `UserError`.
    """
    content = read_json(file, optional=not file.is_symlink())
    return check(content, schema, file) if content else {}


def check(content: dict[str, Any], schema: Schema, file: Path) -> dict[str, Any]:
    """Return the content of a file without the keys of the schema that are None.

    Raises `UserError` where it does not fit.
    """
    for key, kind in schema.items():
        if not fits(content.get(key), kind):
            reason = f"{key!r} is {str(content[key])[:40]!r}" if key in content else f"no {key!r}"
            raise damaged(file, reason)
    return {key: value for key, value in content.items() if value is not None or key not in schema}
