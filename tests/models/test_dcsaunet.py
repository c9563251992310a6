"""DCSAU-Net: counts, agreement with the released code, split attention, initial weights."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from medseg.errors import ConfigError, UserError
from medseg.models import DCSAUNet, import_reference
from medseg.models.dcsaunet import SplitAttention
from medseg.models.reference import RELEASED
from tests.models.builds import count

SMALL = {"stem_channels": 4, "encoder_widths": (2, 4, 8, 8), "decoder_widths": (4, 2, 2, 2)}


def test_parameters() -> None:
    with torch.device("meta"):
        assert count(DCSAUNet(num_classes=1)) == 2_598_785
        assert count(DCSAUNet()) == 2_598_850


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", ["64x64", "50x70"])
def test_same_function_as_the_released_code(golden: Path, size: str, dtype: torch.dtype) -> None:
    file = np.load(golden / "dcsaunet_base16.npz")
    state = {key.removeprefix("state/"): file[key] for key in file.files if key.startswith("state/")}
    network = import_reference("dcsaunet", state).to(dtype).eval()
    with torch.no_grad():
        output = network(torch.from_numpy(file[f"input/{size}"]).to(dtype))
    expected = file[f"output/{size}"]
    assert np.abs(output.numpy() - expected).max() < 1e-5 * np.abs(expected).max()


def released(network: DCSAUNet) -> dict[str, Tensor]:
    return {RELEASED["dcsaunet"].rename(key): value for key, value in network.state_dict().items()}


def test_arguments_are_read_from_the_shapes() -> None:
    # The first stage returns as many channels as it takes, so it has no layer in its shortcut.
    same = {"stem_channels": 8, "encoder_widths": (2, 4, 6, 8), "decoder_widths": (6, 4, 2, 4)}
    for arguments in (SMALL, same):
        network = DCSAUNet(in_channels=1, num_classes=3, **arguments)
        state = {k: v for k, v in released(network).items() if not k.endswith("num_batches_tracked")}
        assert ("down1.0.downsample.1.weight" in state) == (arguments == SMALL)
        imported = import_reference("dcsaunet", state)
        own = network.state_dict()
        assert imported.state_dict().keys() == own.keys()
        assert all(torch.equal(value, own[key]) for key, value in imported.state_dict().items())


def test_names_are_those_of_the_released_code(golden: Path) -> None:
    file = np.load(golden / "dcsaunet_base16.npz")
    state = {key.removeprefix("state/"): file[key].shape for key in file.files if key.startswith("state/")}
    network = DCSAUNet(num_classes=1, stem_channels=16, encoder_widths=(8, 16, 32, 32), decoder_widths=(16, 8, 4, 4))
    own = {k: tuple(v.shape) for k, v in released(network).items() if not k.endswith("num_batches_tracked")}
    assert own == state
    with pytest.raises(UserError, match=r"'dcsaunet': pfc\.input_layer\.0\.weight is missing"):
        import_reference("dcsaunet", {"pfc.weight": torch.zeros(1)})


@pytest.mark.parametrize(("channels", "hidden"), [(6, 32), (64, 32), (128, 64)])
def test_split_attention_is_its_formula(channels: int, hidden: int) -> None:
    """Computed again, at a width at which the golden vector has no hidden layer as well."""
    torch.manual_seed(0)
    attention = SplitAttention(channels).double().eval()
    for module in attention.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean)
            nn.init.uniform_(module.running_var, 0.5, 2)
    x = torch.randn(2, channels, 4, 5, dtype=torch.float64)

    def norm(values: Tensor, of: nn.Module) -> Tensor:
        shape = (1, -1, 1, 1)
        return (values - of.running_mean.view(shape)) / (of.running_var.view(shape) + 1e-5).sqrt()

    both = norm(F.conv2d(x, attention.split[0].weight, padding=1, groups=2), attention.split[1]).relu()
    u, v = both[:, :channels], both[:, channels:]
    v = norm(F.conv2d(u + v, attention.second[0].weight, padding=1, groups=2), attention.second[1]).relu()
    first, _, _, last = attention.weigh
    assert first.weight.shape == (hidden, channels, 1, 1)
    scores = norm(F.conv2d((u + v).mean((2, 3), keepdim=True), first.weight, first.bias), attention.weigh[1]).relu()
    scores = F.conv2d(scores, last.weight, last.bias)
    weight = torch.sigmoid(scores[:, :channels] - scores[:, channels:])  # a softmax of two
    torch.testing.assert_close(attention(x), weight * u + (1 - weight) * v)


def test_where_the_stages_pool_and_project() -> None:
    network = DCSAUNet(**SMALL)
    stages = [*(stage[1:] for stage in network.encoder), *(stage.fuse for stage in network.decoder)]
    assert [isinstance(first.pool, nn.AvgPool2d) for first, _ in stages] == [False, True, True, True] + [True] * 3 + [
        False
    ]
    assert not any(isinstance(second.pool, nn.AvgPool2d) for _, second in stages)
    identity = [isinstance(block.shortcut, nn.Identity) for stage in stages for block in stage]
    assert identity == [False, True] * 3 + [True, True] + [False, True] * 4, "the deepest stage keeps its channels"


def test_no_two_networks_share_weights() -> None:
    first, second = DCSAUNet(**SMALL), DCSAUNet(**SMALL)
    assert not {id(p) for p in first.parameters()} & {id(p) for p in second.parameters()}


def test_initial_weights_are_drawn_as_in_the_released_code() -> None:
    torch.manual_seed(0)
    network = DCSAUNet()
    block = network.encoder[3][1]  # 512 channels, 128 within
    for layer, fan_out in (
        (block.squeeze[0], 128),
        (block.attention.split[0], 9 * 256),  # of both groups
        (block.attention.weigh[0], 64),
        (block.expand[0], 512),
    ):
        assert layer.weight.std().item() == pytest.approx(math.sqrt(2 / fan_out), rel=0.05)
    assert block.attention.weigh[0].bias.abs().max().item() == pytest.approx(1 / math.sqrt(128), rel=0.1)
    # Stem and head as PyTorch draws them: uniform within 1 / sqrt(fan-in).
    assert network.stem.pointwise[0].weight.abs().max().item() == pytest.approx(1 / 8, rel=0.01)
    assert network.head.weight.abs().max().item() == pytest.approx(1 / 8, rel=0.05)


@pytest.mark.parametrize(
    "arguments", [{"encoder_widths": (2, 4, 8)}, {"decoder_widths": (4, 2, 2, 3)}, {"decoder_widths": (4, 2, 2, 0)}]
)
def test_wrong_widths(arguments: dict) -> None:
    with pytest.raises(ConfigError, match="DCSAU-Net's widths are four even numbers, one per stage, got"):
        DCSAUNet(**arguments)
