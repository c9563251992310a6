"""SegNeXt: its sizes, the released function, and an evaluation that repeats."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

from medseg.errors import ConfigError, UserError
from medseg.models import import_reference
from medseg.models.blocks import MSCABlock
from medseg.models.blocks.msca import DropPath
from medseg.models.hamburger import NMF
from medseg.models.segnext import SegNeXt

GOLDEN = "segnext_dims_8_16_32_40_depths_1_1_2_1_ham32_r16"
LARGE = (64, 128, 320, 512)
SIZES: dict[str, dict[str, Any]] = {
    "t": {},
    "s": {"dims": LARGE, "depths": (2, 2, 4, 2)},
    "b": {"dims": LARGE, "depths": (3, 3, 12, 3), "head_channels": 512, "rank": 64},
    "l": {"dims": LARGE, "depths": (3, 5, 27, 3), "head_channels": 1024, "rank": 64, "drop_path": 0.3},
}
TINY: dict[str, Any] = {"dims": (4, 4, 8, 12), "depths": (1, 1, 2, 1), "mlp_ratios": (2, 2, 1, 1), "rank": 3}


def tiny(**changes: Any) -> SegNeXt:
    torch.manual_seed(0)
    return SegNeXt(**{**TINY, "head_channels": 64, **changes})


def count(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def load(golden: Path) -> tuple[dict[str, np.ndarray], torch.Tensor, torch.Tensor]:
    file = np.load(golden / f"{GOLDEN}.npz")
    state = {key.removeprefix("state/"): file[key] for key in file.files if key.startswith("state/")}
    return state, torch.from_numpy(file["input/96x128"]), torch.from_numpy(file["output/96x128"])


def relative_error(output: torch.Tensor, expected: torch.Tensor) -> float:
    return ((output - expected).abs().max() / expected.abs().max()).item()


@pytest.mark.parametrize(
    ("size", "parameters", "encoder", "head", "gmac"),
    [
        ("t", 4_225_121, 3_903_584, 321_537, 1.563),
        ("s", 13_894_593, 13_450_176, 444_417, 3.873),
        ("b", 27_559_873, 26_277_824, 1_282_049, 8.611),
        ("l", 48_773_825, 44_636_864, 4_136_961, 17.31),
    ],
)
def test_parameters_and_cost(size: str, parameters: int, encoder: int, head: int, gmac: float) -> None:
    with torch.device("meta"):
        network = SegNeXt(num_classes=1, **SIZES[size]).eval()
    assert count(network) == parameters
    assert (count(network.encoder), count(network.head)) == (encoder, head)
    with FlopCounterMode(display=False) as counter:
        assert network(torch.empty(1, 3, 256, 256, device="meta")).shape == (1, 1, 256, 256)
    assert counter.get_total_flops() / 2e9 == pytest.approx(gmac, rel=1e-3)


def test_parameters_of_the_stages_and_with_many_classes() -> None:
    with torch.device("meta"):
        assert [count(stage) for stage in SegNeXt().encoder] == [83_584, 292_160, 1_632_160, 1_895_680]
        many = [count(SegNeXt(num_classes=150, **arguments)) for arguments in SIZES.values()]
    assert many == [4_263_414, 13_932_886, 27_636_310, 48_926_550]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_same_function_as_the_released_code(golden: Path, dtype: torch.dtype) -> None:
    state, image, expected = load(golden)
    network = import_reference("segnext_t", state).eval().to(dtype)
    assert isinstance(network, SegNeXt)
    image, expected = image.to(dtype), expected.to(dtype)
    with torch.no_grad():
        small, full = network.small_logits(image), network(image)
        assert relative_error(small, expected) < 1e-5
        assert relative_error(full, F.interpolate(expected, size=image.shape[-2:], mode="bilinear")) < 1e-5
        # In another batch, at another place.
        batch = torch.cat([torch.randn_like(image), image])
        assert relative_error(network.small_logits(batch)[1:], expected) < 1e-5
        last = network.to(memory_format=torch.channels_last)
        assert relative_error(last.small_logits(image.contiguous(memory_format=torch.channels_last)), expected) < 1e-5


def test_names_and_arguments_of_released_states(golden: Path) -> None:
    state, image, _ = load(golden)
    network = import_reference("segnext_t", state).eval()
    assert not [key for key in network.state_dict() if "fixed_bases" in key]
    assert len([key for key in network.state_dict() if not key.endswith("num_batches_tracked")]) == len(state)
    assert network.head.hamburger.nmf.fixed_bases.shape == (1, 32, 16)
    # A checkpoint of the released code calls its parts in full.
    names = {"b": "backbone", "h": "decode_head"}
    full = {f"{names[key[0]]}{key[1:]}": value for key, value in state.items()}
    with torch.no_grad():
        assert torch.equal(import_reference("segnext_l", full).eval()(image), network(image))
    missing = {key: value for key, value in full.items() if key != "backbone.norm2.weight"}
    with pytest.raises(UserError, match=r"backbone\.norm2\.weight \(16\) is missing"):
        import_reference("segnext_t", missing)
    with pytest.raises(UserError, match=r"h\.align\.conv\.weight is 8x32x1x1 where 32x32x1x1 is expected"):
        import_reference("segnext_t", state | {"h.align.conv.weight": state["h.align.conv.weight"][:8]})
    with pytest.raises(UserError, match=r"backbone\.block1\.0\.mlp\.fc1\.weight is missing"):
        import_reference("segnext_b", {})


@pytest.mark.parametrize(("width", "rank"), [(256, 16), (512, 64)])
def test_rank_is_that_of_the_heads_width(golden: Path, width: int, rank: int) -> None:
    state, _, _ = load(golden)
    of_head = {"h.conv_seg.weight": (2, width, 1, 1), "h.squeeze.conv.weight": (width, 88, 1, 1)}
    for part in ("hamburger.ham_in", "hamburger.ham_out", "align"):
        of_head[f"h.{part}.conv.weight"] = (width, width, 1, 1)
    for key in state:
        if key.startswith("h.") and key != "h.conv_seg.bias":
            of_head.setdefault(key, (width,))
    changed = {key: torch.zeros(shape) for key, shape in of_head.items()}
    network = import_reference("segnext_b", state | changed)
    assert network.head.hamburger.nmf.fixed_bases.shape == (1, width, rank)


def test_evaluation_repeats_and_leaves_the_random_state_alone() -> None:
    network, image = tiny().eval(), torch.randn(2, 3, 40, 33)
    before = torch.get_rng_state()
    with torch.no_grad():
        first = network(image)
        torch.rand(1)
        after_one_draw = torch.get_rng_state()
        assert torch.equal(network(image), first)
        assert torch.equal(torch.get_rng_state(), after_one_draw)
        # An image's logits do not depend on its place in the batch.
        torch.testing.assert_close(network(image.flip(0)).flip(0), first)
        torch.testing.assert_close(network(image[1:]), first[1:])
    torch.set_rng_state(before)
    tiny()
    built = torch.get_rng_state()
    tiny(rank=5)
    assert torch.equal(torch.get_rng_state(), built)  # the fixed bases have a generator of their own


def test_training_draws_bases_for_every_image() -> None:
    nmf = NMF(6, rank=3).train()
    x = torch.rand(1, 6, 5, 5).expand(2, -1, -1, -1)
    torch.manual_seed(7)
    first = nmf(x)
    assert not torch.allclose(first[0], first[1])
    assert not torch.allclose(nmf(x), first)
    torch.manual_seed(7)
    assert torch.equal(nmf(x), first)
    # What the released code draws: batch x C x rank from the global generator. 6 steps, where evaluation has 7.
    torch.manual_seed(7)
    expected = torch.rand(2, 6, 3)
    nmf.eval_steps = nmf.train_steps
    nmf.eval()
    for k in range(2):
        nmf.fixed_bases.copy_(expected[k : k + 1])
        torch.testing.assert_close(nmf(x[:1]), first[k : k + 1])


def test_factorisation_as_written_in_the_paper() -> None:
    # In float64 with plain loops over the formulas.
    nmf = NMF(5, rank=2).double().eval()
    torch.manual_seed(0)
    d = torch.rand(1, 5, 2)[0].double()
    x = torch.rand(5, 12, dtype=torch.float64)
    d = d / d.square().sum(0).sqrt()
    k = torch.exp(x.T @ d)
    k = k / k.sum(1, keepdim=True)
    for step in range(8):
        k = k * (x.T @ d) / (k @ d.T @ d + 1e-6)
        if step < 7:
            d = d * (x @ k) / (d @ k.T @ k + 1e-6)
    torch.testing.assert_close(nmf(x.view(1, 5, 3, 4)).view(5, 12), d @ k.T)


def test_fixed_bases_survive_moves_and_conversions() -> None:
    torch.manual_seed(0)
    expected = torch.rand(1, 64, 3)
    with torch.device("meta"):
        network = SegNeXt(**TINY, head_channels=64)
    assert all(tensor.is_meta for tensor in (*network.parameters(), *network.buffers()))
    network.to_empty(device="cpu")
    nmf = network.head.hamburger.nmf
    assert torch.equal(nmf.fixed_bases, expected)
    assert torch.equal(network.half().float().head.hamburger.nmf.fixed_bases, expected)
    assert torch.equal(network.double().head.hamburger.nmf.fixed_bases, expected.double())
    source = tiny().eval()
    network.float().eval().load_state_dict(source.state_dict())
    image = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(network(image), source(image))


def test_factorisation_runs_in_single_precision_under_autocast() -> None:
    nmf = NMF(32, rank=4).eval()
    x = 20 * torch.randn(1, 32, 16, 16).relu()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        low = nmf(x.bfloat16())
    assert low.dtype == torch.bfloat16
    assert torch.equal(low, nmf(x.bfloat16().float()).bfloat16())
    assert nmf.bfloat16()(x.bfloat16()).dtype == torch.bfloat16


@pytest.mark.parametrize("size", [(8, 8), (8, 61), (31, 33), (70, 75)])
def test_any_size_comes_out_as_it_went_in(size: tuple[int, int]) -> None:
    network = tiny(in_channels=1, num_classes=3).eval()
    image = torch.randn(1, 1, *size)
    with torch.no_grad():
        assert network(image).shape == (1, 3, *size)
        assert network.small_logits(image).shape == (1, 3, math.ceil(size[0] / 8), math.ceil(size[1] / 8))


@pytest.mark.parametrize(("head_channels", "minimum"), [(64, 8), (32, 9), (16, 9)])
def test_smallest_image(head_channels: int, minimum: int) -> None:
    network = tiny(head_channels=head_channels).eval()
    assert network.min_size == minimum
    with torch.no_grad():
        assert network(torch.randn(1, 3, minimum, minimum)).shape == (1, 2, minimum, minimum)
    with pytest.raises(UserError, match=f"at least {minimum} x {minimum}"):
        network(torch.randn(1, 3, minimum - 1, 40))


def test_initial_weights_are_the_released_ones() -> None:
    network = tiny(dims=(32, 32, 64, 64))
    block = network.encoder[3].blocks[0]
    for weight, fan_out in (
        (network.encoder[2].down[0].weight, 9 * 64),
        (block.attention[0].weight, 64),
        (block.attention[2].strips[2][0].weight, 21),  # depth-wise: one output per group
        (block.ffn[1].weight, 9),
        (network.head.squeeze[0].weight, 64),
    ):
        assert weight.std().item() == pytest.approx(math.sqrt(2 / fan_out), rel=0.1)
    assert network.head.classifier.weight.std().item() == pytest.approx(0.01, rel=0.2)
    biases = [value for key, value in network.named_parameters() if key.endswith("bias")]
    assert not any(value.any() for value in biases)
    assert torch.equal(block.scale1, torch.full((64, 1, 1), 0.01))


def test_stochastic_depth() -> None:
    network = tiny(drop_path=0.4)
    rates = [block.drop_path.rate for stage in network.encoder for block in stage.blocks]
    assert rates == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4])
    torch.manual_seed(0)
    dropped = DropPath(0.25).train()(torch.ones(4000, 1, 1, 1))
    assert dropped.unique().tolist() == pytest.approx([0.0, 1 / 0.75])
    assert dropped.mean().item() == pytest.approx(1, abs=0.05)
    x = torch.randn(2, 4, 9, 9)
    block = MSCABlock(4, drop_path=0.9).eval()
    assert torch.equal(block(x), block(x))


def test_every_parameter_learns() -> None:
    network = tiny(drop_path=0.0)
    network(torch.randn(2, 3, 64, 64)).square().mean().backward()
    without = [key for key, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    # A bias right before a batch norm has no effect in training, in the released code neither.
    assert [key for key in without if not key.endswith("bias")] == []


def test_factorisation_can_be_exported_and_compiled() -> None:
    # The whole network is among those of the contract tests; this is the part that draws and switches autocast off.
    nmf, x = NMF(8, rank=3), torch.rand(2, 8, 4, 5)
    torch.compile(nmf, fullgraph=True, backend="aot_eager")(x.requires_grad_()).sum().backward()
    assert x.grad is not None
    nmf.eval()
    with torch.no_grad():
        expected = nmf(x)
        torch.testing.assert_close(torch.export.export(nmf, (x,)).module()(x), expected)
        torch.testing.assert_close(torch.compile(nmf, fullgraph=True, backend="aot_eager")(x), expected)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"dims": (8, 8, 8)}, "four numbers each"),
        ({"depths": (1, 1, 1, 1, 1)}, "four numbers each"),
        ({"dims": (7, 8, 8, 8)}, "must be even, got 7"),
        ({"drop_path": 1.0}, "less than 1, got 1.0"),
        ({"drop_path": -0.1}, "at least 0"),
    ],
)
def test_wrong_arguments_are_refused(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        SegNeXt(**{**TINY, **arguments})
