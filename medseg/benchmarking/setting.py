"""What is measured: a network, and how."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig, OmegaConf

from medseg.config.compose import compose
from medseg.errors import ConfigError
from medseg.runs.naming import model_name


@dataclass(frozen=True)
class Setting:
    """A network and what it is measured with, as plain values that go to another process.

    Args:
        model: the network's name.
        overrides: the overrides that chose it.
        arguments: its `model` configuration, resolved.
        loss, optimizer: names of those of the training step.
        loss_arguments, optimizer_arguments: their configurations, resolved.
        in_channels, num_classes: of images and masks.
        image_size: (height, width) in pixels.
        batch_size, inference_batch_size: images of a step in training and in inference.
        accelerator, precision: Lightning's, or "auto" as in training.
        channels_last: memory layout of images and weights.
        compile: whether the network goes through `torch.compile`.
        activation_checkpointing: whether parts of the network are computed again in the backward pass.
        acceleration: whether the network has its replacements for the device, as in training.
        keep_memory: whether the process keeps freed memory, as in training.
        label: tells two settings of one network apart.
    """

    model: str
    overrides: tuple[str, ...]
    arguments: dict[str, Any]
    loss: str
    loss_arguments: dict[str, Any]
    optimizer: str
    optimizer_arguments: dict[str, Any]
    in_channels: int
    num_classes: int
    image_size: tuple[int, int]
    batch_size: int
    inference_batch_size: int
    accelerator: str
    precision: str
    channels_last: bool
    compile: bool
    activation_checkpointing: bool = False
    acceleration: bool = True
    keep_memory: bool = True
    label: str = ""

    @property
    def network(self) -> str:
        """The network for people: `unet model.base_channels=64`."""
        return " ".join([self.model, *(word for word in self.overrides if not word.startswith("model="))])

    @property
    def title(self) -> str:
        """The network and the label for people: `unet model.base_channels=64, plain`."""
        return f"{self.network}, {self.label}" if self.label else self.network


def find_settings(models: Sequence[str] | None, overrides: Sequence[str]) -> list[Setting]:
    """Return what `medseg benchmark` measures: each of `models`, or without them the network of `overrides`.

    Args:
        models: networks with their overrides: `unet model.base_channels=64`.
        overrides: Hydra overrides of `conf/benchmark.yaml` for all of them; a `models=` among them does not count.

    Raises `ConfigError` for overrides that do not compose.
    """
    common = [word for word in overrides if not word.startswith("models=")]
    if models is not None and any(word.startswith("model=") for word in common):
        raise ConfigError("give model=... or models=[...], not both")
    of_model = [word for word in common if word.lstrip("+").startswith("model")]
    settings = []
    for words in [[]] if models is None else [f"model={text}".split() for text in models]:
        cfg, hydra_config = compose("benchmark", [*common, *words])
        settings.append(_setting(cfg, hydra_config.runtime.choices, (*words, *of_model)))
    return settings


def _setting(cfg: DictConfig, choices: Mapping[str, str], overrides: tuple[str, ...]) -> Setting:
    node: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)  # type: ignore[assignment]
    size = node["image_size"]
    return Setting(
        model=model_name(node, choices),
        overrides=overrides,
        arguments=node["model"],
        loss=choices["loss"],
        loss_arguments=node["loss"],
        optimizer=choices["optimizer"],
        optimizer_arguments=node["optimizer"],
        in_channels=node["data"]["in_channels"],
        num_classes=node["data"]["num_classes"],
        image_size=tuple(size) if isinstance(size, list) else (size, size),
        batch_size=node["batch_size"],
        inference_batch_size=node["inference_batch_size"] or node["batch_size"],
        accelerator=node["trainer"]["accelerator"],
        precision=str(node["trainer"]["precision"]),
        channels_last=node["channels_last"],
        compile=node["compile"],
        activation_checkpointing=node["activation_checkpointing"],
    )
