"""The encoder of a network: what makes features of an image, and what pretrained weights are of."""

from __future__ import annotations

from torch import nn

from medseg.errors import ConfigError


def encoder_of(network: nn.Module) -> dict[str, nn.Module]:
    """Return the modules that make up a network's encoder, in their order, by their names in the network.

    These are the names in the attribute `encoder_parts` of its class; a class without it has its encoder in the
    attribute `encoder`, as many networks have.

    Raises `ConfigError` for a network without an encoder.
    """
    try:
        return {name: network.get_submodule(name) for name in getattr(network, "encoder_parts", ("encoder",))}
    except AttributeError:
        raise ConfigError(
            f"{type(network).__name__} has no encoder to load, freeze or train at another learning rate; a class of "
            'yours names its parts: encoder_parts = ("stem", "stages")'
        ) from None
