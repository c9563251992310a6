"""Build what a configuration names with `_target_`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, open_dict

from medseg.config.reserved import RESERVED, reserved_in
from medseg.config.targets import check_network_target, find, fitting
from medseg.errors import ConfigError, UserError

if TYPE_CHECKING:
    from hydra.errors import InstantiationException
    from torch import nn


def instantiation_error(error: InstantiationException) -> str:
    """Describe which part of the configuration could not be built and why, without the text that Hydra adds."""
    key = re.search(r"full_key: (\S+)", str(error))
    where = f"{key.group(1)}: " if key else ""
    cause = error.__cause__
    return f"{where}{cause}" if cause is not None else " ".join(str(error).split())


def instantiate(node: DictConfig, **extra: Any) -> Any:
    """Build what a node's `_target_` names, with plain lists and dictionaries as arguments.

    The options of `medseg.config.reserved` are left out.

    Raises the `UserError` of the constructor, or `ConfigError` for anything else that keeps it from being built.
    """
    import hydra  # not above: a checkpoint is read without it
    from hydra.errors import InstantiationException

    if any(name in node for name in RESERVED):
        node = node.copy()
        with open_dict(node):
            for name in reserved_in(node, find("", node._target_)):
                del node[name]
    try:
        return hydra.utils.instantiate(node, _convert_="all", **extra)
    except InstantiationException as error:
        if isinstance(error.__cause__, UserError):
            raise error.__cause__ from None
        raise ConfigError(instantiation_error(error)) from error


def instantiate_network(model: DictConfig) -> nn.Module:
    """Build the network of a `model` configuration.

    Raises `ConfigError` where that names no network.
    """
    from torch import nn  # not above: torch takes seconds, and most commands can fail without it

    check_network_target(model)
    network = instantiate(fitting(model))
    if not isinstance(network, nn.Module):
        raise ConfigError(f"{model._target_} made a {type(network).__name__}; a network must be a torch.nn.Module")
    return network
