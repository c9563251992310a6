"""Build the network and the dataset that a checkpoint names, from plain values.

Classes that are not part of medseg are imported and called only where the user trusts the checkpoint.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from medseg.config.checks.kinds import SWITCH, checked
from medseg.config.reserved import without_reserved
from medseg.config.walk import named_classes
from medseg.errors import UserError


@functools.cache
def known_classes(kind: str) -> tuple[type, set[str]]:
    """Return the base class of a kind, `network` or `dataset`, and the names of medseg's classes of it."""
    package = importlib.import_module("medseg.models" if kind == "network" else "medseg.data.datasets")
    base = nn.Module if kind == "network" else package.base.Dataset
    classes = {name: getattr(package, name) for name in package.__all__}
    own = {name for name, one in classes.items() if isinstance(one, type) and issubclass(one, base)}
    return base, {f"{package.__name__}.{name}" for name in own}


def build(kind: str, arguments: Any, file: Path, *, trust: bool) -> Any:
    """Call the class that `_target_` names with the other arguments.

    Args:
        kind: `network` or `dataset`.
        arguments: plain values, `_target_` among them.
        file: they are from.
        trust: import and call whatever `_target_` names, here and inside the arguments.

    Raises `UserError`.
    """
    checked("trust", trust, SWITCH)
    if not isinstance(arguments, Mapping) or not isinstance(arguments.get("_target_"), str):
        raise refused(file, "_target_ names no class")
    base, known = known_classes(kind)
    targets = [str(node["_target_"]) for _, node in named_classes(arguments)]
    # Nothing is built inside the arguments of medseg's classes either.
    unknown = [target for target in targets if target not in known] or targets[1:]
    if unknown and not trust:
        raise UserError(
            f"{file}: it builds {unknown[0] or repr(unknown[0])}, which is not a class of medseg; if you trust the "
            "file, give trust=true"
        )
    name = targets[0]
    try:
        made = instantiate(arguments)
    except UserError:
        raise
    except Exception as error:
        reason = str(error).strip().partition("\n")[0]
        raise UserError(f"{file}: {name.rpartition('.')[2]} cannot be built: {reason}") from error
    if not isinstance(made, base):
        raise UserError(f"{file}: {name} is no {kind}")
    return made


def instantiate(node: Any) -> Any:
    """Build what plain values name with `_target_`, as Hydra does: the innermost first, `_partial_` as a partial."""
    if isinstance(node, list | tuple):
        return [instantiate(each) for each in node]
    if not isinstance(node, Mapping):
        return node
    values = {key: instantiate(value) for key, value in node.items()}
    if "_target_" not in values:
        return values
    made, positional = pkgutil.resolve_name(values.pop("_target_")), values.pop("_args_", ())
    partial = values.pop("_partial_", False)
    values = without_reserved(values, made)
    arguments = {key: value for key, value in values.items() if key not in ("_convert_", "_recursive_")}
    return functools.partial(made, *positional, **arguments) if partial else made(*positional, **arguments)


def refused(file: Path, reason: object) -> UserError:
    """Return the error for metadata that cannot be."""
    return UserError(f"{file}: its settings are damaged or not medseg's ({' '.join(str(reason).split())})")
