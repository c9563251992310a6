"""Options of a network or an optimizer that medseg reads itself, beside the arguments of the class."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

RESERVED = ("encoder_weights", "freeze_encoder", "encoder_lr_factor", "lr_factors")
"""They reach a class only where its signature names them."""


def reserved_in(node: Mapping[Any, Any], made: Any) -> dict[str, Any]:
    """Return the reserved options in a node of the configuration, but for those that its class takes itself.

    Args:
        node: arguments by name.
        made: the class or function that takes the other ones.
    """
    try:
        named = set(inspect.signature(made).parameters)
    except ValueError:  # of a builtin
        named = set()
    return {name: node[name] for name in RESERVED if name in node and name not in named}


def without_reserved(node: Mapping[Any, Any], made: Any) -> dict[Any, Any]:
    """Return a node without its reserved options."""
    ours = reserved_in(node, made)
    return {name: value for name, value in node.items() if name not in ours}
