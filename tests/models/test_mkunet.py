"""MK-UNet: counts, agreement with the released code and with plain operations, deep supervision, initial weights."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from medseg.errors import ConfigError, UserError
from medseg.models import MKUNet, import_reference
from medseg.models.reference import RELEASED

T, S, BASE = (4, 8, 16, 24, 32), (8, 16, 32, 48, 80), (16, 32, 64, 96, 160)
M, L = (32, 64, 128, 192, 320), (64, 128, 256, 384, 512)
TINY = (2, 4, 6, 8, 10)


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(
    ("channels", "released", "plain"),
    [
        (T, 27_384, 27_358),
        (S, 93_050, 93_000),
        (BASE, 315_566, 315_468),
        (M, 1_150_166, 1_149_972),
        (L, 3_758_118, 3_757_732),
    ],
)
def test_parameters(channels: tuple[int, ...], released: int, plain: int) -> None:
    assert count(MKUNet(num_classes=1, channels=channels, deep_supervision=True)) == released
    assert count(MKUNet(channels=channels)) == plain


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("file", ["mkunet_t", "mkunet_s_2classes", "mkunet_12_20_36_52_84"])
def test_same_function_as_the_released_code(golden: Path, file: str, dtype: torch.dtype) -> None:
    stored = np.load(golden / f"{file}.npz")
    state = {key.removeprefix("state/"): stored[key] for key in stored.files if key.startswith("state/")}
    network = import_reference("mkunet", state).to(dtype).eval()
    for size in (key.removeprefix("input/") for key in stored.files if key.startswith("input/")):
        image = torch.from_numpy(stored[f"input/{size}"]).to(dtype)
        with torch.no_grad():
            outputs = [network(image)]
            # The other three outputs come in training mode; the batch norms stay in evaluation.
            network.training = True
            outputs += network(image)
            network.training = False
        names = [f"output/{size}", *(f"unreturned/{size}/p{k}" for k in (1, 2, 3)), f"output/{size}"]
        assert len(outputs) == len(names)
        for name, output in zip(names, outputs, strict=True):
            if name in stored:  # the others are of one network and one size
                assert np.abs(output.numpy() - stored[name]).max() < 1e-5 * np.abs(stored[name]).max()


# The network in plain operations, on a state under the released names.
def conv(state: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    """Convolve with zeros around, the input channels of a group being read off the shapes."""
    weight = state[f"{name}.weight"]
    per_group = weight.shape[1]
    groups, padding = x.shape[1] // per_group, weight.shape[-1] // 2
    outputs = weight.shape[0] // groups
    parts = [
        F.conv2d(x[:, k * per_group : (k + 1) * per_group], weight[k * outputs : (k + 1) * outputs], padding=padding)
        for k in range(groups)
    ]
    bias = state.get(f"{name}.bias", torch.zeros(len(weight), dtype=weight.dtype))
    return torch.cat(parts, dim=1) + bias[:, None, None]


def norm(state: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    weight, bias, mean, var = (
        state[f"{name}.{key}"][:, None, None] for key in ("weight", "bias", "running_mean", "running_var")
    )
    return (x - mean) / (var + 1e-5).sqrt() * weight + bias


def block(state: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    hidden = norm(state, f"{name}.pconv1.1", conv(state, f"{name}.pconv1.0", x)).clamp(0, 6)
    total = torch.zeros_like(hidden)
    j = 0
    while f"{name}.multi_scale_dwconv.dwconvs.{j}.0.weight" in state:
        branch = f"{name}.multi_scale_dwconv.dwconvs.{j}"
        total += norm(state, f"{branch}.1", conv(state, f"{branch}.0", hidden)).clamp(0, 6)
        j += 1
    channels = total.shape[1]
    groups = math.gcd(channels, len(state[f"{name}.pconv2.0.weight"]))
    per_group = channels // groups
    order = [group * per_group + member for member in range(per_group) for group in range(groups)]
    y = norm(state, f"{name}.pconv2.1", conv(state, f"{name}.pconv2.0", total[:, order]))
    return y + (conv(state, f"{name}.conv1x1", x) if f"{name}.conv1x1.weight" in state else x)


def plain_mkunet(state: dict[str, Tensor], image: Tensor) -> list[Tensor]:
    """Return p1 to p4, or p4 alone where the state has one head."""
    x, skips, outputs = image, [], []
    for i in range(1, 6):
        n = 0
        while f"encoder{i}.{n}.pconv1.0.weight" in state:
            x = block(state, f"encoder{i}.{n}", x)
            n += 1
        x = F.max_pool2d(x, 2)
        skips.append(x)
    for i in range(1, 6):
        pooled = [x.mean((2, 3), keepdim=True), x.flatten(2).max(2).values[..., None, None]]
        weights = sum(conv(state, f"CA{i}.fc2", conv(state, f"CA{i}.fc1", each).clamp(min=0)) for each in pooled)
        x = x * torch.sigmoid(weights)
        maps = torch.stack([x.mean(1), x.max(1).values], dim=1)
        x = x * torch.sigmoid(conv(state, "SA.conv", maps))
        x = F.interpolate(block(state, f"decoder{i}.0", x), scale_factor=2, mode="bilinear", align_corners=False)
        x = x.clamp(min=0)
        if f"out{i - 1}.weight" in state:
            factor = 2 ** (5 - i)
            if i < 5:
                head = conv(state, f"out{i - 1}", x)
                outputs.append(F.interpolate(head, scale_factor=factor, mode="bilinear", align_corners=False))
        if i < 5:
            skip, gate = skips[4 - i], f"AG{i}"
            both = norm(state, f"{gate}.W_g.1", conv(state, f"{gate}.W_g.0", x))
            both = both + norm(state, f"{gate}.W_x.1", conv(state, f"{gate}.W_x.0", skip))
            psi = norm(state, f"{gate}.psi.1", conv(state, f"{gate}.psi.0", both.clamp(min=0)))
            x = x + skip * torch.sigmoid(psi)
    return [*outputs, conv(state, "out4", x)]


def disturbed(network: nn.Module) -> dict[str, Tensor]:
    """Return the state of a network under the released names, with values that leave no part without effect."""
    state = {}
    for key, value in network.state_dict().items():
        if key.endswith("num_batches_tracked"):
            continue
        if key.endswith("running_var") or (value.dim() == 1 and key.endswith("weight")):
            new = torch.rand_like(value) + 0.5
        elif value.dim() > 1:
            new = torch.randn_like(value) * math.sqrt(2 / value[0].numel())
        else:
            new = torch.randn_like(value) / 2
        state[RELEASED["mkunet"].rename(key)] = new
    return state


@pytest.mark.parametrize(
    "arguments",
    [
        {"channels": TINY, "gate_kernel": 1, "in_channels": 1},
        {"channels": (3, 5, 4, 6, 7), "gate_kernel": 1, "kernels": (3,), "num_classes": 3},
        {"channels": (8, 6, 4, 4, 9), "kernels": (1, 3, 5, 7), "expansion": 3, "in_channels": 8},
        {"channels": (4, 4, 4, 4, 4), "depths": (2, 1, 3, 1, 2), "kernels": (5, 5), "gate_kernel": 5, "expansion": 1},
        {"channels": (4, 8, 24, 40, 72), "deep_supervision": True},
    ],
)
def test_same_function_as_plain_operations(arguments: dict[str, Any]) -> None:
    torch.manual_seed(0)
    state = disturbed(MKUNet(**arguments).double())
    network = import_reference("mkunet", state).double().eval()
    image = torch.randn(2, arguments.get("in_channels", 3), 64, 96, dtype=torch.float64)
    network.training = True  # the batch norms stay in evaluation
    with torch.no_grad():
        outputs = network(image)
    outputs = outputs if isinstance(outputs, list) else [outputs]
    # Two in double precision agree to rounding; the import is in single precision.
    expected = plain_mkunet({key: value.float().double() for key, value in state.items()}, image)
    assert len(outputs) == len(expected)
    for output, each in zip(outputs, expected, strict=True):
        torch.testing.assert_close(output, each, rtol=0, atol=1e-10 * float(each.abs().max()))


@pytest.mark.parametrize("size", [(32, 32), (33, 63), (100, 47)])
def test_any_size(size: tuple[int, int]) -> None:
    network = MKUNet(in_channels=1, num_classes=3, channels=TINY, deep_supervision=True)
    assert [tuple(each.shape) for each in network(torch.randn(2, 1, *size))] == 4 * [(2, 3, *size)]
    assert tuple(network.eval()(torch.randn(1, 1, *size)).shape) == (1, 3, *size)


def test_padding_is_repetition_at_the_right_and_the_bottom() -> None:
    network = MKUNet(channels=TINY).eval()
    image = torch.randn(1, 3, 40, 50)
    padded = F.pad(image, (0, 14, 0, 24), mode="replicate")
    with torch.no_grad():
        assert torch.equal(network(image), network(padded)[..., :40, :50])


def test_smaller_images_are_invalid() -> None:
    with pytest.raises(UserError, match="MKUNet needs images of at least 32 x 32 pixels, got 31 x 40"):
        MKUNet(channels=TINY)(torch.randn(1, 3, 31, 40))


def test_one_pixel_on_the_deepest_level_cannot_be_trained_on() -> None:
    network = MKUNet(channels=TINY)
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        network(torch.randn(1, 3, 32, 32))
    network(torch.randn(1, 3, 32, 33))
    network(torch.randn(2, 3, 32, 32))


def test_every_head_learns_from_its_own_output() -> None:
    network = MKUNet(channels=TINY, deep_supervision=True)
    heads = [*network.auxiliary_heads, network.head]
    for k, output in enumerate(network(torch.randn(2, 3, 64, 64))):
        output.square().mean().backward(retain_graph=True)
        assert [head.weight.grad is not None for head in heads] == [i <= k for i in range(4)]


def test_initial_weights_are_drawn_as_in_the_released_code() -> None:
    torch.manual_seed(0)
    network = MKUNet(channels=(32, 32, 64, 128, 256), deep_supervision=True)
    for layer in (
        network.encoder[4][0].project[0],
        network.encoder[4][0].shortcut,
        network.decoder[0].branches[2][0],
        network.channel_attention[0].weigh[0],
        network.gates[0].from_up[0],
    ):
        assert layer.weight.std().item() == pytest.approx(0.02, rel=0.1)
    assert not network.gates[0].from_up[0].bias.any()
    # The heads as PyTorch draws them: uniform within 1 / sqrt(fan-in).
    for head in (*network.auxiliary_heads, network.head):
        assert head.weight.std().item() == pytest.approx(1 / math.sqrt(3 * head.in_channels), rel=0.25)
        assert head.bias.any()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"channels": (8, 16, 32)}, r"channels and depths are five numbers each, one per level, got \[8, 16, 32\]"),
        ({"depths": (1, 1, 0, 1, 1)}, r"depths and expansion are at least 1, got \[1, 1, 0, 1, 1\], 2"),
        ({"expansion": 0}, "depths and expansion are at least 1"),
        ({"kernels": (1, 4)}, r"kernels, one or more, and gate_kernel must be odd and at least 1, got \[1, 4\], 3"),
        ({"kernels": ()}, r"kernels, one or more, .* got \[\], 3"),
        ({"gate_kernel": 2}, r"gate_kernel must be odd and at least 1, got \[1, 3, 5\], 2"),
        ({"channels": (8, 16, 15, 32, 64)}, r"first four channels must be even, got \[8, 16, 15, 32, 64\]"),
    ],
)
def test_wrong_arguments(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        MKUNet(**arguments)


def test_names_that_do_not_fit_are_named() -> None:
    state = disturbed(MKUNet(channels=TINY))
    with pytest.raises(UserError, match=r"does not fit the released 'mkunet': AG2\.psi\.0\.bias \(1\) is missing"):
        import_reference("mkunet", {key: value for key, value in state.items() if key != "AG2.psi.0.bias"})
    with pytest.raises(UserError, match=r"does not fit the released 'mkunet': encoder1\.0\.pconv1\.0\.weight is miss"):
        import_reference("mkunet_t", {"encoder9.weight": torch.zeros(1)})
