"""What a checkpoint says of its network, as checked plain values; and the explicit list of what it can name.

A checkpoint may come from anywhere. Nothing in it is resolved, imported or called: a network or a dataset is looked up
among medseg's own by its name, and gets arguments that fit the types of its constructor.
"""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from torch import Tensor, nn

from medseg import models
from medseg.config.checks.kinds import MAX_SIDE, SWITCH, checked
from medseg.config.instantiate import instantiate, named_classes
from medseg.data import datasets
from medseg.data.datasets.base import Dataset
from medseg.data.prepared.prepare import checked_channels, checked_size
from medseg.errors import ConfigError, UserError
from medseg.trained.files import KEY, read_checkpoint, values_in
from medseg.trained.weights import at_most, check_weights, first_difference

PREFIX = "network."
"""Of the network's parameters in the state dict of a checkpoint."""

NETWORKS: Mapping[str, type[nn.Module]] = {
    f"medseg.models.{name}": network
    for name in models.__all__
    if isinstance(network := getattr(models, name), type) and issubclass(network, nn.Module)
}
"""The networks that a checkpoint can name."""

DATASETS: Mapping[str, type[Dataset]] = {
    f"medseg.data.datasets.{name}": getattr(datasets, name) for name in datasets.__all__
}
"""The datasets that a checkpoint can name."""

OF_THE_DATA = (
    "dataset", "image_size", "in_channels", "num_classes", "split", "fold", "batch_size", "skip_bad",
)  # fmt: skip
"""Keys of `data` that a checkpoint keeps: what the network saw, but nothing of the machine, such as folders."""

MAX_TEXT = 1024
"""Most characters that a text among the settings can have."""


class Configuration(BaseModel):
    """The part of a run's configuration that a checkpoint keeps."""

    model_config = ConfigDict(strict=True, frozen=True)
    model: dict[str, Any]
    data: dict[str, Any]
    channels_last: bool = True


class Settings(BaseModel):
    """What a checkpoint keeps beside its weights.

    Attributes:
        configuration: of network and data.
        class_names: the background first.
        mean, std: per channel, of images in 0..1; None where they are not known, as in some imported checkpoints.
        data_identity: of the prepared data of the training; None for an imported checkpoint.
        precision: Lightning's name of the precision of the training.
        device: type of the device of the training.
    """

    model_config = ConfigDict(strict=True, frozen=True, allow_inf_nan=False)
    configuration: Configuration = Field(alias="config")
    class_names: list[str] = Field(min_length=1, max_length=256)
    mean: list[float] | None
    std: list[float] | None
    data_identity: str | None
    precision: str
    device: str | None


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that was read.

    Attributes:
        file: it was read from.
        settings: what it says of its network.
        state: the network's weights by name.
        content: everything in the file.
    """

    file: Path
    settings: Settings
    state: Mapping[str, Tensor]
    content: Mapping[str, Any]

    @classmethod
    def read(cls, file: Path) -> Checkpoint:
        """Read a checkpoint, and check weights and settings.

        Raises `UserError` for a file that is missing, damaged, holds code or was not written by medseg.
        """
        content = read_checkpoint(file)
        state = {
            name.removeprefix(PREFIX): value
            for name, value in content["state_dict"].items()
            if isinstance(name, str) and name.startswith(PREFIX)
        }
        check_weights(state, file)
        return cls(file, check_settings(content[KEY], file), state, content)

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width that images were resized to for the training."""
        return checked_size(self.settings.configuration.data["image_size"])

    @property
    def in_channels(self) -> int:
        """Channels of an image: 3 for RGB, 1 for grey."""
        return int(self.settings.configuration.data["in_channels"])

    def build(self, *, trust: bool = False) -> nn.Module:
        """Build the network and load the weights.

        Args:
            trust: import and call a network that is not medseg's own.

        Raises `UserError` for a network that is unknown, cannot be built, or has other weights.
        """
        arguments = self.settings.configuration.model
        with at_most(self.state, self.file):
            # The weights of an encoder are in the checkpoint.
            network = build_known(NETWORKS, without_weights(arguments), self.file, trust=trust)
        if not isinstance(network, nn.Module):
            raise UserError(f"{self.file}: {arguments['_target_']} is no network")
        self.load_into(network)
        return network

    def load_into(self, network: nn.Module) -> None:
        """Load the weights into a network.

        Raises `UserError` naming the first name or shape that differs when it is the checkpoint of another network.
        """
        difference = first_difference(network.state_dict(), self.state)
        if difference:
            raise UserError(f"{self.file}: the checkpoint of another network: {difference}")
        network.load_state_dict(self.state)

    def dataset(self, *, trust: bool = False) -> Dataset | None:
        """Build the dataset of the training; None for a checkpoint that was imported, and is of no data.

        `trust`: import and call a dataset that is not medseg's own. Raises `UserError`.
        """
        arguments = self.settings.configuration.data.get("dataset")
        if arguments is None:
            return None
        dataset = build_known(DATASETS, arguments, self.file, trust=trust)
        if not isinstance(dataset, Dataset):
            raise UserError(f"{self.file}: {arguments['_target_']} is no dataset of medseg's kind")
        return dataset


def check_settings(content: Any, file: Path) -> Settings:
    """Return the settings of a checkpoint, if they are plain values of the right types.

    Raises `UserError`.
    """
    try:
        for key, value in values_in(content):
            check_plain(key, value)
        settings = Settings.model_validate(content)
        data = settings.configuration.data
        checked_size(data.get("image_size"))  # type: ignore[arg-type]
        channels = checked_channels(data.get("in_channels"))  # type: ignore[arg-type]
        check_class_names(settings)
        for name, values in (("mean", settings.mean), ("std", settings.std)):
            if values is not None and len(values) != channels:
                raise ValueError(f"{name} has {len(values)} values for {channels} channels")
        if settings.std is not None and min(settings.std) <= 0:
            raise ValueError("std has a value that is not above 0")
    except ValidationError as error:
        first = error.errors()[0]
        raise refused(file, f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    except (ValueError, TypeError, ConfigError) as error:
        raise refused(file, error) from None
    return settings


def check_class_names(settings: Settings) -> None:
    """Raise `ValueError` for class names that are not one for each class, different and printable."""
    names, configuration = settings.class_names, settings.configuration
    for classes in (configuration.data.get("num_classes"), configuration.model.get("num_classes")):
        if isinstance(classes, int) and len(names) != classes:
            raise ValueError(f"class_names has {len(names)} names for {classes} classes")
    if len(set(names)) < len(names) or not all(name and name.isprintable() for name in names):
        raise ValueError("class_names are not different, printable names")


def check_plain(key: str, value: Any) -> None:
    """Raise `ValueError` for what is no plain value: a tensor, or text with an interpolation of OmegaConf's."""
    name = key.lstrip("/").replace("/", ".")
    if not (value is None or isinstance(value, bool | int | float | str)):
        raise ValueError(f"{name} is a {type(value).__name__}, not a plain value")
    if "${" in f"{key}{value}" or value == "???":
        raise ValueError(f"{name} refers to another value; a checkpoint holds plain values only")
    if isinstance(value, str) and len(value) > MAX_TEXT:
        raise ValueError(f"{name} has more than {MAX_TEXT} characters")
    if isinstance(value, int) and abs(value) > MAX_SIDE and name.startswith("config.model."):
        raise ValueError(f"{name} is {value}; at most {MAX_SIDE} is allowed")


def refused(file: Path, reason: object) -> UserError:
    """Return the error for settings that cannot be."""
    return UserError(f"{file}: its settings are damaged or not medseg's ({' '.join(str(reason).split())})")


def build_known(known: Mapping[str, type], arguments: Any, file: Path, *, trust: bool) -> Any:
    """Call the class that `_target_` names with the other arguments.

    Args:
        known: the classes that can be named.
        arguments: plain values, `_target_` among them.
        file: they are from.
        trust: import and call whatever `_target_` names, here and inside the arguments.

    Raises `UserError`.
    """
    checked("trust", trust, SWITCH)
    if not isinstance(arguments, Mapping) or not isinstance(arguments.get("_target_"), str):
        raise refused(file, "_target_ names no class")
    targets = [str(node["_target_"]) for _, node in named_classes(arguments)]
    # Nothing is built inside the arguments of medseg's own either.
    unknown = [target for target in targets if target not in known] or targets[1:]
    if unknown:
        if not trust:
            raise UserError(
                f"{file}: it builds {unknown[0] or repr(unknown[0])}, which is not medseg's own; if you trust the "
                "file, give trust=true"
            )
        return instantiate(OmegaConf.create(dict(arguments)))
    made = known[str(arguments["_target_"])]
    fitting = check_arguments(made, {key: value for key, value in arguments.items() if key != "_target_"}, file)
    try:
        return made(**fitting)
    except UserError:
        raise
    except Exception as error:
        raise UserError(
            f"{file}: {made.__name__} cannot be built: {str(error).strip().partition(chr(10))[0]}"
        ) from error


def check_arguments(made: type, arguments: Mapping[str, Any], file: Path) -> dict[str, Any]:
    """Return the arguments of a class, if it takes these names and these types of values.

    Raises `UserError`.
    """
    parameters = inspect.signature(made).parameters
    takes_more = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    for key, value in arguments.items():
        if str(key).startswith("_") or (key not in parameters and not takes_more):
            raise UserError(f"{file}: {made.__name__} takes no '{key}'")
        if key in parameters:
            try:
                type_of(made, key).validate_python(value)
            except ValidationError as error:
                reason = error.errors()[0]["msg"]
                raise UserError(f"{file}: {made.__name__}: {key} is {value!r}: {reason}") from None
    return dict(arguments)


@functools.cache
def type_of(made: type, parameter: str) -> TypeAdapter[Any]:
    """Return what checks the values of a constructor's parameter."""
    hints = typing.get_type_hints(made.__init__)  # type: ignore[misc]
    return TypeAdapter(hints[parameter], config=ConfigDict(strict=True))


def without_weights(arguments: Any) -> Any:
    """Return the arguments of a network without names of weights to download."""
    if isinstance(arguments, Mapping) and "encoder_weights" in arguments:
        return {**arguments, "encoder_weights": None}
    return arguments
