"""The state dict in a file that another training script has saved, wherever and under whatever prefixes it is.

Nothing in such a file is executed: what is no tensor and no plain value is refused, but for a few kinds of objects that
are usual beside weights. In the place of these, objects of this file are made.
"""

from __future__ import annotations

import argparse
import logging
import pathlib
import re
import types
import zipfile
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from medseg.errors import UserError
from medseg.trained.files import damaged, read_plain

log = logging.getLogger(__name__)

State = dict[str, Tensor | np.ndarray]

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
    """A state dict that was found in a file.

    Attributes:
        weights: tensors or arrays, by the names in the file.
        others: entries that are no weights: name -> type.
        key: that it was found under; empty for the whole file.
        left: further state dicts of the file.
    """

    weights: State
    others: Mapping[str, str]
    key: str
    left: tuple[str, ...]


def read_state(file: Path) -> State:
    """Read the state dict in a released checkpoint under the names that it has without wrappers.

    What is left out is logged in one line. Raises `UserError` as `read_found`.
    """
    found = read_found(file)
    state = bare(found.weights)
    kept = {name: value for name, value in state.items() if not BESIDE.match(name)}
    kept = kept or state
    log_left_out(file, found, [name for name in state if name not in kept])
    return kept


def read_found(file: Path) -> Found:
    """Find the state dict in a file of `torch.save`, a .safetensors or a .npz file.

    Raises `UserError` for a file that is missing, damaged or holds code, and for one without a state dict.
    """
    if file.is_dir():
        raise UserError(f"{file}: a folder; give the released file in it")
    return found_in(read_content(file), file)


def read_content(file: Path) -> Any:
    """Read everything in a file. Raises `UserError`."""
    if file.suffix == ".npz":
        return read_arrays(file)
    if file.suffix == ".safetensors":
        return read_safetensors(file)
    with torch.serialization.safe_globals(ACCEPTED):
        return read_plain(file)


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


# Files of other formats.
def read_arrays(file: Path) -> State:
    """Read a .npz file; of one that keeps other arrays beside the state, those below `state/`."""
    try:
        with np.load(file, allow_pickle=False) as arrays:
            content = {name: arrays[name] for name in arrays.files}
    except FileNotFoundError:
        raise UserError(f"{file}: no such checkpoint") from None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"{file}: damaged, or holds more than arrays ({str(error).partition('.')[0]})") from None
    below = {name.removeprefix("state/"): value for name, value in content.items() if name.startswith("state/")}
    return below or content


def read_safetensors(file: Path) -> State:
    """Read a .safetensors file."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return {**load_file(file)}
    except FileNotFoundError:
        raise UserError(f"{file}: no such checkpoint") from None
    except (OSError, ValueError, SafetensorError) as error:
        raise damaged(file, error) from None


# What stands for objects of NumPy and of other libraries in a file of torch.save.
class Ignored:
    """Stands for the class of an object of a library; in the place of the object, there is a dictionary.

    An ordered one, since PyTorch's reader fills no other kind with entries and with attributes.
    """

    def __new__(cls, *_: Any) -> OrderedDict[Any, Any]:  # type: ignore[misc]
        return OrderedDict()


class NumpyType:
    """Stands for a NumPy dtype, of numbers only: one of objects could be made of any bytes."""

    def __init__(self, code: str = "", *_: Any) -> None:
        self.code, self.order = code, "<"

    def __setstate__(self, state: Any) -> None:
        self.order = "<" if state[1] == "|" else state[1]

    def values(self, data: Any) -> np.ndarray:
        """Return the numbers in some bytes; none where they are no numbers."""
        is_number = re.fullmatch(r"[biufc]\d{1,2}", self.code)
        return np.frombuffer(data, np.dtype(f"{self.order}{self.code}")) if is_number else np.zeros(0)


class NumpyArray:
    """Stands for a NumPy array, which is in `value`."""

    def __init__(self, *_: Any) -> None:
        self.value = np.zeros(0)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.value.shape

    def __setstate__(self, state: Any) -> None:
        _, shape, kind, fortran, data = state
        values = kind.values(data)
        self.value = values.reshape(shape, order="F" if fortran else "C").copy() if values.size else values


def numpy_array(*_: Any) -> NumpyArray:
    """Make the array that is filled afterwards."""
    return NumpyArray()


def numpy_scalar(kind: NumpyType, data: bytes) -> Any:
    """Return a number of NumPy as one of Python; None for what is none."""
    values = kind.values(data)
    return values[0].item() if values.size else None


CONFIGURATIONS = (
    "mmengine.logging.history_buffer.HistoryBuffer", "mmengine.config.config.ConfigDict",
    "mmcv.utils.config.ConfigDict", "addict.addict.Dict", "easydict.EasyDict", "yacs.config.CfgNode",
    "omegaconf.dictconfig.DictConfig", "omegaconf.listconfig.ListConfig", "omegaconf.nodes.AnyNode",
    "omegaconf.base.ContainerMetadata", "omegaconf.base.Metadata", "typing.Any", "collections.defaultdict",
    "builtins.dict", "builtins.list", "builtins.int", "builtins.float", "builtins.str", "builtins.bool",
    "pytorch_lightning.utilities.parsing.AttributeDict", "lightning.fabric.utilities.data.AttributeDict",
    "lightning_fabric.utilities.data.AttributeDict",
    "pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint",
    "pytorch_lightning.callbacks.early_stopping.EarlyStopping",
)  # fmt: skip
"""What training scripts keep beside the weights: settings, logs."""

NUMPY = ("numpy.core.multiarray", "numpy._core.multiarray")

ACCEPTED: list[Any] = [
    argparse.Namespace,
    types.SimpleNamespace,
    *((pathlib.PurePosixPath, f"pathlib{part}.{kind}") for part in ("", "._local") for kind in ("PosixPath", "Path")),
    *((Ignored, name) for name in CONFIGURATIONS),
    (NumpyType, "numpy.dtype"),
    (NumpyArray, "numpy.ndarray"),
    *((numpy_array, f"{module}._reconstruct") for module in NUMPY),
    *((numpy_scalar, f"{module}.scalar") for module in NUMPY),
]
"""Objects beside tensors and plain values that a file may hold, and what is made in their place."""
