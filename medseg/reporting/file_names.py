"""Names of the files of a report, made from the names of its tables and datasets."""

from __future__ import annotations

import re
from collections.abc import Iterable

LONGEST = 100
"""Characters of a name, about: file systems take 255 with what else belongs to it."""


def file_names(names: Iterable[str]) -> list[str]:
    """Return a file name of each name, all different whatever the case; one that is taken ends in `-2`, `-3`."""
    made: list[str] = []
    taken: set[str] = set()
    for name in names:
        first = numbered = file_name(name)
        number = 1
        while numbered.lower() in taken:
            number += 1
            numbered = f"{first}-{number}"
        taken.add(numbered.lower())
        made.append(numbered)
    return made


def file_name(name: str) -> str:
    """Return a name that a file can have anywhere, before its suffix."""
    return re.sub(r"[^A-Za-z0-9._]+", "-", name)[:LONGEST].strip("-")
