"""Turn a released checkpoint of the authors into one of medseg's, to be scored and trained further."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, ListConfig, OmegaConf
from torch import nn

from medseg.data.module import build_datamodule
from medseg.data.prepared.fingerprint import sha256_file
from medseg.data.prepared.prepare import checked_size
from medseg.errors import ConfigError, UserError, printable
from medseg.models.reference import RELEASED, find_network, import_reference
from medseg.trained.checkpoint import PREFIX, checkpoint_metadata
from medseg.trained.files import KEY, write_checkpoint
from medseg.trained.matching import convolutions_of_image
from medseg.trained.state_dicts import read_state


def import_released(cfg: DictConfig) -> Path:
    """Write the medseg checkpoint of the released one that `cfg.source` names, and return its path.

    Raises `UserError` for what the user can put right.
    """
    name = HydraConfig.get().runtime.choices["model"]
    if name is None:
        raise ConfigError(f"give model=..., whose network it is: one of {', '.join(RELEASED)}")
    given = [word for word in HydraConfig.get().overrides.task if word.lstrip("+").startswith("model.")]
    if given:
        raise ConfigError(f"{given[0]}: the arguments of the network are read from the file")
    source = Path(cfg.source).expanduser()
    output = Path(cfg.output).expanduser() if cfg.output else Path(f"{source.stem}-{name}.ckpt")
    if output.exists():
        raise UserError(f"{output} exists already: remove it, or give another output=...")
    state = read_state(source)
    try:
        make, network = find_network(name, state), import_reference(name, state)
    except UserError as error:
        raise UserError(f"{source}: {error}") from None
    if cfg.bgr:
        network = with_channels_reversed(make, network)
    single = make.keywords["num_classes"] == 1
    if single:
        make, network = with_background(make, network)
    model = {"_target_": f"medseg.models.{type(network).__name__}", **make.keywords}
    weights = {f"{PREFIX}{key}": value for key, value in network.state_dict().items()}
    write_checkpoint({"state_dict": weights, KEY: metadata_of(cfg, model, source)}, output)

    parameters = sum(parameter.numel() for parameter in network.parameters())
    print(f"network:       {type(network).__name__}, {parameters:,} parameters")
    print(f"               {', '.join(f'{key}={value}' for key, value in make.keywords.items())}")
    if single:
        print("classes:       one output z with a sigmoid in the file; here two, (0, z), that predict the same")
    if cfg.bgr:
        print("channels:      blue, green, red in the file; here red, green, blue")
    print(f"normalisation: {describe_normalisation(cfg)}")
    print(printable(f"written:       {output}"))
    print(printable(f"score it:      medseg evaluate {output}{'' if 'dataset' in cfg.data else ' data=...'}"))
    words = [f"model={name}", *unusual(make, cfg.model), f"initial_weights={output}"]
    print(f"train it:      python -m medseg.train {' '.join(words)}")
    return output


# What the authors did differently.
def with_channels_reversed(make: partial[nn.Module], network: nn.Module) -> nn.Module:
    """Make a network that was trained on blue, green, red take red, green, blue: its first layers are turned round."""
    wider = partial(make.func, **{**make.keywords, "in_channels": make.keywords["in_channels"] + 1})().state_dict()
    state = network.state_dict()
    network.load_state_dict(state | {name: state[name].flip(1) for name in convolutions_of_image(state, wider)})
    return network


def with_background(make: partial[nn.Module], network: nn.Module) -> tuple[partial[nn.Module], nn.Module]:
    """Give a network of one logit z the two logits (0, z), background first.

    Their softmax is (1 - sigmoid(z), sigmoid(z)), so that argmax is the threshold 0.5 (z = 0 is background). Every
    layer that makes one output, one for each head, gets a second one whose weights and bias are 0.
    """
    double = partial(make.func, **{**make.keywords, "num_classes": 2})
    widened = double()
    single = network.state_dict()
    for name, value in widened.state_dict().items():
        if single[name].shape != value.shape:
            single[name] = torch.cat([torch.zeros_like(single[name]), single[name]])
    widened.load_state_dict(single)
    return double, widened


# The checkpoint.
def metadata_of(cfg: DictConfig, model: dict[str, Any], source: Path) -> dict[str, Any]:
    """Return what the checkpoint holds beside the weights, as plain values; `model` is the network's configuration.

    Where the normalisation is not known, images are normalised as the training split of the data that they are from.
    Raises `ConfigError` for data that do not fit.
    """
    normalisation = given_normalisation(cfg, model["in_channels"])
    cfg = OmegaConf.merge(cfg, {"data": {"in_channels": model["in_channels"]}})  # type: ignore[assignment]
    data: dict[str, Any] = OmegaConf.to_container(cfg.data, resolve=True)  # type: ignore[assignment]
    num_classes, pixels = model["num_classes"], None
    if "dataset" in cfg.data:
        datamodule = build_datamodule(cfg.data)
        class_names, pixels = list(datamodule.prepared.class_names), datamodule.prepared.pixels
        if len(class_names) != num_classes:
            raise ConfigError(
                f"{source} predicts {num_classes} classes, {datamodule.dataset.title} has {len(class_names)} "
                f"({', '.join(class_names)})"
            )
        normalisation = normalisation or datamodule.normalisation
    else:
        checked_size(data["image_size"])
        names = ["foreground"] if num_classes == 2 else [f"class{k}" for k in range(1, num_classes)]
        class_names = ["background", *names]
    return checkpoint_metadata(
        {"model": model, "data": data, "channels_last": True},
        normalisation,
        pixels,
        class_names=class_names,
        data_identity=None,
        precision="32-true",
        device=None,
        imported={"file": source.name, "sha256": sha256_file(source)},
    )


def given_normalisation(cfg: DictConfig, in_channels: int) -> tuple[Sequence[float], Sequence[float]] | None:
    """Return mean and deviation as given, red first; raises `ConfigError` unless both fit the network's channels."""
    if cfg.mean is None and cfg.std is None:
        return None
    for name, values in (("mean", cfg.mean), ("std", cfg.std)):
        if values is None or len(values) != in_channels:
            raise ConfigError(f"{name}={values} must be {in_channels} numbers, [...]; mean and std go together")
    order = -1 if cfg.bgr else 1
    return [float(value) for value in cfg.mean][::order], [float(value) for value in cfg.std][::order]


def describe_normalisation(cfg: DictConfig) -> str:
    """Describe how images will be normalised, and what was assumed."""
    if cfg.mean is not None:
        return "as given"
    if "dataset" in cfg.data:
        return "mean and deviation of the training split; give mean=[...] std=[...] if the authors used others"
    return "not known, so that of the training split of whatever is scored; give mean=[...] std=[...] if you know it"


def unusual(make: partial[nn.Module], usual: DictConfig) -> list[str]:
    """Write the arguments that differ from those of a network's YAML as words of a command line."""
    words = []
    for key, value in make.keywords.items():
        default = usual.get(key)
        if default is None:  # null in the YAML, and what it does not mention, is the default of the constructor
            default = inspect.signature(make.func).parameters[key].default
        if key not in ("in_channels", "num_classes") and plain(value) != plain(default):
            text = str(plain(value)).replace(" ", "")
            words.append(
                f"{'' if key in usual else '+'}model.{key}={text.lower() if isinstance(value, bool) else text}"
            )
    return words


def plain(value: Any) -> Any:
    """Return a sequence as a list."""
    return list(value) if isinstance(value, tuple | ListConfig) else value
