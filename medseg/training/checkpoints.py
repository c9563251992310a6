"""Read checkpoints: tensors and plain values only, never code."""

from __future__ import annotations

import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import hydra
import torch
from omegaconf import DictConfig, OmegaConf
from torch import nn

from medseg.data.datasets.base import Dataset
from medseg.data.module import SegmentationDataModule
from medseg.errors import UserError
from medseg.training.task import CHECKPOINT_KEY

PREFIX = "network."
"""The network's place in the task, so of its names in a checkpoint."""


def read_checkpoint(file: Path) -> dict[str, Any]:
    """Read a medseg checkpoint onto the CPU.

    Raises `UserError` for a file that is missing, damaged, holds code, or was not written by medseg.
    """
    content = read_plain(file)
    if not isinstance(content, dict) or CHECKPOINT_KEY not in content or "state_dict" not in content:
        raise UserError(f"{file}: not written by medseg; give a run folder or a checkpoint in one")
    return content


def read_plain(file: Path) -> Any:
    """Read a file that `torch.save` has written onto the CPU, if it holds nothing but tensors and plain values.

    Raises `UserError` for a file that is missing, damaged or holds code.
    """
    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise UserError(f"{file}: no such checkpoint") from None
    except pickle.UnpicklingError as error:
        other = re.search(r"Unsupported global: GLOBAL (\S+)", str(error))
        named = f" ({other[1]})" if other else ""
        raise UserError(
            f"{file}: refused, since it holds more than tensors and plain values{named}; such a file could run code"
        ) from None
    except OSError as error:
        raise UserError(f"{file}: cannot be read ({error.strerror}); give a run folder or a checkpoint file") from None
    except (RuntimeError, EOFError, ValueError, KeyError) as error:
        reason = str(error).partition("\n")[0]
        raise UserError(f"{file}: damaged, or not a PyTorch checkpoint ({reason})") from None


def load_network(network: nn.Module, checkpoint: Mapping[str, Any], file: Path) -> None:
    """Load a checkpoint's weights into a network.

    Raises `UserError` naming the first names or shapes that differ when it is the checkpoint of another network.
    """
    state = {
        name.removeprefix(PREFIX): value for name, value in checkpoint["state_dict"].items() if name.startswith(PREFIX)
    }
    difference = first_difference(network.state_dict(), state)
    if difference:
        raise UserError(f"{file}: the checkpoint of another network: {difference}")
    network.load_state_dict(state)


def first_difference(ours: Mapping[str, torch.Tensor], theirs: Mapping[str, torch.Tensor]) -> str:
    """Say where two states differ first in name or shape; nothing where they fit."""
    for name, value in ours.items():
        if name not in theirs:
            return f"{name} {tuple(value.shape)} is not in it"
        if theirs[name].shape != value.shape:
            return f"{name} is {tuple(theirs[name].shape)} there, {tuple(value.shape)} here"
    unknown = [name for name in theirs if name not in ours]
    return f"{unknown[0]} {tuple(theirs[unknown[0]].shape)} is unknown here" if unknown else ""


def settings_of(checkpoint: Mapping[str, Any], file: Path, *, trust: bool) -> DictConfig:
    """Return the configuration that travels in a checkpoint, fit to build its network from.

    Args:
        checkpoint: as read.
        file: where it was read from.
        trust: whether it may build what is not medseg's own.

    Raises `UserError` for a checkpoint that is not to be trusted.
    """
    settings = OmegaConf.create(checkpoint[CHECKPOINT_KEY]["config"])
    assert isinstance(settings, DictConfig)
    if not trust:
        check_targets(settings, file)
    if "encoder_weights" in settings.model:
        settings.model.encoder_weights = None  # the checkpoint's own come in their place
    return settings


def check_targets(settings: DictConfig, file: Path) -> None:
    """Check that a checkpoint's configuration builds nothing but medseg's own networks and datasets.

    Hydra calls whatever `_target_` names, so a checkpoint from elsewhere could have it call anything.
    Raises `UserError` naming what is not known.
    """
    plain: Any = OmegaConf.to_container(settings)
    model, data = plain["model"], plain["data"]
    expected: list[tuple[Any, type, str]] = [(model, nn.Module, "medseg.models.")]
    if "dataset" in data:
        expected.append(({**data, "dataset": None}, SegmentationDataModule, "medseg.data.module"))
        expected.append((data["dataset"], Dataset, "medseg.data.datasets."))
        unexpected = []
    else:
        # Imported, and of no data. Some of its values go into the data that are chosen later.
        unexpected = all_targets(data)
    for node, base, home in expected:
        target = str(node.get("_target_"))
        # The place where a class is defined, not the name that leads there: a name can lead out of a module again.
        found = hydra.utils.get_object(target) if target.startswith("medseg.") else None
        if not (isinstance(found, type) and issubclass(found, base) and found.__module__.startswith(home)):
            unexpected.append(target)
        # Nothing is built inside these either.
        unexpected += all_targets(node)[1:]
    for target in unexpected:
        raise UserError(f"{file}: {untrusted(target)}")


def untrusted(target: str) -> str:
    """Say that a checkpoint wants something built that is not medseg's."""
    return f"it builds {target}, which is not medseg's own; if you trust the file, give trust=true"


def all_targets(node: Any) -> list[str]:
    """List every `_target_` in plain dictionaries and lists, one entry for each occurrence."""
    if isinstance(node, Mapping):
        own = [str(node["_target_"])] if "_target_" in node else []
        return own + [target for value in node.values() for target in all_targets(value)]
    return [target for value in node for target in all_targets(value)] if isinstance(node, list) else []
