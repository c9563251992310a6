"""What the numbers of a class map mean beside the classes, what these may be called, and the colours they have."""

from __future__ import annotations

from collections.abc import Sequence

IGNORE_INDEX = 255
"""Label of pixels that no loss and no score counts, such as the padding of a training crop."""

COLOURS = ((80, 220, 100), (90, 160, 255), (255, 200, 60), (230, 110, 230), (90, 230, 230), (255, 130, 90))
"""RGB of the outline of each foreground class, from the first one on again where there are more."""


def fault_of_names(names: Sequence[str]) -> str:
    """Say what makes names of classes invalid: an equal, empty or unprintable one; empty where nothing does."""
    for at, name in enumerate(names):
        if name in names[:at]:
            return f"{name!r} is there twice; each class has another name"
        if not name or not name.isprintable():
            return f"{name!r} has characters that cannot be printed" if name else "a name is empty"
    return ""
