"""`medseg benchmark`: how fast networks are on this machine, and how much memory they take."""

from __future__ import annotations

from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from medseg.benchmarking.results import csv_file, describe, read_rows, write_csv, write_file
from medseg.benchmarking.rounds import measure
from medseg.benchmarking.setting import find_settings
from medseg.benchmarking.table import write_table
from medseg.commands.command import Command
from medseg.commands.start import run_command
from medseg.config.explain import user_config_dir
from medseg.errors import ConfigError, UserError, printable

SUMMARY = """
medseg benchmark measures networks on this machine: images per second in training and inference, the latency of one
image, peak memory, parameters and multiply-accumulates. Several networks are measured in turn, so that what slows the
machine down for a while hits all of them. The files it writes are picked up by the report.
"""

EXAMPLES = (
    "medseg benchmark convunext",
    "medseg benchmark unet convunext amsunet experiment=my_sweep      beside the runs of a sweep",
    "medseg benchmark 'models=[unet,\"unet model.base_channels=64\"]' image_size=[384,512] batch_size=4",
    "medseg benchmark model=unet trainer=gpu trainer.precision=bf16-mixed compile=true",
    "medseg benchmark models=[convunext,unet] batch_size=4 inference_batch_size=32 csv=speed.csv",
)


def benchmark(cfg: DictConfig) -> list[Path]:
    """Measure the networks that `cfg` names, print their table and return the files written.

    Raises `UserError` when one of them could not be measured, after the others have been.
    """
    check(cfg)
    settings = find_settings(cfg.models, [*user_config_dir(), *HydraConfig.get().overrides.task])
    measured, failed = measure(settings, repeats=cfg.repeats, seconds=cfg.seconds)
    benchmarks = {number: describe(settings[number], values, cfg.repeats) for number, values in measured.items()}
    folder = Path(cfg.output or Path(cfg.runs_dir) / cfg.experiment / "benchmarks").expanduser()
    files = [write_file(folder, content) for content in benchmarks.values()]
    if cfg.csv is not None and benchmarks:
        files.append(write_csv(Path(cfg.csv).expanduser(), list(benchmarks.values())))
    if len(failed) == len(settings) == 1:
        raise UserError(failed[0])
    print(write_table(settings, benchmarks))
    for file in files:
        print(printable(f"written: {file}"))
    if failed:
        names = ", ".join(settings[number].title for number in failed)
        raise UserError(f"{len(failed)} of {len(settings)} networks could not be measured: {names}")
    return files


def check(cfg: DictConfig) -> None:
    """Raise `UserError` for values that do not go with a benchmark, before anything is measured."""
    if cfg.trainer.devices != 1:
        raise ConfigError("a benchmark measures one device: choose trainer=auto, cpu or gpu")
    if cfg.csv is not None:
        read_rows(csv_file(Path(cfg.csv).expanduser()))


COMMAND = Command("benchmark", benchmark, SUMMARY, EXAMPLES, positional=("models*",))


def main() -> None:
    """Start from the command line."""
    run_command(COMMAND)
