"""The classes that a configuration names: that they are there, and take the arguments that they are given."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Mapping, Sequence
from typing import Any

from hydra._internal.utils import _locate
from omegaconf import DictConfig, OmegaConf, open_dict

from medseg.config.reserved import reserved_in, without_reserved
from medseg.config.walk import named_classes
from medseg.errors import ConfigError, close_matches

OF_THE_DATA = {"in_channels": re.compile("chan|in_|input"), "num_classes": re.compile("class|label|out")}
"""What every network is given -> what other names of it look like."""

SHOWN = 15
"""Most arguments that are listed."""


def check_targets(cfg: DictConfig) -> None:
    """Check every `_target_` of a composed training configuration before anything is loaded.

    Raises `ConfigError` for a class that is not there, an argument that it does not take, and one that a network needs.
    """
    check_network_target(cfg.model)
    plain = OmegaConf.to_container(cfg)  # not resolved: a number of classes may be detected in the data
    for key, node in named_classes(plain):
        # medseg calls the data's class with other arguments than are written there.
        if key not in ("model", "data"):
            made = find(key, node["_target_"])
            check_arguments(key, without_reserved(node, made) if key == "optimizer" else node, made)


def check_network_target(model: DictConfig) -> None:
    """Check the class of a network and the names of its arguments.

    Raises `ConfigError`.
    """
    node: Any = OmegaConf.to_container(model)
    if "_target_" not in node:
        raise ConfigError("model=custom needs your class: +model._target_=my_package.MyNet")
    made = find("model", node["_target_"])
    parameters = parameters_of(made)
    if parameters is None:
        return
    missing = [
        name for name, parameter in parameters.items() if parameter.default is parameter.empty and name not in node
    ]
    called = node["_target_"].rpartition(".")[2]
    if missing:
        raise ConfigError(missing_names(called, missing, [name for name in OF_THE_DATA if name not in parameters]))
    check_arguments("model", fitting(model), made)


def fitting(model: DictConfig) -> DictConfig:
    """Return the configuration of a network without what its class does not take and medseg decides.

    Those are the numbers of channels and classes, and the options of `medseg.config.reserved`.
    """
    kept = with_sizes_taken(model)
    with open_dict(kept):
        for name in reserved_options("model", model):
            kept.pop(name)
    return kept


def with_sizes_taken(model: DictConfig) -> DictConfig:
    """Return the configuration of a network without numbers of channels and classes that its class does not take."""
    parameters = parameters_of(find("model", model._target_))
    kept = model.copy()
    with open_dict(kept):
        for name in OF_THE_DATA:
            if parameters is not None and name not in parameters:
                kept.pop(name, None)
    return kept


def reserved_options(key: str, node: DictConfig) -> dict[str, Any]:
    """Return the options in a node, `model` or `optimizer`, that medseg reads itself."""
    return reserved_in(node, find(key, node._target_))


def find(key: str, target: Any) -> Any:
    """Import what `_target_` names. Raises `ConfigError`."""
    start = f"{key}._target_={target}"
    if not isinstance(target, str) or "." not in target.strip("."):
        raise ConfigError(f"{start} must name a class with its module: my_package.MyClass")
    module, _, name = target.rpartition(".")
    try:
        made = _locate(target)
    except Exception as error:  # whatever a module raises while it is imported
        try:
            known = dir(importlib.import_module(module))
        except Exception as cause:
            reason = " ".join(str(cause).split())
            raise ConfigError(
                f"{start} cannot be imported: {type(cause).__name__}: {reason}; custom modules are looked for in "
                "the folder of the command and among what is installed"
            ) from error
        raise ConfigError(f"{start}: {module} has no '{name}'{close_matches(name, known)}") from None
    if not callable(made):
        raise ConfigError(f"{start} is a {type(made).__name__}, no class and no function")
    return made


def parameters_of(made: Any) -> dict[str, inspect.Parameter] | None:
    """Return the arguments of a class or function by name; None where it takes any, or they are not known."""
    try:
        parameters = inspect.signature(made).parameters
    except ValueError:  # of a builtin
        return None
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return None
    return {name: one for name, one in parameters.items() if one.kind is not one.VAR_POSITIONAL}


def check_arguments(key: str, node: Mapping[Any, Any], made: Any) -> None:
    """Refuse an argument that a class does not take. Raises `ConfigError`."""
    parameters = parameters_of(made)
    for name in map(str, node):
        if parameters is None or name.startswith("_") or name in parameters:
            continue
        takes = f" (it takes {', '.join(parameters) or 'none'})" if len(parameters) <= SHOWN else ""
        called = getattr(made, "__name__", str(node["_target_"]))
        raise ConfigError(f"{key}.{name}: {called} takes no '{name}'{close_matches(name, parameters) or takes}")


def missing_names(called: str, missing: Sequence[str], unused: Sequence[str]) -> str:
    """Describe how a network gets what it needs, the numbers of channels and classes under its names for them.

    Args:
        called: name of the class.
        missing: names of what it needs and is not given.
        unused: names of what it is given and does not take.
    """
    values: dict[str, str] = {}
    for ours in unused:
        theirs = next((name for name in missing if name not in values and OF_THE_DATA[ours].search(name)), None)
        if theirs is not None:
            values[theirs] = f"${{data.{ours}}}"
    values |= {name: "..." for name in missing if name not in values}
    words = " ".join(f"'+model.{name}={value}'" for name, value in values.items())
    yaml = " and ".join(f"`{name}: {value}`" for name, value in values.items())
    instead = f", not {' and '.join(unused)}" if unused else ""
    return f"{called} needs {' and '.join(values)}{instead}: give {words}, or in a YAML file {yaml}"
