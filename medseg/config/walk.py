"""Walk through the plain values of a configuration; needs no Hydra, which a checkpoint is read without."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def named_classes(node: Any, key: str = "") -> Iterator[tuple[str, Mapping[Any, Any]]]:
    """Yield every mapping with a `_target_` in plain mappings and lists, the outermost first, and its dotted key."""
    if isinstance(node, Mapping):
        if "_target_" in node:
            yield key, node
        for name, value in node.items():
            yield from named_classes(value, f"{key}.{name}" if key else str(name))
    elif isinstance(node, list | tuple):
        for number, value in enumerate(node):
            yield from named_classes(value, f"{key}[{number}]")
