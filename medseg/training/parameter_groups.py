"""Parts of a network that are trained at other learning rates."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn
from torch.optim import Optimizer

from medseg.errors import ConfigError, close_matches
from medseg.models.encoder import encoder_of

OTHERS = "others"
"""Name of the group of all parameters that have the learning rate of the optimizer."""


@dataclass(frozen=True)
class Layers:
    """Parts of a network with another learning rate.

    Attributes:
        name: of their parameter group.
        prefixes: module names, or names of parameters; all parameters below are of the group.
        factor: of the optimizer's learning rate.
    """

    name: str
    prefixes: tuple[str, ...]
    factor: float


def layers_of(network: nn.Module, options: Mapping[str, Any]) -> list[Layers]:
    """Return the parts that have other learning rates; none where all factors are 1.

    Args:
        network: of the training.
        options: of the optimizer: `encoder_lr_factor`, the factor of the encoder (`medseg.models.encoder`), and
            `lr_factors`, factors by module names.

    Raises `ConfigError` for a network without an encoder, and for a name that no parameter begins with.
    """
    factors = {str(name): factor for name, factor in (options.get("lr_factors") or {}).items()}
    encoder = options.get("encoder_lr_factor", 1)
    layers = [Layers(name, (name,), factor) for name, factor in factors.items()]
    if encoder != 1:
        name = "encoder_lr_factor" if "encoder" in factors else "encoder"
        parts = tuple(part for part in encoder_of(network) if part not in factors)
        layers = [Layers(name, parts, encoder), *layers]
    for prefix in factors:
        check_prefix(network, prefix)
    return layers if any(each.factor != 1 for each in layers) else []


def check_prefix(network: nn.Module, prefix: str) -> None:
    """Raise `ConfigError` where a network has no parameters below a name, with names that are like it."""
    names = [name for name, _ in network.named_parameters()]
    if any(is_below(name, prefix) for name in names):
        return
    modules = [name for name, module in network.named_modules() if name and any(True for _ in module.parameters())]
    top = dict.fromkeys(name.partition(".")[0] for name in names)
    hint = close_matches(prefix, modules) or f" (it has {', '.join(top)})"
    raise ConfigError(f"optimizer.lr_factors: {type(network).__name__} has no parameters below '{prefix}'{hint}")


def is_below(name: str, prefix: str) -> bool:
    """Tell whether a parameter is of a module, or is what is named itself."""
    return name == prefix or name.startswith(f"{prefix}.")


def parameter_groups(module: nn.Module, network: nn.Module, layers: Sequence[Layers]) -> list[dict[str, Any]]:
    """Divide the parameters of a module into groups; where several names cover one, the longest wins.

    Args:
        module: what is trained: a network, and perhaps a loss with parameters.
        network: in it; the names are of its parameters.
        layers: what has a group.

    Returns:
        the groups that have parameters, that of the others first.
    """
    groups: dict[str, list[nn.Parameter]] = {OTHERS: [], **{each.name: [] for each in layers}}
    group_of = {prefix: each.name for each in layers for prefix in each.prefixes}
    covered = set()
    for name, parameter in network.named_parameters():
        prefix = max((prefix for prefix in group_of if is_below(name, prefix)), key=len, default=None)
        if prefix is not None:
            groups[group_of[prefix]].append(parameter)
            covered.add(id(parameter))
    groups[OTHERS] = [parameter for parameter in module.parameters() if id(parameter) not in covered]
    return [{"params": parameters, "name": name} for name, parameters in groups.items() if parameters]


def make_optimizer(
    make: Callable[..., Optimizer], module: nn.Module, network: nn.Module, layers: Sequence[Layers], **options: Any
) -> Optimizer:
    """Make an optimizer of the parameters of a module: in one group, or with `layers` in several.

    `make`: the optimizer's class with its arguments; `options`: further ones. The other arguments are those of
    `parameter_groups`.
    """
    if not layers:
        return make(module.parameters(), **options)
    optimizer = make(parameter_groups(module, network, layers), **options)
    factors = {each.name: each.factor for each in layers}
    for group in optimizer.param_groups:
        group["lr"] *= factors.get(group["name"], 1)
    return optimizer
