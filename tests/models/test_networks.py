"""What every network must do: sizes, counts, errors, layouts, precision, compile, export."""

from __future__ import annotations

import copy
import shutil
from typing import Any

import pytest
import torch
from torch import nn

from medseg.errors import ConfigError, UserError
from medseg.models import ConvUNeXt, UNet
from medseg.models.skips import SKIPS, make_skip
from medseg.models.ushape import pad_to

TINY: dict[str, Any] = {
    "unet": lambda **kw: UNet(base_channels=4, **kw),
    "unet_transposed": lambda **kw: UNet(base_channels=4, bilinear=False, **kw),
    "convunext": lambda **kw: ConvUNeXt(base_channels=4, **kw),
}
each_network = pytest.mark.parametrize("name", TINY)


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(
    ("build", "expected"),
    [
        (lambda: UNet(), 4_318_434),
        (lambda: UNet(bilinear=False), 7_763_074),
        (lambda: UNet(base_channels=64), 17_263_042),
        (lambda: UNet(base_channels=64, bilinear=False), 31_037_698),
        (lambda: ConvUNeXt(), 3_505_730),
        (lambda: ConvUNeXt(num_classes=1), 3_505_697),
        (lambda: ConvUNeXt(in_channels=1), 3_502_594),
        (lambda: ConvUNeXt(base_channels=16), 901_154),
        (lambda: ConvUNeXt(base_channels=64), 13_825_154),
    ],
)
def test_parameters_are_those_of_the_released_code(build: Any, expected: int) -> None:
    with torch.device("meta"):
        assert count(build()) == expected


@pytest.mark.parametrize(
    ("build", "stem", "encoder", "decoder"),
    [
        (ConvUNeXt, 14_880, [44_864, 171_648, 1_749_760, 802_304], [533_760, 135_808, 35_136, 17_504]),
        (UNet, 10_208, [55_552, 221_696, 885_760, 1_180_672], [1_475_328, 369_024, 92_352, 27_776]),
        (
            lambda: UNet(bilinear=False),
            10_208,
            [55_552, 221_696, 885_760, 3_540_992],
            [2_295_040, 574_080, 143_680, 36_000],
        ),
    ],
)
def test_parameters_per_part(build: Any, stem: int, encoder: list[int], decoder: list[int]) -> None:
    with torch.device("meta"):
        network = build()
    assert count(network.stem) == stem
    assert [count(stage) for stage in network.encoder] == encoder
    assert [count(stage) for stage in network.decoder] == decoder
    assert count(network.head) == 66


def test_parameters_of_the_gates() -> None:
    # papers.md, section 4: over 32, 64, 128 and 256 channels.
    assert [count(make_skip("convunext_gate", c)) for c in (32, 64, 128, 256)] == [5_280, 20_800, 82_560, 328_960]


@each_network
@pytest.mark.parametrize("size", [(64, 64), (65, 97), (79, 64), (71, 111)])
def test_any_size_comes_out_as_it_went_in(name: str, size: tuple[int, int]) -> None:
    network = TINY[name](in_channels=1, num_classes=3).eval()
    with torch.no_grad():
        logits = network(torch.randn(2, 1, *size))
    assert logits.shape == (2, 3, *size)
    assert logits.isfinite().all()


@pytest.mark.parametrize(("build", "minimum"), [(UNet, 16), (ConvUNeXt, 64)])
def test_minimum_size_works_and_less_is_refused(build: Any, minimum: int) -> None:
    network = build(base_channels=4).eval()
    assert network.min_size == minimum
    with torch.no_grad():
        assert network(torch.randn(1, 3, minimum, minimum)).shape == (1, 2, minimum, minimum)
    for size in ((minimum - 1, minimum), (minimum, minimum - 1)):
        with pytest.raises(UserError) as error:
            network(torch.randn(1, 3, *size))
        assert build.__name__ in str(error.value)
        assert f"at least {minimum} x {minimum}" in str(error.value)
        assert f"{size[0]} x {size[1]}" in str(error.value)


@pytest.mark.parametrize(("kernel_size", "minimum"), [(3, 32), (5, 48), (9, 80), (11, 96)])
def test_minimum_size_follows_the_kernel(kernel_size: int, minimum: int) -> None:
    network = ConvUNeXt(base_channels=2, kernel_size=kernel_size).eval()
    assert network.min_size == minimum
    with torch.no_grad():
        assert network(torch.randn(1, 3, minimum, minimum)).shape == (1, 2, minimum, minimum)


def test_pad_to_puts_the_odd_pixel_right_and_below() -> None:
    padded = pad_to(torch.ones(1, 1, 2, 2), (5, 3))
    expected = torch.tensor([[0.0, 0, 0], [1, 1, 0], [1, 1, 0], [0, 0, 0], [0, 0, 0]])
    assert torch.equal(padded[0, 0], expected)


@each_network
def test_every_parameter_learns(name: str) -> None:
    network = TINY[name]()
    network(torch.randn(2, 3, 64, 64)).square().mean().backward()
    without = [key for key, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    # A bias right before a batch norm has no effect in training, in the released code neither.
    assert [key for key in without if not key.endswith("bias")] == []


@each_network
def test_state_dict_round_trip(name: str) -> None:
    torch.manual_seed(0)
    first, second = TINY[name]().eval(), TINY[name]().eval()
    image = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        assert not torch.equal(first(image), second(image))
        second.load_state_dict(first.state_dict())
        assert torch.equal(first(image), second(image))


@each_network
def test_channels_last_is_kept_and_changes_nothing(name: str) -> None:
    torch.manual_seed(0)
    network = TINY[name]().eval()
    image = torch.randn(2, 3, 70, 75)
    with torch.no_grad():
        expected = network(image)
        last = network.to(memory_format=torch.channels_last)(image.contiguous(memory_format=torch.channels_last))
    assert last.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(last, expected, rtol=1e-4, atol=1e-5)


@each_network
def test_bf16_autocast_trains(name: str) -> None:
    torch.manual_seed(0)
    network = TINY[name]()
    image = torch.randn(2, 3, 64, 64)
    expected = copy.deepcopy(network)(image)
    with torch.autocast("cpu", torch.bfloat16):
        logits = network(image)
    assert logits.dtype == torch.bfloat16
    assert (logits - expected).abs().mean() < 0.05 * expected.abs().mean()
    logits.float().square().mean().backward()
    assert all(p.grad.isfinite().all() and p.grad.dtype == torch.float32 for p in network.parameters())


@each_network
def test_export(name: str) -> None:
    network = TINY[name]().eval()
    exported = torch.export.export(network, (torch.randn(1, 3, 65, 80),))
    image = torch.randn(1, 3, 65, 80)
    with torch.no_grad():
        torch.testing.assert_close(exported.module()(image), network(image))


@each_network
def test_traces_into_one_graph(name: str) -> None:
    # No break in the graph, forward and backward.
    network = TINY[name]()
    image = torch.randn(2, 3, 64, 64)
    expected = copy.deepcopy(network)(image)
    compiled = torch.compile(network, backend="aot_eager", fullgraph=True)
    logits = compiled(image)
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-5)
    logits.square().mean().backward()
    assert all(p.grad is not None for p in network.parameters())


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs g++")
def test_compiles() -> None:
    # Compiling a whole network takes minutes on a CPU; this stage holds every kind of part: norm, up-sampling, gate,
    # reflected depth-wise convolution.
    torch.manual_seed(0)
    stage = ConvUNeXt(base_channels=4).decoder[3].eval()
    below, feature = torch.randn(1, 4, 8, 8), torch.randn(1, 4, 17, 16)
    with torch.no_grad():
        torch.testing.assert_close(torch.compile(stage)(below, feature), stage(below, feature), rtol=1e-4, atol=1e-5)


@each_network
@pytest.mark.parametrize("skip", SKIPS)
def test_skip_modules_are_interchangeable(name: str, skip: str) -> None:
    network = TINY[name](skip=skip)
    assert all(type(stage.skip) is SKIPS[skip] for stage in network.decoder)
    assert network(torch.randn(2, 3, 64, 64)).shape == (2, 2, 64, 64)


def test_depths_set_the_number_of_blocks() -> None:
    network = ConvUNeXt(base_channels=4, depths=(2, 1, 4, 1))
    # Besides the blocks, a stage has a norm and a convolution.
    assert [len(stage) - 2 for stage in network.encoder] == [2, 1, 4, 1]


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (lambda: UNet(skip="rsx"), "rsx"),
        (lambda: ConvUNeXt(kernel_size=6), "kernel_size must be odd, got 6"),
        (lambda: ConvUNeXt(depths=(1, 1, 3)), "four numbers"),
    ],
)
def test_wrong_arguments_are_refused(build: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        build()


def test_initial_weights_follow_the_released_distribution() -> None:
    # The released 1x1 layers are Linear: uniform in +-1/sqrt(inputs), weight and bias alike.
    torch.manual_seed(0)
    project = ConvUNeXt().encoder[2][2].project
    bound = (4 * 256) ** -0.5
    for values in (project.weight, project.bias):
        assert values.abs().max() <= bound
        assert values.std().item() == pytest.approx(bound / 3**0.5, rel=0.1)
