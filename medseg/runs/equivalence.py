"""When two configurations mean the same, and the run that one means under another name.

A key that a configuration lacks has its default: an option that is added, or one that goes, makes no other run and no
other row of a table, although the hash in a run's name covers every key.
"""

from __future__ import annotations

import logging
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from medseg.errors import UserError
from medseg.runs.folder import RunFolder
from medseg.runs.naming import SETTING_FILES, canonical
from medseg.runs.run import Run, read_run

log = logging.getLogger(__name__)

UNKNOWN = "?"
"""Value of a key that some runs lack, whose default no run tells."""


def option_of(run: Run, group: str, usual: str | None = None) -> str:
    """Return the option of a run in a group; `usual`: that of a run that does not tell."""
    return run.model if group == "model" else str(run.choices.get(group, usual))


def fill_in_defaults(runs: Iterable[Run]) -> list[dict[str, Any]]:
    """Return the settings of each run, with those that it lacks and that another one of the same options has.

    They are at the default that the others tell, or `UNKNOWN`. A list of dictionaries has its length beside its parts:
    a part that is taken away is no option that an older version did not have.
    """
    runs = list(runs)
    filled = [{**run.settings, **lengths(run.settings)} for run in runs]
    parts: list[dict[str, list[str]]] = [defaultdict(list) for _ in runs]
    for settings, groups in zip(filled, parts, strict=True):
        for key in settings:
            groups[key.partition(".")[0]].append(key)
    usual = {group: option for run in runs for group, option in run.default_choices.items()}
    for group in dict.fromkeys(group for groups in parts for group in groups):
        options: dict[str, list[int]] = defaultdict(list)
        for number, run in enumerate(runs):
            options[option_of(run, group, usual.get(group))].append(number)
        for alike in options.values():
            having: dict[str, list[int]] = defaultdict(list)
            for number in alike:
                for key in parts[number].get(group, ()):
                    having[key].append(number)
            for key, some in having.items():
                for number in set(alike).difference(some) if len(some) < len(alike) else ():
                    filled[number][key] = default_of(key, [runs[other] for other in some], runs[number])
    return filled


def default_of(key: str, having: Sequence[Run], lacking: Run) -> Any:
    """Return the default of a key, for a run that lacks it, from those that have it."""
    for run in having:
        # A file of settings may have set it as well, and runs of older versions do not tell.
        if key not in run.changed and (run.defaults is not None or files_of(run) == files_of(lacking)):
            return run.settings.get(key)
    return next((run.defaults[key] for run in having if run.defaults and key in run.defaults), UNKNOWN)


def files_of(run: Run) -> dict[str, Any]:
    """Return the options that set keys of other groups."""
    return {group: o for group, o in run.choices.items() if group in SETTING_FILES or "experiments" in group}


def lengths(settings: Mapping[str, Any]) -> dict[str, str]:
    """Return the length of each list of dictionaries, which `naming.flatten` takes apart."""
    entries: dict[str, set[str]] = defaultdict(set)
    for key in settings:
        parts = key.split(".")
        for level, part in enumerate(parts):
            if part.isdigit():
                entries[".".join(parts[:level])].add(part)
    return {key: f"{len(several)} entries" for key, several in entries.items()}


def same(first: Run, second: Run) -> bool:
    """Tell whether two configurations mean the same, apart from their seed."""
    one, other = fill_in_defaults([first, second])
    return one.keys() == other.keys() and all(canonical(one[key]) == canonical(other[key]) for key in one)


def find_equivalent(
    parent: Path, start: str, end: str, planned: Callable[[Mapping[str, Any]], Run]
) -> RunFolder | None:
    """Find a run that means the same among the folders in `parent` whose names begin and end in this way.

    Args:
        parent: folder of the experiment.
        start, end: of the names, such as `unet-kvasir-` and `-seed0`.
        planned: what is looked for, as it would be stored where a run has these settings.

    Returns the finished one where there are several; None where there is none. Nothing is read where no name fits.
    """
    names = sorted(entry.name for entry in os.scandir(parent)) if parent.is_dir() else []
    found = []
    for folder in (parent / name for name in names if name.startswith(start) and name.endswith(end)):
        if not RunFolder(folder).config.is_file():
            continue
        try:
            run = read_run(folder)
            if run.settings and same(planned(run.settings), run):
                found.append(run)
        except UserError as error:
            log.warning("%s", error)
    return RunFolder(min(found, key=lambda run: not run.finished).folder) if found else None
