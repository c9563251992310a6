"""The formats that a program is written in, and how such a file is run again."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from medseg.errors import UserError

if TYPE_CHECKING:
    from torch.export import ExportedProgram

Run = Callable[[np.ndarray], np.ndarray]
"""Runs what was exported: float32 N x C x H x W -> float32 N x K x H x W."""

SUFFIXES = {"onnx": ".onnx", "torch": ".pt2"}
"""The formats, with the ending of their files."""

NEEDED = {"onnx": ("onnx", "onnxruntime", "onnxscript"), "torch": ()}
"""Packages of the extra `export` that a format needs."""

METADATA = "metadata.json"
"""Name of the metadata in a .pt2 file."""


def check_format(name: str) -> None:
    """Raise `UserError` where the packages of a format are missing."""
    missing = [package for package in NEEDED[name] if importlib.util.find_spec(package) is None]
    if missing:
        raise UserError(f"format={name} needs {', '.join(missing)}: pip install 'medseg[export]', or give format=torch")


def write_onnx(program: ExportedProgram, metadata: Mapping[str, Any], file: Path) -> dict[str, Any]:
    """Write a program as ONNX, one file with the weights in it, and return the metadata with the opset.

    The metadata are in `metadata_props`: text as it is, all else as JSON.
    """
    import torch

    from medseg.trained.exporting.program import quiet

    output_name = str(metadata["output"]).partition(":")[0]
    with quiet():
        made = torch.onnx.export(
            program,
            input_names=["image"],
            output_names=[output_name],
            dynamic_shapes={"image": {0: "N", 2: "H", 3: "W"}},  # names of the sizes that the program leaves open
            verbose=False,
        )
    assert made is not None
    model: Any = made.model
    for node in model.graph:
        node.metadata_props.clear()  # where in the source it comes from
    metadata = {**metadata, "opset": model.opset_imports[""]}
    model.metadata_props.update({k: v if isinstance(v, str) else json.dumps(v) for k, v in metadata.items()})
    model.producer_name = "medseg"
    model.producer_version = str(metadata["medseg_version"])
    made.save(file, external_data=False)
    return metadata


def write_torch(program: ExportedProgram, metadata: Mapping[str, Any], file: Path) -> dict[str, Any]:
    """Write a program as .pt2, with the metadata as the extra file `METADATA`, and return them."""
    import torch

    metadata = {**metadata, "torch_version": str(torch.__version__)}
    with file.open("wb") as stream:
        torch.export.save(program, stream, extra_files={METADATA: json.dumps(metadata, indent=2)})
    return metadata


def open_onnx(file: Path) -> Run:
    """Open an ONNX file with onnxruntime, on the CPU."""
    import onnxruntime
    import torch

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    return lambda image: session.run(None, {"image": image})[0]


def open_torch(file: Path) -> Run:
    """Open a .pt2 file with PyTorch, on the CPU."""
    import torch

    with file.open("rb") as stream:
        module = torch.export.load(stream).module()

    def run(image: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return module(torch.from_numpy(image)).numpy()

    return run


WRITE = {"onnx": write_onnx, "torch": write_torch}
OPEN = {"onnx": open_onnx, "torch": open_torch}
