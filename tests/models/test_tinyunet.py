"""TinyU-Net: counts, agreement with the released code and with plain operations, exchanged parts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from medseg.errors import ConfigError, UserError
from medseg.models import TinyUNet, import_reference
from medseg.models.reference import RELEASED
from medseg.models.tinyunet import CMRFBlock


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(("num_classes", "expected"), [(1, 481_105), (2, 481_170)])
def test_parameters(num_classes: int, expected: int) -> None:
    with torch.device("meta"):
        assert count(TinyUNet(num_classes=num_classes)) == expected


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_same_function_as_the_released_code(golden: Path, dtype: torch.dtype) -> None:
    stored = np.load(golden / "tinyunet_base16.npz")
    state = {key.removeprefix("state/"): stored[key] for key in stored.files if key.startswith("state/")}
    network = import_reference("tinyunet", state).to(dtype).eval()
    for size in ("64x64", "96x80"):
        with torch.no_grad():
            output = network(torch.from_numpy(stored[f"input/{size}"]).to(dtype))
        expected = stored[f"output/{size}"]
        assert np.abs(output.numpy() - expected).max() < 1e-5 * np.abs(expected).max()


# The network in plain operations, on a state under the released names.
def conv_norm(state: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    weight = state[f"{name}.conv.weight"]
    x = F.conv2d(x, weight, padding=weight.shape[-1] // 2, groups=x.shape[1] // weight.shape[1])
    scale, bias, mean, var = (
        state[f"{name}.bn.{key}"][:, None, None] for key in ("weight", "bias", "running_mean", "running_var")
    )
    return (x - mean) / (var + 1e-3).sqrt() * scale + bias


def gelu(x: Tensor) -> Tensor:
    return x * (1 + torch.erf(x / 2**0.5)) / 2


def block(state: dict[str, Tensor], stage: str, x: Tensor) -> Tensor:
    name = f"{stage}.cmrf"
    squeezed = gelu(conv_norm(state, f"{name}.pwconv1", x))
    odd = torch.stack([squeezed[:, c] for c in range(1, squeezed.shape[1], 2)], dim=1)
    features = [odd + torch.stack([squeezed[:, c] for c in range(0, squeezed.shape[1], 2)], dim=1)]
    for j in range(7):
        odd = conv_norm(state, f"{name}.m.{j}", odd)
        features.append(odd)
    y = gelu(conv_norm(state, f"{name}.pwconv2", torch.cat(features, dim=1)))
    return x + y if x.shape[1] == y.shape[1] else y


def plain_tinyunet(state: dict[str, Tensor], image: Tensor) -> Tensor:
    x, skips = image, []
    for i in (1, 2, 3, 4):
        x = block(state, f"encoder{i}", x)
        skips.append(x)
        x = F.max_pool2d(x, 2)
    for i in (4, 3, 2, 1):
        up = F.interpolate(x, scale_factor=2, mode="bicubic", align_corners=False)
        x = block(state, f"decoder{i}", torch.cat([up, skips[i - 1]], dim=1))
    return F.conv2d(x, state["final_conv.weight"], state["final_conv.bias"])


@pytest.mark.parametrize(
    ("in_channels", "num_classes", "channels"),
    [(1, 3, (16, 48, 32, 64)), (16, 1, (16, 16, 32, 32)), (3, 2, (32, 16, 16, 16))],
)
def test_same_function_as_plain_operations(in_channels: int, num_classes: int, channels: tuple[int, ...]) -> None:
    # The second and third have blocks of as many channels as their input, which are residual.
    torch.manual_seed(0)
    network = TinyUNet(in_channels=in_channels, num_classes=num_classes, channels=channels)
    with torch.no_grad():
        for tensor in network.state_dict().values():
            if tensor.dim() == 1:  # norms, their statistics, the bias of the head
                tensor.uniform_(0.5, 1.5)
    state = {RELEASED["tinyunet"].rename(key): value for key, value in network.state_dict().items()}
    imported = import_reference("tinyunet", state).double().eval()
    image = torch.randn(2, in_channels, 32, 48, dtype=torch.float64)
    with torch.no_grad():
        output = imported(image)
    expected = plain_tinyunet({key: value.double() for key, value in state.items()}, image)
    torch.testing.assert_close(output, expected, rtol=0, atol=1e-10 * float(expected.abs().max()))


def test_batch_norms_are_those_of_the_released_code() -> None:
    norms = [module for module in TinyUNet(channels=(16, 16, 16, 16)).modules() if isinstance(module, nn.BatchNorm2d)]
    assert len(norms) == 8 * 9
    assert {(norm.eps, norm.momentum) for norm in norms} == {(1e-3, 0.03)}


def test_parts_are_exchanged() -> None:
    network = TinyUNet(channels=(16, 16, 32, 32), encoder="double_conv", skip="attention_gate", deep_supervision=True)
    assert not any(isinstance(module, CMRFBlock) for module in network.encoder.modules())
    outputs = network(torch.randn(2, 3, 17, 35))
    assert [tuple(each.shape) for each in outputs] == 4 * [(2, 2, 17, 35)]


def test_wrong_arguments() -> None:
    with pytest.raises(ConfigError, match=r"TinyU-Net's channels are four numbers, one per level, got \[16, 32, 64\]"):
        TinyUNet(channels=(16, 32, 64))
    with pytest.raises(ConfigError, match="TinyU-Net's block needs a multiple of 16 channels, got 24"):
        TinyUNet(channels=(16, 24, 32, 48))
    with pytest.raises(UserError, match="TinyUNet needs images of at least 16 x 16 pixels, got 16 x 15"):
        TinyUNet(channels=(16, 16, 16, 16))(torch.randn(1, 3, 16, 15))


def test_names_that_do_not_fit_are_named() -> None:
    with pytest.raises(UserError, match=r"released 'tinyunet': encoder1\.cmrf\.pwconv1\.conv\.weight is missing"):
        import_reference("tinyunet", {"encoder9.weight": torch.zeros(1)})
