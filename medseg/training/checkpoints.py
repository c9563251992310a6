"""Read checkpoints: tensors and plain values only, never code."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from medseg.errors import UserError
from medseg.training.task import CHECKPOINT_KEY

PREFIX = "network."
"""The network's place in the task, so of its names in a checkpoint."""


def read_checkpoint(file: Path) -> dict[str, Any]:
    """Read a medseg checkpoint onto the CPU.

    Raises `UserError` for a file that is missing, damaged, holds code, or was not written by medseg.
    """
    try:
        content = torch.load(file, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise UserError(f"{file}: no such checkpoint") from None
    except pickle.UnpicklingError:
        raise UserError(
            f"{file}: refused, since it holds more than tensors and plain values; such a file could run code"
        ) from None
    except (RuntimeError, EOFError, ValueError, KeyError) as error:
        reason = str(error).partition("\n")[0]
        raise UserError(f"{file}: damaged, or not a PyTorch checkpoint ({reason})") from None
    if not isinstance(content, dict) or CHECKPOINT_KEY not in content or "state_dict" not in content:
        raise UserError(f"{file}: not written by medseg; give a run folder or a checkpoint in one")
    return content


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
