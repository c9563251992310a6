"""Measure networks and describe them in words: one, stage by stage, or all of the papers in a table."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from omegaconf import DictConfig, OmegaConf
from torch import nn

from medseg.config.compose import compose
from medseg.config.instantiate import instantiate_network
from medseg.errors import UserError
from medseg.measure.cost import measure_cost
from medseg.measure.receptive_field import receptive_field
from medseg.measure.show import Description, Measured, write_description, write_sizes
from medseg.models.facts import facts_of, published_networks

log = logging.getLogger(__name__)


def size_of(cfg: DictConfig) -> tuple[int, int]:
    """Return the (height, width) to measure with."""
    height, width = cfg.image_size if OmegaConf.is_list(cfg.image_size) else (cfg.image_size, cfg.image_size)
    return height, width


def describe_network(cfg: DictConfig, overrides: Sequence[str]) -> str:
    """Measure the network of a configuration and describe it.

    Args:
        cfg: of `medseg describe`.
        overrides: that chose the network, for the title.
    """
    in_channels, num_classes = cfg.in_channels or 3, cfg.num_classes or 2
    network = build(cfg.model, in_channels, num_classes)
    min_size = getattr(network, "min_size", None)
    cost = measure_cost(network, in_channels=in_channels, size=size_of(cfg))
    log.info("measuring the receptive field")
    try:
        # Most networks without a known smallest size halve the size five times.
        field = receptive_field(network, in_channels=in_channels, min_size=min_size or 64)
    except Exception as error:
        log.warning("the receptive field could not be measured: %s", " ".join(str(error).split()))
        field = None
    words = [word.lstrip("+") for word in overrides]
    described = Description(
        title=" ".join([type(network).__name__, *(word for word in words if word.startswith("model"))]),
        in_channels=in_channels,
        num_classes=num_classes,
        size=size_of(cfg),
        cost=cost,
        min_size=min_size,
        field=field,
        facts=facts_of(network),
    )
    return write_description(described, cfg.format)


def describe_papers(cfg: DictConfig) -> str:
    """Measure every network of the papers and write their table."""
    measured = []
    for facts in published_networks():
        for size in facts.sizes:
            log.info("measuring %s", size.name)
            in_channels, num_classes = cfg.in_channels or size.in_channels, cfg.num_classes or size.num_classes
            network = build(compose("describe", f"model={size.model}".split())[0].model, in_channels, num_classes)
            try:
                cost = measure_cost(network, in_channels=in_channels, size=size_of(cfg))
            except UserError as error:
                log.warning("%s is left out: %s", size.name, error)
                continue
            claims = facts.claims if size is facts.sizes[0] else {}
            measured.append(Measured(size, claims, in_channels, num_classes, cost))
    return write_sizes(measured, size_of(cfg), cfg.format)


def build(model: DictConfig, in_channels: int, num_classes: int) -> nn.Module:
    """Build a network for images of so many channels and so many classes."""
    cfg = OmegaConf.create({"model": model, "data": {"in_channels": in_channels, "num_classes": num_classes}})
    if "encoder_weights" in cfg.model:
        cfg.model.encoder_weights = None  # nothing is downloaded for a count
    return instantiate_network(cfg.model)
