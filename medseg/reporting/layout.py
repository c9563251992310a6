"""Which runs share a row and a column of a table, and what these are called.

A row is what a run does apart from its data, its seed and its fold: network, other choices, changed values. A column
is a dataset, as it was split and sized. Both are told from what was chosen and given on the command line.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from medseg.reporting.records import Run
from medseg.runs.naming import IGNORED

DATA = ("dataset", "root", "split", "image_size", "in_channels", "num_classes", "skip_bad")
"""Keys of `data` that make it other data; its other keys, such as the batch size, are of the training."""


Facts = tuple[tuple[str, str], ...]
"""(key, value) pairs, sorted."""


@dataclass(frozen=True)
class Line:
    """A row or a column.

    Args:
        label: what tells it from the others shown.
        name: of the network or of the dataset.
        facts: what else its runs share.
    """

    label: str
    name: str
    facts: Facts


@dataclass(frozen=True)
class Layout:
    """Rows, columns, and the runs of each cell; a cell without a run is not there."""

    rows: tuple[Line, ...]
    columns: tuple[Line, ...]
    cells: Mapping[tuple[Line, Line], tuple[Run, ...]]


def lay_out(runs: Sequence[Run]) -> Layout:
    """Sort runs into rows and columns, both in the order of the sweep, without one by name."""
    runs = sorted(runs, key=lambda run: (run.experiment, run.position))
    row_of = {id(run): (run.model, row_facts(run)) for run in runs}
    column_of = {id(run): (run.data, column_facts(run)) for run in runs}
    for base in dict.fromkeys(row_of.values()):
        here = [run for run in runs if row_of[id(run)] == base]
        for run, more in zip(here, tell_apart(here, [column_of[id(run)] for run in here]), strict=True):
            row_of[id(run)] = (base[0], tuple(sorted((*base[1], *more))))
    rows, columns = label_lines(row_of.values()), label_lines(column_of.values())
    cells: dict[tuple[Line, Line], list[Run]] = {}
    for run in sorted(runs, key=lambda run: (run.seed, run.fold or 0)):
        cells.setdefault((rows[row_of[id(run)]], columns[column_of[id(run)]]), []).append(run)
    return Layout(tuple(rows.values()), tuple(columns.values()), {cell: tuple(found) for cell, found in cells.items()})


def row_facts(run: Run) -> Facts:
    """Return what a run shares with its row beside the name of the network."""
    facts = {key: str(value) for key, value in run.choices.items() if key not in ("model", "data")}
    for key, value in given(run):
        part = key.partition(".")
        if key not in run.choices and not (part[0] == "data" and (part[2].partition(".")[0] in (*DATA, "fold"))):
            facts[key] = value
    # The experiment's file says nothing that the settings do not.
    return tuple(sorted((k, v) for k, v in facts.items() if not ignored(k) and k.partition("@")[0] != "experiments"))


def column_facts(run: Run) -> Facts:
    """Return what a run shares with its column beside the name of the dataset."""
    facts = {key: value for key, value in given(run) if key.startswith("data.") and key.split(".")[1] in DATA}
    # Tested on all images, fold by fold, which is another test than that of one split.
    facts |= {} if run.fold is None else {"test": "all folds"}
    return tuple(sorted(facts.items()))


def given(run: Run) -> list[tuple[str, str]]:
    """Return the keys and values given on the command line, the last value of a key."""
    pairs = (override.partition("=") for override in run.overrides)
    return list({key.lstrip("+"): value for key, _, value in pairs if key.lstrip("+") not in ("model", "data")}.items())


def ignored(key: str) -> bool:
    """Tell whether a key makes no other run."""
    return any(key == name or key.startswith((f"{name}.", f"{name}/")) for name in IGNORED)


def tell_apart(runs: Sequence[Run], columns: Sequence[Any]) -> list[Facts]:
    """Return facts that tell runs of different settings apart which were given the same, for each run.

    Two settings in one place come of two experiments, or of a default that was changed in between.
    """
    places = [(column, run.fold) for run, column in zip(runs, columns, strict=True)]
    if not collide(runs, places):
        return [()] * len(runs)
    if not any(collide(*only(runs, places, experiment)) for experiment in {run.experiment for run in runs}):
        return [(("experiment", run.experiment),) for run in runs]
    configs = [flatten(run.config) for run in runs]
    differing = set()
    for place in set(places):
        here = [config for config, other in zip(configs, places, strict=True) if other == place and config]
        differing |= {key for config in here for key in config if any(config[key] != c.get(key) for c in here)}
    keys = sorted(key for key in differing if not ignored(key))
    if keys:
        return [tuple((key, config.get(key, "?")) for key in keys) for config in configs]
    return [(("experiment", run.experiment), ("setting", run.setting.rpartition("-")[2])) for run in runs]


def only(runs: Sequence[Run], places: Sequence[Any], experiment: str) -> tuple[list[Run], list[Any]]:
    """Return the runs of one experiment and their places."""
    chosen = [(run, place) for run, place in zip(runs, places, strict=True) if run.experiment == experiment]
    return [run for run, _ in chosen], [place for _, place in chosen]


def collide(runs: Sequence[Run], places: Sequence[Any]) -> bool:
    """Tell whether one place has two settings, or one seed twice."""
    settings: dict[Any, str] = {}
    seeds = set()
    for run, place in zip(runs, places, strict=True):
        if settings.setdefault(place, run.setting) != run.setting or (place, run.seed) in seeds:
            return True
        seeds.add((place, run.seed))
    return False


def flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Return every value of a configuration by its key with dots."""
    flat: dict[str, str] = {}
    for key, value in config.items():
        if isinstance(value, dict):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = str(value)
    return flat


def label_lines(lines: Iterable[tuple[str, Facts]]) -> dict[tuple[str, Facts], Line]:
    """Name rows or columns by what differs among them: the name where there are several, and the differing facts."""
    lines = list(dict.fromkeys(lines))
    names = {name for name, _ in lines}
    keys = dict.fromkeys(key for _, facts in lines for key, _ in facts)
    differing = [key for key in keys if len({dict(facts).get(key) for _, facts in lines}) > 1]
    labelled = {}
    for name, facts in lines:
        own = dict(facts)
        parts = [f"{short(key)}={own[key]}" for key in differing if key in own and not in_name(name, key)]
        label = ", ".join([name, *parts] if len(names) > 1 or not parts else parts)
        labelled[name, facts] = Line(label, name, facts)
    return labelled


def short(key: str) -> str:
    """Shorten a key to what a reader of a table of networks needs."""
    return key.removeprefix("model.").removeprefix("data.")


def in_name(name: str, key: str) -> bool:
    """Tell whether the name of a network says what a key says."""
    return key == "model._target_" or (name.startswith("smp_") and key in ("model.arch", "model.encoder_name"))
