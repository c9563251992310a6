"""A checkpoint: weights, and what is needed to use them, both checked.

A checkpoint may come from anywhere. Nothing in it is resolved, imported or called before `medseg.trained.building`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from torch import Tensor, nn

from medseg.config.checks.data import PATCHES, groups_table
from medseg.config.checks.kinds import CHANNELS, MAX_SIDE, SIZE, checked
from medseg.config.encoders import without_folder
from medseg.data.labels import fault_of_names
from medseg.data.pixel_format import EIGHT_BITS, PixelFormat, fits
from medseg.errors import ConfigError, UserError, count
from medseg.trained.building import build, refused
from medseg.trained.files import KEY, read_checkpoint, values_in
from medseg.trained.weights import at_most, check_weights, first_difference

PREFIX = "network."
"""Of the network's parameters in the state dict of a checkpoint."""

DATA_KEYS = (
    "dataset", "image_size", "patches", "in_channels", "num_classes", "split", "fold", "groups", "batch_size",
    "skip_bad",
)  # fmt: skip
"""Keys of `data` in a checkpoint: what the network was trained on, but nothing of the machine, such as folders."""

MAX_TEXT = 1024
"""Most characters that a text in the metadata can have."""


class Configuration(BaseModel):
    """The part of a run's configuration that is in its checkpoints."""

    model_config = ConfigDict(strict=True, frozen=True)
    model: dict[str, Any]
    data: dict[str, Any]
    channels_last: bool = True


class Metadata(BaseModel):
    """What a checkpoint holds beside its weights.

    Attributes:
        configuration: of network and data.
        class_names: the background first.
        pixels: how stored values become 0..255, as in the training; files of 8 bits where a checkpoint lacks it.
        labels: how mask values became classes, see `medseg.data.datasets.base.Listing`; empty where that is not known.
        mean, std: per channel, of images in 0..1; None where they are not known, as in some imported checkpoints.
        data_identity: of the prepared data of the training; None for an imported checkpoint.
        precision: Lightning's name of the precision of the training.
        device: type of the device of the training.
    """

    model_config = ConfigDict(strict=True, frozen=True, allow_inf_nan=False)
    configuration: Configuration = Field(alias="config")
    class_names: list[str] = Field(min_length=1, max_length=256)
    pixels: Annotated[PixelFormat, BeforeValidator(PixelFormat.from_dict)] = EIGHT_BITS
    labels: dict[str, list[int | str] | str | int] = Field(default_factory=dict, max_length=260)
    mean: list[float] | None
    std: list[float] | None
    data_identity: str | None
    precision: str
    device: str | None

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width that images were resized to for the training, or of the patches."""
        size = self.configuration.data["image_size"]
        return (size, size) if isinstance(size, int) else (size[0], size[1])

    @property
    def patches(self) -> int | None:
        """Patches of each image in an epoch, where the training was on patches of images at native size."""
        return self.configuration.data.get("patches")

    @property
    def in_channels(self) -> int:
        """Channels of an image: 3 for RGB, 1 for grey, or as many as the files have."""
        return int(self.configuration.data["in_channels"])

    @property
    def normalisation(self) -> tuple[list[float], list[float]] | None:
        """Mean and standard deviation, where they are known."""
        return None if self.mean is None or self.std is None else (self.mean, self.std)


def checkpoint_metadata(
    configuration: Mapping[str, Any],
    normalisation: tuple[Sequence[float], Sequence[float]] | None,
    pixels: PixelFormat | None = None,
    **others: Any,
) -> dict[str, Any]:
    """Return what a checkpoint holds beside its weights, as plain values; of files of groups and weights, their names.

    Args:
        configuration: with the `model`, `data` and `channels_last` of a run; keys of the machine are left out.
        normalisation: mean and standard deviation per channel.
        pixels: of the data of the training; None, where they are not known, means files of 8 bits.
        others: the other attributes of `Metadata`.

    Raises `ConfigError` for what a checkpoint cannot have, before anything is trained that nobody could read.
    """
    mean, std = (list(values) for values in normalisation) if normalisation else (None, None)
    data = {key: value for key, value in configuration["data"].items() if key in DATA_KEYS}
    table = groups_table(data.get("groups") or "")
    if table is not None:
        data["groups"] = f"{Path(table[0]).name}:{table[1]}"
    model = without_folder(configuration["model"])
    config = {"model": model, "data": data, "channels_last": configuration["channels_last"]}
    pixels = pixels or PixelFormat(channels=data["in_channels"])
    metadata = {"config": config, "pixels": pixels.to_dict(), "mean": mean, "std": std, **others}
    try:
        checked_metadata(metadata)
    except ValueError as error:
        raise ConfigError(f"a checkpoint with these settings could not be read again: {error}") from None
    return metadata


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that was read.

    Attributes:
        file: it was read from.
        metadata: of the network.
        state: the network's weights by name.
        content: everything in the file.
    """

    file: Path
    metadata: Metadata
    state: Mapping[str, Tensor]
    content: Mapping[str, Any]

    @classmethod
    def read(cls, file: Path) -> Checkpoint:
        """Read a checkpoint, and check weights and metadata.

        Raises `UserError` for a file that is missing, damaged, holds code or was not written by medseg.
        """
        content = read_checkpoint(file)
        state = {
            name.removeprefix(PREFIX): value
            for name, value in content["state_dict"].items()
            if isinstance(name, str) and name.startswith(PREFIX)
        }
        check_weights(state, file)
        return cls(file, check_metadata(content[KEY], file), state, content)

    def build(self, *, trust: bool = False) -> nn.Module:
        """Build the network and load the weights.

        Args:
            trust: import and call a network class that is not part of medseg.

        Raises `UserError` for a network that is unknown, cannot be built, or has other weights.
        """
        arguments = self.metadata.configuration.model
        if "encoder_weights" in arguments:  # the weights of an encoder are in the checkpoint
            arguments = {**arguments, "encoder_weights": None}
        with at_most(self.state, self.file):
            network = build("network", arguments, self.file, trust=trust)
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

    def dataset(self, *, trust: bool = False) -> Any:
        """Build the dataset of the training; None for a checkpoint that was imported, and is of no data.

        `trust`: import and call a dataset class that is not part of medseg. Raises `UserError`.
        """
        arguments = self.metadata.configuration.data.get("dataset")
        return None if arguments is None else build("dataset", arguments, self.file, trust=trust)


def check_metadata(content: Any, file: Path) -> Metadata:
    """Return the metadata of a checkpoint, if they are plain values of the right types.

    Raises `UserError`.
    """
    try:
        return checked_metadata(content)
    except ValueError as error:
        raise refused(file, error) from None


def checked_metadata(content: Any) -> Metadata:
    """Return metadata, or raise `ValueError` that says in one line what cannot be."""
    try:
        for key, value in values_in(content):
            check_plain(key, value)
        metadata = Metadata.model_validate(content)
        names, mean, std = metadata.class_names, metadata.mean, metadata.std
        data, model = metadata.configuration.data, metadata.configuration.model
        size = data.get("image_size")
        checked("data.image_size", list(size) if isinstance(size, tuple) else size, SIZE)
        checked("data.patches", data.get("patches"), PATCHES | None)
        channels = checked("data.in_channels", data.get("in_channels"), CHANNELS)
        if not fits(metadata.pixels.channels, channels):
            raise ValueError(f"pixels have {metadata.pixels.channels} channels, data.in_channels is {channels}")
        for classes in (data.get("num_classes"), model.get("num_classes")):
            if isinstance(classes, int) and len(names) != classes:
                raise ValueError(f"class_names has {len(names)} names for {classes} classes")
        fault = fault_of_names(names)
        if fault:
            raise ValueError(f"class_names: {fault}")
        for key, values in (("mean", mean), ("std", std)):
            if values is not None and len(values) != channels:
                raise ValueError(f"{key} has {count(len(values), 'value')} for {count(channels, 'channel')}")
        if std is not None and min(std) <= 0:
            raise ValueError("std has a value that is not above 0")
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    except (TypeError, ConfigError) as error:
        raise ValueError(str(error)) from None
    return metadata


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
