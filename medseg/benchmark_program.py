"""`python -m medseg.benchmark_program`: how long whole commands take on this machine, and where training waits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from medseg.commands.command import Command
from medseg.commands.start import run_command
from medseg.errors import ConfigError
from medseg.reporting.render.csv import as_csv
from medseg.reporting.render.table import Column, Table
from medseg.reporting.render.text import as_text

SUMMARY = """
medseg.benchmark_program measures whole commands, each in a process of its own: images per second while a dataset is
prepared on one core and on all, seconds from the command to the first training step, images per second of the loader
alone, the share of an epoch that training waits for data, what validation and test take beyond the network, seconds of
--help, of a misspelt option and, where runs are given, of their report; where numbers of jobs are given, the images per
second of as many trainings at once. Prepared data and runs go to a temporary folder (TMPDIR) and are removed.
"""

EXAMPLES = (
    "python -m medseg.benchmark_program                                             drawn images, no download",
    "python -m medseg.benchmark_program data=kvasir data.source=~/Downloads csv=program.csv",
    "python -m medseg.benchmark_program model=convunext trainer=gpu data.num_workers=4 report=runs/main",
    "python -m medseg.benchmark_program model=unext_s trainer=gpu jobs=[1,2,4,8]      how many share a GPU best?",
)

GROUPS = ("model", "data", "augmentation", "trainer")
"""Whose words are passed on to the commands that are measured."""


def benchmark_program(cfg: DictConfig) -> None:
    """Measure what `cfg` describes and print the figures."""
    check(cfg)
    # Imported here, not above: it needs OpenCV, for the dataset.
    from medseg.benchmarking.commands import Commands
    from medseg.benchmarking.program import measure_program

    words = [word for word in HydraConfig.get().overrides.task if key_of(word).split(".")[0] in GROUPS]
    chosen = HydraConfig.get().runtime.choices
    # This command's own choices, which are not those of training.
    words = [f"{group}={chosen[group]}" for group in GROUPS if chosen[group]] + [
        word for word in words if key_of(word) not in GROUPS
    ]
    commands = Commands(cfg.data, words)
    figures = measure_program(commands, repeats=cfg.repeats, steps=cfg.steps, report=cfg.report, jobs=cfg.jobs or [])
    table = Table("figures", "", COLUMNS, figures)
    print(as_text(table))
    if cfg.csv is not None:
        file = Path(cfg.csv).expanduser()
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(as_csv(table), encoding="utf-8")
        print(f"written: {cfg.csv}")


COLUMNS: Sequence[Column[Any]] = (
    Column("figure", "figure", lambda figure: figure.name),
    Column("value", "value", lambda figure: figure.value, "{:.4g}".format, number=True),
    Column("unit", "unit", lambda figure: figure.unit),
    Column("how", "how", lambda figure: figure.how),
)


def key_of(word: str) -> str:
    """Return the key of a Hydra override without what stands before it."""
    return word.lstrip("+~").partition("=")[0]


def check(cfg: DictConfig) -> None:
    """Raise `ConfigError` for a value that cannot be."""
    if cfg.data.download:
        raise ConfigError("data.download=true would measure the network; download with medseg prepare first")
    if cfg.trainer.devices != 1:
        raise ConfigError("this measures one device: choose trainer=auto, cpu or gpu")
    if cfg.report is not None and not Path(str(cfg.report)).expanduser().is_dir():
        raise ConfigError(f"report={cfg.report} is not a folder")
    if cfg.csv is not None:
        place = Path(str(cfg.csv)).expanduser()
        if place.suffix != ".csv" or place.is_dir():
            raise ConfigError(f"csv={cfg.csv} must be a file that ends in .csv")


def main() -> None:
    """Start from the command line."""
    run_command(Command("benchmark_program", benchmark_program, SUMMARY, EXAMPLES))


if __name__ == "__main__":
    main()
