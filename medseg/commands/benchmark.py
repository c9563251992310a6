"""`medseg benchmark`: how fast networks are on this machine, and how much memory they take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from medseg.benchmarking.compare import write_comparison
from medseg.benchmarking.csv_files import write_csv_files
from medseg.benchmarking.files import describe, write
from medseg.benchmarking.rounds import measure
from medseg.benchmarking.setting import Setting
from medseg.benchmarking.show import write_benchmarks
from medseg.benchmarking.variants import VARIANTS, in_variant
from medseg.commands.command import Command
from medseg.commands.start import run_command
from medseg.config import yaml_files
from medseg.config.checks.check import check as check_settings
from medseg.errors import ConfigError, UserError, close_matches
from medseg.runs.naming import model_name

SUMMARY = """
medseg benchmark measures networks on this machine: images per second in training and inference, the latency of one
image, peak memory, parameters and multiply-accumulates. Several networks are measured in turn, so that what slows the
machine down for a while hits all of them. The files it writes are picked up by the report. Variants of the same step,
the released code's and medseg's own among them, are compared with each other and with the limits of the machine.
"""

EXAMPLES = (
    "medseg benchmark model=convunext",
    "medseg benchmark models=[unet,convunext,amsunet] experiment=my_sweep      beside the runs of a sweep",
    "medseg benchmark 'models=[unet,\"unet model.base_channels=64\"]' image_size=[384,512] batch_size=4",
    "medseg benchmark model=unet trainer=gpu trainer.precision=bf16-mixed compile=true",
    "medseg benchmark models=[convunext,amsunet,unet] variants=[plain,tuned] batch_size=4 inference_batch_size=32",
)


def benchmark(cfg: DictConfig) -> list[Path]:
    """Measure the networks that `cfg` names, print their table and return the files written.

    Raises `UserError` when one of them could not be measured, after the others have been.
    """
    check(cfg)
    settings = find_settings(cfg)
    thorough = cfg.variants is not None or cfg.csv is not None
    measured, failed = measure(settings, repeats=cfg.repeats, seconds=cfg.seconds, thorough=thorough)
    found = {place: describe(settings[place], values, cfg.repeats) for place, values in measured.items()}
    folder = Path(cfg.output or Path(cfg.runs_dir) / cfg.experiment / "benchmarks").expanduser()
    # The report takes these for the cost of a network as it is trained, which no other variant is.
    files = [write(folder, content) for content in found.values() if content["variant"] == "tuned"]
    if thorough and found:
        files += write_csv_files(Path(cfg.csv or folder).expanduser(), list(found.values()))
    if len(failed) == len(settings) == 1:
        raise UserError(failed[0])
    print((write_benchmarks if cfg.variants is None else write_comparison)(settings, found, failed))
    for file in files:
        print(f"written: {file}")
    if failed:
        names = ("; " if cfg.variants else ", ").join(settings[place].title for place in failed)
        several = "networks" if cfg.variants is None else "variants"
        raise UserError(f"{len(failed)} of {len(settings)} {several} could not be measured: {names}")
    return files


def check(cfg: DictConfig) -> None:
    """Raise `ConfigError` for values that do not go with a benchmark."""
    check_variants(cfg.variants or [])
    if cfg.trainer.devices != 1:
        raise ConfigError("a benchmark measures one device: choose trainer=auto, cpu or gpu")


def check_variants(names: Sequence[str]) -> None:
    """Raise `ConfigError` unless `names` are variants, each once."""
    for name in names:
        if name not in VARIANTS:
            meant = close_matches(str(name), VARIANTS)
            raise ConfigError(f"unknown variant '{name}'{meant} (there are: {', '.join(VARIANTS)})")
    if len(set(names)) < len(names):
        raise ConfigError(f"variants={names} has a variant more than once")


def find_settings(cfg: DictConfig) -> list[Setting]:
    """Return what is to be measured: the network of `model`, or each of `models`, with the other words of the command.

    In variants, those of one network are side by side. Raises `ConfigError` and what Hydra raises for words that mean
    nothing.
    """
    settings = find_networks(cfg)
    if cfg.variants is None:
        return settings
    return [in_variant(setting, name) for setting in settings for name in cfg.variants]


def find_networks(cfg: DictConfig) -> list[Setting]:
    """Return the networks that are to be measured, as configured."""
    words = list(HydraConfig.get().overrides.task)
    asked = [word for word in words if word.lstrip("+").startswith("model")]
    if cfg.models is None:
        return [read_setting(cfg, HydraConfig.get().runtime.choices, asked)]
    if any(word.startswith("model=") for word in words):
        raise ConfigError("give model=... or models=[...], not both")
    rest = [word for word in words if not word.startswith("models=")]
    settings = []
    # Hydra is at work when the command runs; it is not where this function is called from elsewhere.
    working = GlobalHydra.instance().is_initialized()
    with nullcontext() if working else initialize_config_dir(str(yaml_files.config_dir()), version_base="1.3"):
        for text in cfg.models:
            own = f"model={text}".split()
            composed = compose("benchmark", [*rest, *own], return_hydra_config=True)
            common = [word for word in asked if not word.startswith("models=")]
            settings.append(read_setting(composed, composed.hydra.runtime.choices, [*own, *common]))
    return settings


def read_setting(cfg: DictConfig, choices: Mapping[str, str], asked: list[str]) -> Setting:
    """Return what a composed configuration says is to be measured, `asked` for by the words about the network."""
    own = OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key != "hydra"])
    check_settings(own, "benchmark")
    node: dict[str, Any] = OmegaConf.to_container(own, resolve=True, throw_on_missing=True)  # type: ignore[assignment]
    height, width = cfg.image_size if OmegaConf.is_list(cfg.image_size) else (cfg.image_size, cfg.image_size)
    return Setting(
        model=model_name(node, choices),
        overrides=tuple(asked),
        arguments=node["model"],
        loss=choices["loss"],
        loss_arguments=node["loss"],
        optimizer=choices["optimizer"],
        optimizer_arguments=node["optimizer"],
        in_channels=node["data"]["in_channels"],
        num_classes=node["data"]["num_classes"],
        image_size=(height, width),
        batch_size=cfg.batch_size,
        inference_batch_size=cfg.inference_batch_size or cfg.batch_size,
        accelerator=cfg.trainer.accelerator,
        precision=str(cfg.trainer.precision),
        channels_last=cfg.channels_last,
        compile=cfg.compile,
    )


COMMAND = Command("benchmark", benchmark, SUMMARY, EXAMPLES, positional=("models*",))


def main() -> None:
    """Start from the command line."""
    run_command(COMMAND)
