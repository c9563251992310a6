"""`medseg describe`: what a network costs and sees, stage by stage."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from medseg.commands.command import Command
from medseg.commands.start import run_command
from medseg.config.compose import compose
from medseg.config.instantiate import instantiate_network
from medseg.runs.files import replacing_text

if TYPE_CHECKING:
    from torch import nn

log = logging.getLogger("medseg")  # not __name__, which is __main__ under `python -m`

SUMMARY = """
medseg describe measures a network without training it: parameters, multiply-accumulates, the memory that training
takes per image, the smallest image, the receptive field, and all this stage by stage. model=all is the size table of
the papers.
"""

EXAMPLES = (
    "medseg describe amsunet",
    "medseg describe unet model.base_channels=64 image_size=[384,512] in_channels=1",
    "medseg describe smp model.arch=unet model.encoder_name=resnet50 format=markdown",
    "medseg describe +model._target_=my_package.MyNet       your own network",
    "medseg describe all format=csv output=sizes.csv  every network of the papers",
)


def describe(cfg: DictConfig) -> None:
    """Measure the network that `cfg` describes, or all of the papers, and print or write the table."""
    text = describe_all(cfg) if cfg.all else describe_one(cfg)
    if cfg.output is None:
        print(text)
        return
    file = Path(cfg.output).expanduser()
    with replacing_text(file) as stream:
        stream.write(f"{text}\n")
    print(f"written: {file}")


def size_of(cfg: DictConfig) -> tuple[int, int]:
    """Return the (height, width) to measure with."""
    height, width = cfg.image_size if OmegaConf.is_list(cfg.image_size) else (cfg.image_size, cfg.image_size)
    return height, width


def describe_one(cfg: DictConfig) -> str:
    """Measure the network that is chosen and write what was measured."""
    # Imported here, not above: torch takes seconds, and --help and a misspelt option need none of it.
    from medseg.measure import measure_cost, receptive_field
    from medseg.measure.show import Description, write_description
    from medseg.models.facts import facts_of

    in_channels, num_classes = cfg.in_channels or 3, cfg.num_classes or 2
    network = build(cfg.model, in_channels, num_classes)
    min_size = getattr(network, "min_size", None)
    cost = measure_cost(network, in_channels=in_channels, size=size_of(cfg))
    log.info("measuring the receptive field")
    try:
        # Most networks that do not say halve the size five times.
        field = receptive_field(network, in_channels=in_channels, min_size=min_size or 64)
    except Exception as error:
        log.warning("the receptive field could not be measured: %s", " ".join(str(error).split()))
        field = None
    asked = [word.lstrip("+") for word in HydraConfig.get().overrides.task]
    described = Description(
        title=" ".join([type(network).__name__, *(word for word in asked if word.startswith("model"))]),
        in_channels=in_channels,
        num_classes=num_classes,
        size=size_of(cfg),
        cost=cost,
        min_size=min_size,
        field=field,
        facts=facts_of(network),
    )
    return write_description(described, cfg.format)


def describe_all(cfg: DictConfig) -> str:
    """Measure every network of the papers and write their table."""
    from medseg.measure import measure_cost
    from medseg.measure.show import Measured, write_sizes
    from medseg.models.facts import published_networks

    measured = []
    for facts in published_networks():
        for size in facts.sizes:
            log.info("measuring %s", size.name)
            in_channels, num_classes = cfg.in_channels or size.in_channels, cfg.num_classes or size.num_classes
            network = build(compose("describe", f"model={size.model}".split())[0].model, in_channels, num_classes)
            cost = measure_cost(network, in_channels=in_channels, size=size_of(cfg))
            claims = facts.claims if size is facts.sizes[0] else {}
            measured.append(Measured(size, claims, in_channels, num_classes, cost))
    return write_sizes(measured, size_of(cfg), cfg.format)


def build(model: DictConfig, in_channels: int, num_classes: int) -> nn.Module:
    """Build a network for images of so many channels and so many classes."""
    cfg = OmegaConf.create({"model": model, "data": {"in_channels": in_channels, "num_classes": num_classes}})
    if "encoder_weights" in cfg.model:
        cfg.model.encoder_weights = None  # nothing is downloaded for a count
    return instantiate_network(cfg.model)


COMMAND = Command("describe", describe, SUMMARY, EXAMPLES, positional=("model",))


def main() -> None:
    """Start from the command line."""
    # `all` is no option of the group.
    sys.argv[1:] = ["all=true" if word in ("all", "model=all") else word for word in sys.argv[1:]]
    run_command(COMMAND)
