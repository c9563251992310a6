"""`medseg describe`: what a network costs and sees, stage by stage; the tables of all networks and all datasets."""

from __future__ import annotations

import sys
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from medseg.commands.command import Command
from medseg.commands.start import run_command
from medseg.errors import printable
from medseg.system.files import replacing_text

SUMMARY = """
medseg describe measures a network without training it: parameters, multiply-accumulates, the memory that training
takes per image, the smallest image, the receptive field, and all this stage by stage. model=all is the size table of
the papers. data=all is the table of the datasets: images, classes, size, licence and where they are published.
"""

EXAMPLES = (
    "medseg describe amsunet",
    "medseg describe unet model.base_channels=64 image_size=[384,512] in_channels=1",
    "medseg describe smp model.arch=unet model.encoder_name=resnet50 format=markdown",
    "medseg describe +model._target_=my_package.MyNet       a custom network",
    "medseg describe all format=csv output=sizes.csv  every network of the papers",
    "medseg describe data=all                         every dataset",
)


def describe(cfg: DictConfig) -> None:
    """Print or write what `cfg` asks for: its network measured, all of the papers, or the list of the datasets."""
    # Imported here, not above: torch takes seconds, and --help, a misspelt option and the datasets need none of it.
    if cfg.datasets:
        from medseg.inspecting.catalogue import write_catalogue

        text = write_catalogue(cfg.format)
    else:
        from medseg.measure.describe import describe_network, describe_papers

        text = describe_papers(cfg) if cfg.all else describe_network(cfg, HydraConfig.get().overrides.task)
    if cfg.output is None:
        print(text)
        return
    file = Path(cfg.output).expanduser()
    with replacing_text(file) as stream:
        stream.write(f"{text}\n")
    print(printable(f"written: {file}"))


COMMAND = Command("describe", describe, SUMMARY, EXAMPLES, positional=("model",))


def main() -> None:
    """Start from the command line."""
    # `all` is no option of the groups.
    tables = {"all": "all=true", "model=all": "all=true", "data=all": "datasets=true"}
    sys.argv[1:] = [tables.get(word, word) for word in sys.argv[1:]]
    run_command(COMMAND)
