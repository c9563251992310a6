"""The runs that a claim is about, and which of them compare with which."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import yaml

from medseg.reporting.claims_file import Claim, Selector
from medseg.reporting.layout import flatten, ignored
from medseg.reporting.records import Run

NOT_COMPARED = (
    "data.dataset", "data.fold", "data.root", "data.in_channels", "data.num_classes", "model.in_channels",
    "model.num_classes",
)  # fmt: skip
"""Settings that runs of a comparison over several datasets need not share."""


def unique_runs(runs: Iterable[Run]) -> list[Run]:
    """Keep one run of each setting, seed and fold: a comparison and an ablation may both have the default network.

    A finished one if there is one, and one to which that network was given as it is.
    """
    kept: dict[tuple[Any, ...], Run] = {}
    for run in sorted(runs, key=lambda run: (not run.finished, changes_network(run))):
        kept.setdefault((run.setting, run.seed, run.fold), run)
    return list(kept.values())


def changes_network(run: Run) -> bool:
    """Tell whether a run was given settings of its network, be they the usual ones."""
    return any(override.lstrip("+").startswith("model.") for override in run.overrides)


def value_of(run: Run, key: str) -> Any:
    """Return what a selector's key is in a run; None where the run has no such key."""
    if key in ("model", "data"):
        return getattr(run, key)
    if key in run.choices:
        return run.choices[key]
    if not run.config:  # of a run that has not begun
        given = dict(override.lstrip("+").split("=", 1) for override in run.overrides if "=" in override)
        return yaml.safe_load(given[key]) if key in given else None
    value: Any = run.config
    for part in key.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def matches(run: Run, *selectors: Selector) -> bool:
    """Whether a run has all that some selectors ask for."""
    return all(same(value_of(run, key), value) for selected in selectors for key, value in selected.items())


def same(found: Any, asked: Any) -> bool:
    """Whether two values are the same, as a file has them."""
    if isinstance(found, str) and isinstance(asked, str):
        return found == asked
    # As text, so that True is not 1 and a tuple is a list.
    return json.dumps(found) == json.dumps(asked)


def words(selected: Selector) -> str:
    """Say a selector: `unet, norm=layer`."""
    shown = {key: value if isinstance(value, str) else json.dumps(value) for key, value in selected.items()}
    return ", ".join(text if key == "model" else f"{key.rpartition('.')[2]}={text}" for key, text in shown.items())


def settings_of(run: Run, without: Iterable[str]) -> dict[str, str]:
    """Return the settings of a run by their keys with dots, without some keys and what is below them."""
    gone = {*NOT_COMPARED, *without}
    parents = tuple(f"{key}." for key in gone)
    shared = {
        key: value
        for key, value in sorted(flatten(run.config).items())
        if not ignored(key) and key not in gone and not key.startswith(parents)
    }
    # Tested on all images, fold by fold, which is another test than that of one split.
    return shared if run.fold is None else {**shared, "test": "all folds"}


Sorted = dict[str, dict[str, dict[int, list[Run]]]]
"""Shared settings, as JSON -> dataset -> side (0 is the one that should be better) -> its runs."""


def sort_runs(claim: Claim, runs: Iterable[Run]) -> Sorted:
    """Sort finished runs by what they share with others of the claim, by dataset and by side."""
    named = {key for selected in (claim.better, *claim.than) for key in selected}
    matching = [
        (place, run)
        for run in runs
        if run.finished
        for place, selected in enumerate((claim.better, *claim.than))
        if matches(run, claim.where, selected)
    ]
    shared = {run.folder: settings_of(run, named) for _, run in matching}
    of_data = {folder: {key for key in own if key.startswith("data.")} for folder, own in shared.items()}

    def context(run: Run, *, with_data: bool) -> str:
        own = shared[run.folder]
        return json.dumps(own if with_data else {key: own[key] for key in own if key not in of_data[run.folder]})

    # Datasets differ in settings of their own, such as the size of their images, unless one dataset has several: then
    # these were varied.
    data_settings: dict[tuple[str, str], set[str]] = defaultdict(set)
    for _, run in matching:
        data_settings[context(run, with_data=False), run.data].add(context(run, with_data=True))
    varied = {shared_by for (shared_by, _), several in data_settings.items() if len(several) > 1}
    found: Sorted = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
    for place, run in matching:
        shared_by = context(run, with_data=False)
        found[context(run, with_data=True) if shared_by in varied else shared_by][run.data][place].append(run)
    return found


def one_setting(runs: Sequence[Run]) -> list[Run]:
    """Of several settings of a network, keep the one that is as shipped; none where that is not one."""
    settings: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        settings[json.dumps(run.config.get("model"), sort_keys=True)].append(run)
    if len(settings) == 1:
        return list(runs)
    shipped = [some for some in settings.values() if not all(map(changes_network, some))]
    return shipped[0] if len(shipped) == 1 else []
