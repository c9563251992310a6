"""Files with weights that other programs have written, read without executing anything in them.

What is no tensor and no plain value is refused, but for a few kinds of objects that are usual beside weights. Instead
of these, objects of this file are made.
"""

from __future__ import annotations

import argparse
import pathlib
import re
import types
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from medseg.errors import UserError
from medseg.trained.files import damaged, read_plain

State = dict[str, Tensor | np.ndarray]


def read_content(file: Path) -> Any:
    """Read everything in a file. Raises `UserError`."""
    if file.suffix.lower() == ".npz":
        return read_arrays(file)
    if file.suffix.lower() == ".safetensors":
        return read_safetensors(file)
    with torch.serialization.safe_globals(ACCEPTED):
        return read_plain(file)


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
    """Stands for the class of an object of a library; instead of the object, there is a dictionary.

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
"""Objects beside tensors and plain values that a file may hold, and what is made instead of them."""
