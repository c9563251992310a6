"""UNet++: counts, agreement with the released code, the outputs of deep supervision."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from medseg.errors import UserError
from medseg.models import import_reference
from medseg.models.unetpp import UNetPlusPlus


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"num_classes": 1}, 9_163_329),
        ({"num_classes": 1, "deep_supervision": True}, 9_163_428),
        ({}, 9_163_362),
        ({"deep_supervision": True}, 9_163_560),
    ],
)
def test_parameters(arguments: dict, expected: int) -> None:
    with torch.device("meta"):
        assert count(UNetPlusPlus(**arguments)) == expected


def test_parameters_of_the_nodes() -> None:
    with torch.device("meta"):
        network = UNetPlusPlus(num_classes=1, deep_supervision=True)
    assert {name: count(node) for name, node in network.nodes.items()} == {
        "0_0": 10_272, "1_0": 55_680, "2_0": 221_952, "3_0": 886_272, "4_0": 3_542_016,
        "0_1": 37_056, "1_1": 147_840, "2_1": 590_592, "3_1": 2_360_832,
        "0_2": 46_272, "1_2": 184_704, "2_2": 738_048,
        "0_3": 55_488, "1_3": 221_568,
        "0_4": 64_704,
    }  # fmt: skip
    assert [count(head) for head in network.heads] == [33, 33, 33, 33]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", ["unetpp_base4", "unetpp_base4_deep_supervision"])
def test_same_function_as_the_released_code(golden: Path, name: str, dtype: torch.dtype) -> None:
    file = np.load(golden / f"{name}.npz")
    state = {key.removeprefix("state/"): file[key] for key in file.files if key.startswith("state/")}
    expected = [file[key] for key in file.files if key.startswith("output/")]
    network = import_reference("unetpp", state).to(dtype).eval()
    image = torch.from_numpy(file["input/48x80"]).to(dtype)
    with torch.no_grad():
        main = network(image)
        # All four outputs come in training mode; the batch norms stay in evaluation.
        network.training = True
        outputs = network(image)
    if len(expected) == 1:
        outputs = [outputs]
    assert torch.equal(outputs[-1], main)
    for output, each in zip(outputs, expected, strict=True):
        assert np.abs(output.numpy() - each).max() < 1e-5 * np.abs(each).max()


@pytest.mark.parametrize("size", [(16, 16), (17, 31), (50, 63)])
def test_any_size(size: tuple[int, int]) -> None:
    network = UNetPlusPlus(in_channels=1, num_classes=3, base_channels=2, deep_supervision=True)
    outputs = network(torch.randn(2, 1, *size))
    assert [tuple(each.shape) for each in outputs] == 4 * [(2, 3, *size)]
    assert tuple(network.eval()(torch.randn(1, 1, *size)).shape) == (1, 3, *size)


def test_smaller_images_are_refused() -> None:
    with pytest.raises(UserError, match="UNetPlusPlus needs images of at least 16 x 16 pixels, got 16 x 15"):
        UNetPlusPlus(base_channels=2)(torch.randn(1, 3, 16, 15))


def test_one_pixel_on_the_deepest_level_cannot_be_trained_on() -> None:
    network = UNetPlusPlus(base_channels=2)
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        network(torch.randn(1, 3, 16, 16))
    network(torch.randn(1, 3, 16, 32))
    network(torch.randn(2, 3, 16, 16))


def test_every_head_learns_from_its_own_output() -> None:
    network = UNetPlusPlus(base_channels=2, deep_supervision=True)
    outputs = network(torch.randn(2, 3, 32, 32))
    for k, output in enumerate(outputs):
        output.square().mean().backward(retain_graph=True)
        learned = [head.weight.grad is not None for head in network.heads]
        assert learned == [i <= k for i in range(4)]
