"""Find the run that a configuration means under another name, as older versions of medseg gave it.

A run's name has a hash over its configuration, so that an option that is added, or one that goes, would give every run
another name although nothing else is computed. Two runs are the same where they agree on every key that both have, and
the keys that only one has are at their default there.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from medseg.errors import UserError
from medseg.runs.defaults import SETTING_FILES
from medseg.runs.files import read_json, read_yaml
from medseg.runs.folder import RunFolder
from medseg.runs.naming import canonical, flatten, is_ignored

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Meaning:
    """What a configuration means, apart from its seed.

    Args:
        values: flat key -> text of the value (`naming.canonical`), without the keys that make no other run; for a list
            of dictionaries also its length.
        choices: group -> option.
        usual: group -> option where nothing else is chosen.
        deviating: keys that are not at their default; None where a run does not tell.
        given: keys given on the command line, which is what a run tells that has no `deviating`.
    """

    values: Mapping[str, str]
    choices: Mapping[str, Any]
    usual: Mapping[str, Any]
    deviating: frozenset[str] | None = None
    given: tuple[str, ...] = ()

    def deviates(self, key: str, other: Meaning) -> bool:
        """Tell whether a key that `other` does not have is not at its default here."""
        group = key.partition(".")[0]
        if self.choices.get(group, other.usual.get(group)) != other.choices.get(group, self.usual.get(group)):
            return True
        if self.deviating is not None:
            return key in self.deviating
        # A file of settings may have set it as well.
        files = [group for group in {*self.choices, *other.choices} if group in SETTING_FILES or "experiments" in group]
        if any(self.choices.get(group) != other.choices.get(group) for group in files):
            return True
        return any(key == name or key.startswith(f"{name}.") for name in self.given)


def same(first: Meaning, second: Meaning) -> bool:
    """Tell whether two configurations mean the same."""
    # What somebody has set differs more often than what nobody has.
    likely = [*(first.deviating or ()), *(second.deviating or ())]
    for key in (*likely, *first.values):
        if key in first.values and key in second.values and first.values[key] != second.values[key]:
            return False
    only_first, only_second = first.values.keys() - second.values.keys(), second.values.keys() - first.values.keys()
    return not (
        any(first.deviates(key, second) for key in only_first)
        or any(second.deviates(key, first) for key in only_second)
    )


def values_of(settings: Mapping[str, Any]) -> dict[str, str]:
    """Return what a resolved configuration means: flat key -> text of the value."""
    flat = flatten(settings)
    lengths: dict[str, int] = {}
    for key, value in flat.items():
        parts = key.split(".")
        for level, part in enumerate(parts[1:], 1):
            if part.isdigit():
                name = ".".join(parts[:level])
                lengths[name] = max(lengths.get(name, 0), int(part) + 1)
        if value == []:
            lengths[key] = 0
    return {key: canonical(value) for key, value in {**flat, **lengths}.items() if not is_ignored(key)}


@dataclass(frozen=True)
class Stored:
    """What a run folder tells: what its configuration means, and how many classes were found in its data."""

    folder: RunFolder
    meaning: Meaning
    num_classes: Any


def find_same(parent: Path, start: str, end: str, meaning: Callable[[Any], Meaning]) -> RunFolder | None:
    """Find a run that means the same among the folders in `parent` whose names begin and end in this way.

    Args:
        parent: folder of the experiment.
        start, end: of the names, such as `unet-kvasir-` and `-seed0`.
        meaning: what is looked for, for a number of classes: a run stores the one that was found in its data.

    Returns the finished one where there are several; None where there is none. Nothing is read where no name fits.
    """
    found = []
    for name in names_in(parent):
        if name.startswith(start) and name.endswith(end):
            stored = read_stored(parent / name)
            if stored is not None and same(meaning(stored.num_classes), stored.meaning):
                found.append(stored.folder)
    return min(found, key=lambda folder: not folder.finished, default=None)


def names_in(parent: Path) -> list[str]:
    """Return the sorted names in a folder; none where it is not there."""
    try:
        return sorted(entry.name for entry in os.scandir(parent))
    except OSError:
        return []


def read_stored(folder: Path) -> Stored | None:
    """Read what a run folder tells; None where it has no configuration, or a damaged one, which is logged."""
    file = RunFolder(folder).config
    try:
        stamp = file.stat().st_mtime_ns
    except OSError:
        return None
    return _read_stored(folder, stamp)


@cache
def _read_stored(folder: Path, stamp: int) -> Stored | None:
    """Read a run once in a process; `stamp`: the time of its configuration."""
    run = RunFolder(folder)
    try:
        settings, record = read_yaml(run.config), read_json(run.record, optional=True)
        data = settings.get("data", {})
        if data.get("root"):
            data["root"] = absolute(data["root"], Path.cwd())
        defaults = record.get("defaults")
        choices = dict(record.get("choices") or {})
        given = [word.partition("=")[0].lstrip("+~") for word in record.get("overrides") or ()]
        meaning = Meaning(
            values=values_of(settings),
            choices=choices,
            usual=dict(record.get("default_choices") or {}),
            deviating=None if defaults is None else frozenset(defaults),
            given=tuple(key for key in given if key not in choices),
        )
    except UserError as error:
        log.warning("%s", error)
    except (AttributeError, TypeError, ValueError):
        log.warning("%s: damaged (not the configuration and the record of a run)", folder)
    else:
        return Stored(run, meaning, data.get("num_classes"))
    return None


def absolute(path: str | Path, base: Path) -> str:
    """Return a path that is the same wherever a command is given; a relative one is below `base`."""
    return str((base / Path(path).expanduser()).resolve())
