"""The sliding-window patch classifier: its dense form, its explicit one, and windows cut out by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from medseg.errors import ConfigError
from medseg.models.sliding_window import SlidingWindowNet


def tiny(**changes: Any) -> SlidingWindowNet:
    torch.manual_seed(0)
    return SlidingWindowNet(**{"base_channels": 3, "hidden_channels": 5, **changes}).eval()


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def both_forms(network: SlidingWindowNet, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    logits = []
    for mode in ("dense", "patches"):
        network.mode = mode
        logits.append(network(image))
    return logits[0], logits[1]


def assert_agree(logits: torch.Tensor, expected: torch.Tensor) -> None:
    assert logits.shape == expected.shape
    assert ((logits - expected).abs().max() / expected.abs().max()).item() < 1e-5


def test_layers_of_the_paper() -> None:
    with torch.device("meta"):
        network = SlidingWindowNet()
        grey = SlidingWindowNet(in_channels=1)
    assert network.window == 95
    assert (count(network), count(grey)) == (220_826, 219_290)
    # 4x4, 5x5, 4x4 and 4x4 convolutions of 48 maps, 3 x 3 x 48 -> 200 -> 2.
    assert [count(c) for c in grey.convolutions] == [816, 57_648, 36_912, 36_912]
    assert (count(grey.hidden), count(grey.head)) == (86_600, 402)
    # The sizes of the maps of one window.
    sizes, x = [], torch.empty(1, 3, 95, 95, device="meta")
    for convolution in network.convolutions:
        x = convolution(x)
        sizes += [x.shape[-1], x.shape[-1] // 2]
        x = nn.functional.max_pool2d(x, 2)
    assert sizes == [92, 46, 42, 21, 18, 9, 6, 3]


def test_cost_of_both_forms() -> None:
    with torch.device("meta"):
        network = SlidingWindowNet(windows_per_pass=1 << 16)
    cost = {}
    for mode in ("dense", "patches"):
        network.mode = mode
        with FlopCounterMode(display=False) as counter:
            network(torch.empty(1, 3, 256, 256, device="meta"))
        cost[mode] = counter.get_total_flops() / 2e9
    assert cost == pytest.approx({"dense": 19.65, "patches": 8812}, rel=1e-3)


@pytest.mark.parametrize(
    ("size", "windows_per_pass"), [((1, 1), 7), ((1, 6), 1), ((5, 7), 7), ((8, 8), 128), ((13, 4), 1000)]
)
def test_both_forms_agree(size: tuple[int, int], windows_per_pass: int) -> None:
    network = tiny(windows_per_pass=windows_per_pass)
    with torch.no_grad():
        dense, patches = both_forms(network, torch.randn(2, 3, *size))
    assert dense.shape == (2, 2, *size)
    assert_agree(patches, dense)


@pytest.mark.parametrize("kernel_sizes", [(4, 5, 4, 4), (3,), (2, 1), (5, 3, 2)])
@pytest.mark.parametrize("mode", ["dense", "patches"])
def test_a_pixel_is_its_window_classified(kernel_sizes: tuple[int, ...], mode: str) -> None:
    # By hand: numpy mirrors and cuts, the layers are applied one after the other as the paper has them.
    network = tiny(kernel_sizes=kernel_sizes, mode=mode, windows_per_pass=11).double()
    image = np.random.default_rng(0).normal(size=(2, 3, 7, 6))
    window, before = network.window, network.window // 2
    after = window - 1 - before
    mirrored = np.pad(image, ((0, 0), (0, 0), (before, after), (before, after)), mode="reflect")
    with torch.no_grad():
        logits = network(torch.from_numpy(image))
        for n, i, j in [(0, 0, 0), (1, 3, 2), (0, 6, 5), (1, 0, 5), (1, 6, 0)]:
            x = torch.from_numpy(mirrored[n : n + 1, :, i : i + window, j : j + window])
            for convolution in network.convolutions:
                x = nn.functional.max_pool2d(torch.relu(convolution(x)), kernel_size=2, stride=2)
            assert x.shape[-2:] == (3, 3)
            for layer in (network.hidden, network.head):
                x = nn.functional.linear(x.flatten(1), layer.weight.flatten(1), layer.bias)
                x = torch.relu(x) if layer is network.hidden else x
            torch.testing.assert_close(logits[n : n + 1, :, i, j], x, rtol=1e-9, atol=1e-12)


def test_a_pixel_sees_its_window_and_nothing_else() -> None:
    network = tiny(in_channels=1).double()
    image = torch.randn(1, 1, 120, 131, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(network(image)[0, 0, 60, 70], image)
    rows, columns = (gradient[0, 0] != 0).nonzero().unbind(1)
    for seen, at in ((rows, 60), (columns, 70)):
        assert at - 47 <= seen.min() < at - 40
        assert at + 40 < seen.max() <= at + 47


def test_both_forms_have_the_same_gradients() -> None:
    network = tiny(windows_per_pass=5).double().train()
    image = torch.randn(1, 3, 4, 5, dtype=torch.float64)
    weights = torch.randn(1, 2, 4, 5, dtype=torch.float64)
    parameters = list(network.parameters())
    gradients = [torch.autograd.grad((logits * weights).sum(), parameters) for logits in both_forms(network, image)]
    for dense, patches in zip(*gradients, strict=True):
        assert dense.abs().sum() > 0
        torch.testing.assert_close(dense, patches)


def test_initial_logits_differ_between_pixels() -> None:
    # PyTorch's own initial weights make the logits nearly the same everywhere.
    network = tiny(base_channels=16, hidden_channels=64)
    image = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        assert network(image).std(dim=(0, 2, 3)).min() > 0.1
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                module.reset_parameters()
        assert network(image).std(dim=(0, 2, 3)).max() < 0.02


@pytest.mark.parametrize("mode", ["dense", "patches"])
def test_bf16_autocast_and_channels_last(mode: str) -> None:
    network = tiny(mode=mode)
    image = torch.randn(2, 3, 6, 9)
    with torch.no_grad():
        expected = network(image)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            low = network(image)
        last = network.to(memory_format=torch.channels_last)(image.contiguous(memory_format=torch.channels_last))
    assert low.dtype == torch.bfloat16
    assert (low - expected).abs().max() < 0.05 * expected.abs().max()
    torch.testing.assert_close(last, expected, rtol=1e-4, atol=1e-5)
    assert last.is_contiguous(memory_format=torch.channels_last)


def test_explicit_windows_can_be_exported() -> None:
    # The dense form is among the networks of the contract tests.
    network, image = tiny(mode="patches", windows_per_pass=8), torch.randn(1, 3, 3, 5)
    exported = torch.export.export(network, (image,)).module()
    torch.testing.assert_close(exported(image), network(image))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"mode": "fast"}, "unknown mode 'fast': choose one of dense, patches"),
        ({"kernel_sizes": ()}, "one or more numbers"),
        ({"kernel_sizes": (4, 0)}, r"at least 1, got \[4, 0\]"),
        ({"windows_per_pass": 0}, "at least 1, got 0"),
    ],
)
def test_wrong_arguments_are_refused(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        SlidingWindowNet(**arguments)
