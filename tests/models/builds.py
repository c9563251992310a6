"""Networks for tests, built from the YAML files as a run would, but small."""

from __future__ import annotations

import copy
from functools import lru_cache
from typing import Any

import torch
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import OverrideType
from omegaconf import DictConfig, OmegaConf
from torch import nn

from medseg.config import yaml_files
from medseg.models.outputs import main_output
from medseg.trained.building import instantiate
from tests.helpers import compose_config

SMALL: dict[str, tuple[str, ...]] = {
    "unet": ("model.base_channels=4",),
    "convunext": ("model.base_channels=4",),
    "amsunet": ("model.base_channels=4",),
    "attention_unet": ("model.base_channels=4",),
    "attention_unet_32": ("model.base_channels=4",),
    "resunet": ("model.base_channels=4",),
    "resunet_32": ("model.base_channels=4",),
    "ushape": ("model.base_channels=4",),
    "cmunext": ("model.channels=[4,6,8,10,12]",),
    "cmunext_s": ("model.channels=[4,6,8,10,12]",),
    "cmunext_l": ("model.channels=[4,6,8,10,12]",),
    "unetpp": ("model.base_channels=4",),
    "unext": ("model.channels=[4,8,10,12,16]",),
    "unext_s": ("model.channels=[4,8,10,12,16]",),
    "unext_l": ("model.channels=[4,8,10,12,16]",),
    "dcsaunet": ("model.stem_channels=4", "model.encoder_widths=[2,4,4,4]", "model.decoder_widths=[4,4,2,2]"),
    # Narrower ones have one hidden unit in every channel attention, which is off for some images.
    **dict.fromkeys(("mkunet", "mkunet_t", "mkunet_s", "mkunet_m", "mkunet_l"), ("model.channels=[8,16,32,32,32]",)),
    "tinyunet": ("model.channels=[16,16,32,32]",),
    "unet2015": ("model.base_channels=2",),
    "sliding_window": ("model.base_channels=4", "model.hidden_channels=8"),
    **dict.fromkeys(
        ("segnext_t", "segnext_s", "segnext_b", "segnext_l"),
        ("model.dims=[8,8,16,16]", "model.depths=[1,1,2,1]", "model.head_channels=64", "model.rank=4"),
    ),
}
"""Overrides that make a network quick; one that is not named here is built as it is."""

NETWORKS = [name for name in yaml_files.options("model") if name != "custom"]


@lru_cache
def composed(name: str) -> DictConfig:
    """Return the configuration of a run of the network `name`, made small. Composing takes a tenth of a second."""
    size = ("data.in_channels=3", "data.num_classes=2")
    return compose_config("train", *size, f"model={name}", *SMALL.get(name, ()), checked=False)


@lru_cache
def settings(name: str, *overrides: str) -> dict[str, Any]:
    """Return the arguments of the network `name`, made small, as its YAML and the overrides of single keys give them.

    They are not checked: what a network refuses itself is tested, too.
    """
    cfg = copy.deepcopy(composed(name))
    for override in OverridesParser.create().parse_overrides(list(overrides)):
        assert "." in override.key_or_group, "no option"
        assert override.type in (OverrideType.CHANGE, OverrideType.ADD)
        added = override.type == OverrideType.ADD
        OmegaConf.update(cfg, override.key_or_group, override.value(), force_add=added)  # as Hydra does
    return OmegaConf.to_container(cfg.model, resolve=True)  # type: ignore[return-value]


def different() -> list[str]:
    """List the networks but for those that are, made small, the same as one before them, such as SegNeXt-S and B."""
    first: dict[str, str] = {}
    for name in NETWORKS:
        first.setdefault(repr(settings(name)), name)
    return list(first.values())


def build(name: str, *overrides: str, seed: int = 0) -> nn.Module:
    """Build the network `name`, made small, for 3 channels and 2 classes unless the overrides say otherwise."""
    torch.manual_seed(seed)
    network = instantiate(settings(name, *overrides))
    assert isinstance(network, nn.Module)
    return network


def compose_model(choice: str) -> DictConfig:
    """Compose the `model` group from `unet model.base_channels=64`, as `medseg describe` would."""
    return compose_config("describe", *f"model={choice}".split()).model


def logits_of(network: nn.Module, image: torch.Tensor) -> torch.Tensor:
    """Return the network's own logits in evaluation mode."""
    with torch.no_grad():
        return main_output(network.eval()(image))


def count(module: nn.Module) -> int:
    """Count the parameters."""
    return sum(parameter.numel() for parameter in module.parameters())
