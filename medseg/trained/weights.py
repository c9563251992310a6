"""The weights in a checkpoint: that they can be those of a network, and that they fit the one that is built."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from medseg.errors import UserError

DTYPES = (torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.bool)
"""Types of the values in a network's state."""


def check_weights(state: Mapping[str, Any], file: Path) -> None:
    """Raise `UserError` for weights that are no tensors, or not finite."""
    if not state:
        raise UserError(f"{file}: not written by medseg (it has no weights of a network)")
    for name, value in state.items():
        if not isinstance(value, Tensor):
            raise UserError(f"{file}: damaged ({name} is a {type(value).__name__}, not a tensor)")
        if value.dtype not in DTYPES:
            raise UserError(f"{file}: damaged ({name} is of {value.dtype}, as no weights are)")
        # In the precision that they will be used in.
        if value.is_floating_point() and not bool(torch.isfinite(value.float()).all()):
            raise UserError(f"{file}: {name} has weights that are not finite (NaN or infinite); it cannot be used")


@contextmanager
def at_most(state: Mapping[str, Tensor], file: Path) -> Iterator[None]:
    """Stop the construction of a network that has many more parameters than a state, before it takes time and memory.

    Raises `UserError`.
    """
    # Some networks build a part, and replace it.
    count, size = 4 * len(state) + 64, 4 * sum(value.numel() for value in state.values()) + 2**20
    parameters = values = 0

    def registered(module: nn.Module, name: str, parameter: nn.Parameter | None) -> None:
        nonlocal parameters, values
        if parameter is not None:
            parameters, values = parameters + 1, values + parameter.numel()
            if parameters > count or values > size:
                raise UserError(f"{file}: the checkpoint of another network: it has fewer weights than its settings")

    handle = register_module_parameter_registration_hook(registered)
    try:
        yield
    finally:
        handle.remove()


def first_difference(ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor]) -> str:
    """Describe where two states differ first in name or shape; empty where they fit."""
    for name, value in ours.items():
        if name not in theirs:
            return f"{name} {tuple(value.shape)} is not in it"
        if theirs[name].shape != value.shape:
            return f"{name} is {tuple(theirs[name].shape)} there, {tuple(value.shape)} here"
        if theirs[name].is_floating_point() != value.is_floating_point():
            return f"{name} is of {theirs[name].dtype} there, {value.dtype} here"
    unknown = [name for name in theirs if name not in ours]
    return f"{unknown[0]} {tuple(theirs[unknown[0]].shape)} is unknown here" if unknown else ""
