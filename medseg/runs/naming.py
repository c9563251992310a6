"""The name of a run: a function of its configuration, so that a repeated command finds its run."""

from __future__ import annotations

import hashlib
import json
import posixpath
import re
from collections.abc import Mapping
from functools import lru_cache
from itertools import accumulate
from typing import Any

from medseg.errors import as_bytes

IGNORED = {
    # Where things lie, how they are shown and how fast they go does not change what is computed.
    "experiment", "force", "dry_run", "runs_dir", "data_dir", "logger", "metrics", "hydra", "seed", "compile",
    "activation_checkpointing", "test", "scores", "nsd_tolerance", "save_probabilities",
    "data.spacing", "data.data_dir", "data.source", "data.download", "data.num_workers", "data.metadata",
    # How values were chosen: the values themselves make the run.
    "tuning.search", "tuning.space", "tuning.trials",
}  # fmt: skip
"""Keys that do not make a run another one. The seed is in the name itself."""


SETTING_FILES = ("protocol", "budget")
"""Groups whose options are settings for the others: what they set deviates from what those have by default."""

SIZE = "image_size"
"""Last part of the keys that may have one number or two, height and width."""

LATER = {
    "continue_from": None,
    "tuning": None,
    "data.groups": None,
    "data.fraction": 1,
    "data.patches": None,
    "data.patch_foreground": 0.33,
    "data.intensity_range": None,
    "data.dataset.intensity_range": None,
    "model.encoder_weights": None,
    "model.freeze_encoder": False,
    "optimizer.encoder_lr_factor": 1,
    "optimizer.lr_factors": None,
    "strict": True,
}
"""Options that older versions did not have, and their default: a run that does not use them has the name it had."""

EARLIER_RUNS = ("continue_from", "initial_weights")
"""Keys whose value is another run, or its checkpoint."""

IN_RUN = re.compile(r"(?:.*/)?([^/]+)-seed(\d+)(?:/(.*))?")
"""The path of a run, or of a file in it: what the runs of all seeds share, the seed, the file's path in the run."""

BEST = ("checkpoints", "checkpoints/best.ckpt")
"""Paths in a run that mean the same as the run itself."""

ORDERED = ("data.labels", "data.dataset.labels")
"""Mappings whose order counts: the classes are numbered by it."""

WHOLE = (*ORDERED, "optimizer.lr_factors")
"""Mappings that are one value: their keys are no options."""

PRECISION_NAMES = {"32": "32-true", "16": "16-mixed", "bf16": "bf16-mixed"}
"""Lightning's short names of precisions, which mean the same as the long ones."""

NAMED_GROUPS = ("protocol", "budget", "augmentation", "loss", "optimizer", "scheduler", "trainer")
"""Groups whose option is in the name where it is not the default."""


def run_name(config: Mapping[str, Any], choices: Mapping[str, str], defaults: Mapping[str, str | None]) -> str:
    """Name a run `<model>-<data>[-<other choices>][-fold<k>][-fraction<f>][-patches<n>]-<hash>-seed<k>`.

    Args:
        config: the composed configuration, resolved, as plain dictionaries.
        choices: the option chosen in each group.
        defaults: the default option of each group.

    The hash covers every setting that can change the result, except the seed: runs that differ in their seed alone
    share everything before `-seed`.
    """
    return f"{setting_name(config, choices, defaults)}-seed{config['seed']}"


def setting_name(config: Mapping[str, Any], choices: Mapping[str, str], defaults: Mapping[str, str | None]) -> str:
    """Name what the runs of all seeds share."""
    parts = [model_name(config, choices), choices["data"]]
    for group in NAMED_GROUPS:
        choice = choices.get(group)
        if choice is not None and choice != defaults.get(group):
            parts.append(choice)
    # Several may be chosen at once, each under a different key.
    parts += sorted(config.get("callbacks", ()))
    if config["data"].get("fold") is not None:
        parts.append(f"fold{config['data']['fold']}")
    if config["data"].get("fraction", 1) != 1:
        parts.append(f"fraction{config['data']['fraction']:g}")
    if config["data"].get("patches") is not None:
        parts.append(f"patches{config['data']['patches']}")
    parts.append(config_hash(config))
    return file_name("-".join(parts))


def file_name(name: str) -> str:
    """Return a name that any file system takes."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", name)


def model_name(config: Mapping[str, Any], choices: Mapping[str, str]) -> str:
    """Name the network: the option's name, or what tells it apart where one option is many networks."""
    model = config["model"]
    if choices["model"] == "smp":
        return f"smp_{model['arch']}_{model['encoder_name']}"
    if choices["model"] == "custom":
        return str(model.get("_target_", "custom")).rpartition(".")[2]
    return choices["model"]


def config_hash(config: Mapping[str, Any]) -> str:
    """Return 8 hexadecimal digits over every setting that can change the result."""
    return digest(_without_ignored(config))


def digest(settings: Mapping[str, Any]) -> str:
    """Return 8 hexadecimal digits over every one of these settings, in whatever order they are."""
    text = json.dumps(settings, sort_keys=True, default=str)
    return hashlib.sha256(as_bytes(text)).hexdigest()[:8]


def _without_ignored(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    settings = {}
    for name, value in config.items():
        key = f"{prefix}{name}"
        if key == "strict" and config.get("initial_weights") is None:
            continue  # it counts with these alone
        if key not in IGNORED and not (key in LATER and normalized(key, value) == LATER[key]):
            nested = isinstance(value, Mapping) and key not in WHOLE
            settings[name] = _without_ignored(value, f"{key}.") if nested else normalized(key, value)
    return settings


@lru_cache(maxsize=4096)
def is_ignored(key: str) -> bool:
    """Tell whether a key with dots, or one that it is below, makes no other run."""
    return not IGNORED.isdisjoint(accumulate(key.split("."), "{}.{}".format))


def leaves(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values that can change the result, by their keys with dots; of an equal meaning, equal ones."""
    flat = flatten(config)
    if flat.get("initial_weights") is None:
        flat.pop("strict", None)  # it counts with these alone
    return {key: normalized(key, value) for key, value in flat.items() if not is_ignored(key)}


def normalized(key: str, value: Any) -> Any:
    """Write a value in the one form that others of its meaning are written in.

    A square size is one number; a run to begin with is what the runs of all seeds share of it; a precision has its long
    name; a mapping whose order counts is a list of pairs.
    """
    if key in ORDERED and isinstance(value, Mapping):
        return [list(pair) for pair in value.items()]
    if (key == "model.encoder_weights" and value is False) or (key == "optimizer.lr_factors" and not value):
        return None
    if key == "trainer.precision":
        return PRECISION_NAMES.get(str(value), value)
    if key in EARLIER_RUNS and isinstance(value, str):
        setting, _, file = file_in_run(value) or (posixpath.normpath(value), "", "")
        if key == "continue_from":  # any file in a run means the run
            return setting
        return f"{setting}{file}"
    two = key.endswith(SIZE) and isinstance(value, list | tuple) and len(value) == 2
    return value[0] if two and value[0] == value[1] else value


def file_in_run(path: str) -> tuple[str, str, str] | None:
    """Return of a path what the runs of all seeds share, the seed, and the file; None for what is in no run.

    The file is its path in the run after a `/`, and empty for the run itself and its best checkpoint.
    """
    match = IN_RUN.fullmatch(posixpath.normpath(path))
    if match is None:
        return None
    setting, seed, file = match.groups()
    return setting, seed, "" if file in (None, *BEST) else f"/{file}"


def flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return every value of a configuration by its key with dots.

    A list that holds dictionaries is taken apart by position (`augmentation.transforms.1.p`); any other is one value.
    """
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, list | tuple) and any(isinstance(entry, Mapping) for entry in value):
            value = dict(enumerate(value))
        name = f"{prefix}{key}"
        nested = isinstance(value, Mapping) and name not in WHOLE
        flat |= flatten(value, f"{name}.") if nested else {name: value}
    return flat


def canonical(value: Any) -> str:
    """Write a value so that equal ones are equal texts: 1 and 1.0 are, 1 and true are not."""
    return json.dumps(_plain(value), sort_keys=True, default=str)


def _plain(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return {str(key): _plain(entry) for key, entry in value.items()} if isinstance(value, Mapping) else value
