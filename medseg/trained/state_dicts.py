"""The state dict in a file that another training script has saved, wherever and under whatever prefixes it is."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from medseg.errors import UserError
from medseg.trained.weight_files import NumpyArray, State, read_content

log = logging.getLogger(__name__)

WRAPPERS = (
    "state_dict", "model", "model_state_dict", "model_state", "net", "network", "network_weights", "net_state_dict",
    "weights", "params", "module", "unet", "net_G", "netG", "generator", "model_ema", "state_dict_ema",
    "ema_state_dict", "ema", "params_ema", "teacher", "student",
)  # fmt: skip
"""Where training scripts put the state dict in what they save. The first one counts where there are several."""

WRAPPED = re.compile(r"(?:(?<=^)|(?<=\.))(?:module|_orig_mod)\.")
"""What wrappers of PyTorch add to names: DataParallel, compile."""

SHARED = ("model.", "net.", "network.", "_model.", "_net.", "segmentation_model.", "teacher.", "student.")
"""What the names of a network begin with in a module around it, such as Lightning's."""

ADDITIONS = ("total_ops", "total_params")
"""What thop, which many training scripts count operations with, adds to every module."""

BESIDE = re.compile(r"(auxiliary_head|aux_head|auxlayer|backbone\.head|criterion|loss|loss_fn|loss_function)\.")
"""Names of modules that are beside a network: further heads of the training, the head of a classifier, losses."""

LEVELS = 3
"""Dictionaries in one another that a state dict is looked for in."""

SHOWN = 6
"""Most names in a message."""


@dataclass(frozen=True)
class Found:
    """A state dict in a file.

    Attributes:
        weights: tensors or arrays, by the names in the file.
        others: entries that are no weights: name -> type.
        key: of the state dict in the file; empty for the whole file.
        left: further state dicts of the file.
    """

    weights: State
    others: Mapping[str, str]
    key: str
    left: tuple[str, ...]


def read_state(file: Path) -> State:
    """Read the state dict in a released checkpoint under the names that it has without wrappers.

    What is left out is logged in one line.

    Raises `UserError` for a file that is missing, damaged or holds code, and for one without a state dict.
    """
    if file.is_dir():
        raise UserError(f"{file}: a folder; give the released file in it")
    return state_in(read_content(file), file)


def state_in(content: Any, file: Path) -> State:
    """Return the state dict in the content of a file, as `read_state`. Raises `UserError`."""
    found = found_in(content, file)
    state = bare(found.weights)
    kept = {name: value for name, value in state.items() if not BESIDE.match(name)}
    kept = kept or state
    log_left_out(file, found, [name for name in state if name not in kept])
    return kept


def found_in(content: Any, file: Path) -> Found:
    """Find the state dict in the content of a file. Raises `UserError`."""
    if not isinstance(content, Mapping):
        raise UserError(f"{file}: holds a {type(content).__name__} where a state dict is needed")
    states = dict(states_in(content))
    if not states:
        keys = ", ".join(map(str, list(content)[:5])) or "nothing"
        raise UserError(f"{file}: no state dict in it (it holds {keys}); looked for it under {', '.join(WRAPPERS)}")
    key = chosen(states, file)
    return Found(
        weights=weights_of(states[key]),
        others={str(name): type(value).__name__ for name, value in states[key].items() if not is_weight(name, value)},
        key=key,
        left=tuple(other for other in states if other != key and other and not other.startswith(f"{key}.")),
    )


def states_in(content: Mapping[Any, Any], key: str = "", level: int = 0) -> Iterator[tuple[str, Mapping[Any, Any]]]:
    """Yield the state dicts in dictionaries, by the keys with dots that lead to them."""
    if is_state(content):
        yield key, content
    for name, value in content.items() if level < LEVELS else ():
        if isinstance(name, str) and isinstance(value, Mapping):
            yield from states_in(value, f"{key}.{name}".lstrip("."), level + 1)


def is_state(content: Mapping[Any, Any]) -> bool:
    """Tell whether a dictionary is a state dict: it has tensors or arrays by names, and not only single numbers."""
    return any(is_weight(name, value) and value.shape for name, value in content.items())


def is_weight(name: Any, value: Any) -> bool:
    """Tell whether an entry of a dictionary can be a parameter or buffer."""
    return isinstance(name, str) and isinstance(value, Tensor | np.ndarray | NumpyArray)


def weights_of(content: Mapping[Any, Any]) -> State:
    """Return the weights in a state dict."""
    weights = {name: value for name, value in content.items() if is_weight(name, value)}
    return {name: value.value if isinstance(value, NumpyArray) else value for name, value in weights.items()}


def chosen(states: Mapping[str, Mapping[Any, Any]], file: Path) -> str:
    """Return the key of the state dict that is the network's.

    That is the one under the first of `WRAPPERS`, else the one with the most weights. Raises `UserError` where several
    have as many.
    """

    def order(key: str) -> list[int]:
        return [WRAPPERS.index(part) for part in key.split(".") if part in WRAPPERS]

    known = [key for key in states if key and order(key)]
    if known:
        return min(known, key=order)
    sizes = {key: sum(map(torch.is_floating_point, tensors_of(state))) for key, state in states.items()}
    largest = [key for key, size in sizes.items() if size == max(sizes.values())]
    if len(largest) > 1 and "" in largest:  # single tensors beside it
        largest.remove("")
    if len(largest) > 1:
        raise UserError(f"{file}: several state dicts in it: {', '.join(largest)}; save the one of the network alone")
    return largest[0]


def tensors_of(content: Mapping[Any, Any]) -> list[Tensor]:
    """List the weights in a state dict as tensors."""
    return [torch.as_tensor(value) for value in weights_of(content).values()]


def log_left_out(file: Path, found: Found, beside: list[str]) -> None:
    """Log what of a file is not the network's, in one line; nothing where there is nothing."""
    parts = []
    if found.left:
        parts.append(f"of several state dicts, {found.key} is taken, not {shortened(found.left)}")
    if found.others:
        parts.append(f"no weights: {shortened([f'{name} ({kind})' for name, kind in found.others.items()])}")
    if beside:
        parts.append(f"not of the network: {shortened(beside)}")
    if parts:
        log.info("%s: left out (%s)", file.name, "; ".join(parts))


def shortened(names: Any) -> str:
    """Write the first names of a list, and how many there are more."""
    names = list(names)
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{', '.join(names[:SHOWN])}{more}"


def bare(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return a state dict under names without what wrappers and modules around the network add to them.

    A prefix of `SHARED` that most names have is removed, and what does not have it is left out.
    """
    names = {name: WRAPPED.sub("", name) for name in state if name.rpartition(".")[2] not in ADDITIONS}
    while True:
        prefix = next((each for each in SHARED if 2 * count(names, each) > len(names)), None)
        if prefix is None:
            return {name: state[given] for given, name in names.items()}
        names = {given: name.removeprefix(prefix) for given, name in names.items() if name.startswith(prefix)}


def count(names: Mapping[str, str], prefix: str) -> int:
    """Count the names that begin so."""
    return sum(name.startswith(prefix) for name in names.values())
