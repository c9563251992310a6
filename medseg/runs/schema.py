"""What the files of a run must hold, so that nothing later fails on a wrong type."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from medseg.errors import UserError
from medseg.runs.files import read_json
from medseg.runs.folder import STATES
from medseg.runs.state import WAITING

Kind = Callable[[Any], bool]


def _is(*kinds: type) -> Kind:
    return lambda value: isinstance(value, kinds) and (bool in kinds or not isinstance(value, bool))


def _optional(kind: Kind) -> Kind:
    return lambda value: value is None or kind(value)


def _mapping(value: Any) -> bool:
    return isinstance(value, dict)


def _number(value: Any) -> bool:
    return _is(int, float)(value) and not math.isinf(value)


def _finite(value: Any) -> bool:
    return _number(value) and not math.isnan(value)


TEXT, WHOLE, NUMBER, FINITE = _is(str), _is(int), _number, _finite
"""`NUMBER` may be NaN, as a mean over no image is."""


RECORD: Mapping[str, tuple[bool, Kind]] = {
    "name": (True, TEXT),
    "experiment": (True, TEXT),
    "model": (True, TEXT),
    "data": (True, TEXT),
    "setting": (True, TEXT),
    "seed": (True, WHOLE),
    "fold": (False, _optional(WHOLE)),
    "choices": (False, _optional(_mapping)),
    "default_choices": (False, _optional(_mapping)),
    "defaults": (False, _optional(_mapping)),
    "overrides": (False, _optional(lambda value: isinstance(value, list) and all(map(TEXT, value)))),
    "id": (False, _optional(TEXT)),
}
"""Key -> whether it must be there, and what it must be."""

STATUS: Mapping[str, tuple[bool, Kind]] = {
    "state": (False, lambda value: value in (*STATES, WAITING)),
    "error": (False, _optional(TEXT)),
    "host": (False, _optional(TEXT)),
    "pid": (False, _optional(WHOLE)),
    "max_epochs": (False, _optional(WHOLE)),
    "epoch": (False, _optional(WHOLE)),
    "wandb_id": (False, _optional(TEXT)),
}

SUMMARY: Mapping[str, tuple[bool, Kind]] = {
    "evaluation_size": (
        False,
        lambda value: isinstance(value, list) and len(value) == 2 and all(WHOLE(side) and side > 0 for side in value),
    ),
    "images": (False, WHOLE),
    "parameters": (False, _optional(WHOLE)),
    "macs": (False, _optional(WHOLE)),
    "epochs": (False, _optional(WHOLE)),
    "best_epoch": (False, _optional(WHOLE)),
    "training_seconds": (False, _optional(FINITE)),
    "headline": (
        False,
        lambda value: (
            _mapping(value)
            and all(_mapping(score) and _optional(NUMBER)(score.get("mean")) for score in value.values())
        ),
    ),
    "conventions": (False, lambda value: _mapping(value) and all(map(_optional(NUMBER), value.values()))),
    "own_metrics": (False, lambda value: _mapping(value) and all(map(_mapping, value.values()))),
    "data_identity": (False, _optional(TEXT)),
    "prepared": (False, _optional(TEXT)),
    "split_name": (False, _optional(TEXT)),
}


ENVIRONMENT: Mapping[str, tuple[bool, Kind]] = {"packages": (False, _optional(_mapping))}

PIXELS = ("min", "median", "max")

FINGERPRINT: Mapping[str, Kind] = {
    "class_names": lambda value: isinstance(value, list) and all(map(TEXT, value)),
    "class_fractions": lambda value: value is not None,
    "native_height": lambda value: _mapping(value) and all(FINITE(value.get(key)) for key in PIXELS),
    "native_width": lambda value: _mapping(value) and all(FINITE(value.get(key)) for key in PIXELS),
    "skipped": lambda value: isinstance(value, list | dict),
    "problems": _mapping,
    "archive_sha256": lambda value: value is not None,
}
"""Key of the fingerprint of prepared data, which must be there, and what it must be."""

DATA: Mapping[str, tuple[bool, Kind]] = {
    "title": (True, TEXT),
    "about": (False, _optional(TEXT)),
    "licence": (False, _optional(TEXT)),
    "citation": (False, _optional(TEXT)),
    "counts": (False, lambda value: _mapping(value) and {"train"} <= {*value} and all(map(WHOLE, value.values()))),
    "fingerprint": (
        False,
        lambda value: _mapping(value) and (not value or all(kind(value.get(key)) for key, kind in FINGERPRINT.items())),
    ),
}


def read_checked(file: Path, kinds: Mapping[str, tuple[bool, Kind]]) -> dict[str, Any]:
    """Read a JSON file whose keys must have values of these kinds; empty where there is none.

    Raises `UserError`.
    """
    try:
        content = read_json(file)
    except UserError:
        if file.exists() or file.is_symlink():
            raise
        return {}
    check(content, kinds, file)
    return content


def check(content: Mapping[str, Any], kinds: Mapping[str, tuple[bool, Kind]], file: Path) -> None:
    """Raise `UserError` where a key is missing or has a value of a wrong type."""
    for key, (needed, kind) in kinds.items():
        if key not in content:
            if needed:
                raise UserError(f"{file}: damaged (no {key!r})")
        elif not kind(content[key]):
            raise UserError(f"{file}: damaged ({key!r} is {str(content[key])[:40]!r})")
