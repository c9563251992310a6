"""The released operations: the same function of the same parameters, computed as the released code does it."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from medseg.benchmarking.released import ReleasedBlock, ReleasedGate, ReleasedRSC, ReleasedStage, release
from medseg.measure import measure_cost
from medseg.models import AMSUnet, AttentionUNet, ConvUNeXt, UNet


def convunext(**arguments: Any) -> nn.Module:
    return ConvUNeXt(base_channels=4, **arguments)


def amsunet(**arguments: Any) -> nn.Module:
    return AMSUnet(base_channels=4, **arguments)


def unet(**arguments: Any) -> nn.Module:
    return UNet(base_channels=4, **arguments)


NETWORKS = [
    convunext, amsunet, unet,
    lambda: convunext(closing="before_add", norm="layer"),
    lambda: amsunet(skip="rsc_maps"),
    lambda: unet(skip="convunext_gate"),
]  # fmt: skip


class Operators(TorchDispatchMode):
    """Counts the operators that are called while it is entered."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: dict[str, int] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func._schema.name
        self.counts[name] = self.counts.get(name, 0) + 1
        return func(*args, **(kwargs or {}))


def operators(network: nn.Module) -> dict[str, int]:
    with torch.no_grad(), Operators() as seen:
        network.eval()(torch.zeros(1, 3, 64, 64))
    return seen.counts


@pytest.mark.parametrize("build", NETWORKS)
@pytest.mark.parametrize("size", [(64, 64), (72, 90)])
@pytest.mark.parametrize("training", [True, False])
def test_the_function_is_the_same(build: Any, size: tuple[int, int], training: bool) -> None:
    torch.manual_seed(0)
    own = build().double().train(training)
    released = release(copy.deepcopy(own))
    image = torch.randn(2, 3, *size, dtype=torch.float64)
    ours, theirs = own(image), released(image)
    torch.testing.assert_close(theirs, ours, rtol=1e-9, atol=1e-9)
    weights = torch.randn_like(ours)
    (ours * weights).sum().backward()
    (theirs * weights).sum().backward()
    gradients = dict(released.named_parameters())
    for name, parameter in own.named_parameters():
        torch.testing.assert_close(gradients[name].grad, parameter.grad, rtol=1e-7, atol=1e-9, msg=name)
    for name, value in own.state_dict().items():  # the statistics of batch norms
        torch.testing.assert_close(released.state_dict()[name], value, rtol=1e-9, atol=1e-9, msg=name)


@pytest.mark.parametrize("build", NETWORKS)
def test_it_is_the_same_network(build: Any) -> None:
    own = build()
    before = {name: value.data_ptr() for name, value in own.state_dict().items()}
    cost = measure_cost(own, in_channels=3, size=(64, 64))
    released = release(own)
    assert {name: value.data_ptr() for name, value in released.state_dict().items()} == before
    released_cost = measure_cost(released, in_channels=3, size=(64, 64))
    assert (released_cost.parameters, released_cost.macs) == (cost.parameters, cost.macs)


def test_convunext_has_linear_layers() -> None:
    own, released = operators(convunext()), operators(release(convunext()))
    # Four decoder stages with a block and a gate, one block in the stem, six in the encoder.
    linear = 2 * 11 + 3 * 4
    assert released["aten::addmm"] + released["aten::mm"] == linear
    assert own["aten::convolution"] - released["aten::convolution"] == linear
    assert not {"aten::addmm", "aten::mm"} & set(own)


@pytest.mark.parametrize("build", [convunext, amsunet, unet])
def test_decoders_pad_where_there_is_nothing_to_pad(build: Any) -> None:
    assert "aten::constant_pad_nd" not in operators(build())
    released = operators(release(build()))
    assert released["aten::constant_pad_nd"] == 4
    assert released["aten::cat"] == 4, "nothing is concatenated twice"


def test_parts_that_are_replaced() -> None:
    def kinds(network: nn.Module) -> list[int]:
        forms = (ReleasedBlock, ReleasedGate, ReleasedRSC, ReleasedStage)
        return [sum(isinstance(part, form) for part in network.modules()) for form in forms]

    assert kinds(release(convunext())) == [11, 4, 0, 4]
    assert kinds(release(amsunet())) == [0, 0, 4, 4]
    assert kinds(release(amsunet(skip="rsc_maps"))) == [0, 0, 0, 4], "this reading is not the released one"
    assert kinds(release(unet())) == [0, 0, 0, 4]
    # Its released code does not pad.
    assert kinds(release(AttentionUNet(base_channels=4))) == [0, 0, 0, 0]
