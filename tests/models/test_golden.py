"""Our networks compute the same function as the released code: same weights, same input, same output."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from medseg.models import import_reference

OWN = Path(__file__).resolve().parents[1] / "golden"
"""Vectors of our own making, with the released code of networks that the shared ones leave out."""

# How far the released run itself lies from the function in float64. ConvUNeXt's random weights drive activations to
# 1360 and the logits of a few pixels to 49; ResUNet ends in a sigmoid.
FLOAT64 = {
    "unet_base4_bilinear": 5e-6,
    "unet_base4_transposed": 5e-6,
    "convunext_base4": 1.4e-5,
    "amsunet_base4": 5e-6,
    "attention_unet_base4": 5e-6,
    "resunet_base4": 1e-5,
    "cmunext_4_6_8_10_12": 5e-6,
}
NAMES = {file: name for file in FLOAT64 for name in (file.partition("_base4")[0].partition("_4_6")[0],)}


def load(golden: Path, file: str) -> tuple[dict[str, np.ndarray], torch.Tensor, np.ndarray]:
    """Read the state, the input and the output of a golden vector."""
    own = OWN / f"{file}.npz"
    stored = np.load(own if own.exists() else golden / f"{file}.npz")
    state = {key.removeprefix("state/"): stored[key] for key in stored.files if key.startswith("state/")}
    (image,) = (stored[key] for key in stored.files if key.startswith("input/"))
    (output,) = (stored[key] for key in stored.files if key.startswith("output/"))
    return state, torch.from_numpy(image), output


def run(file: str, network: Any, image: torch.Tensor) -> np.ndarray:
    with torch.no_grad():
        logits = network.eval()(image)
    return (logits.sigmoid() if file == "resunet_base4" else logits).numpy()


def relative_error(output: np.ndarray, expected: np.ndarray) -> float:
    return float(np.abs(output - expected).max() / np.abs(expected).max())


@pytest.mark.parametrize(("file", "tolerance"), FLOAT64.items())
def test_same_function_in_double_precision(golden: Path, file: str, tolerance: float) -> None:
    # No rounding of ours here, so this bound holds on any machine.
    state, image, expected = load(golden, file)
    output = run(file, import_reference(NAMES[file], state).double(), image.double())
    assert relative_error(output, expected) < tolerance


@pytest.mark.parametrize("file", FLOAT64)
def test_same_function_in_single_precision(golden: Path, file: str) -> None:
    # Each in the layout of the released code: ConvUNeXt has its data channels last by its Linear layers. In the other
    # layout ConvUNeXt's error is 4e-6 with one thread and 2.2e-5 with two, since oneDNN sums in another order; in this
    # one it is 5e-6.
    state, image, expected = load(golden, file)
    layout = torch.channels_last if file == "convunext_base4" else torch.contiguous_format
    network = import_reference(NAMES[file], state).to(memory_format=layout)
    output = run(file, network, image.contiguous(memory_format=layout))
    assert output.dtype == np.float32
    assert relative_error(output, expected) < (2e-5 if file == "convunext_base4" else 1e-5)
