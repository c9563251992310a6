"""UNeXt: counts, agreement with the released code, the shift, initial weights."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from medseg.errors import ConfigError, UserError
from medseg.models import import_reference
from medseg.models.unext import Shift, ShiftedBlock, UNeXt

SMALL, BASE, LARGE = (8, 16, 32, 64, 128), (16, 32, 128, 160, 256), (32, 64, 128, 256, 512)
TINY = (2, 3, 4, 5, 6)


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(
    ("channels", "classes", "expected"),
    [
        (SMALL, 1, 253_561),
        (SMALL, 2, 253_570),
        (BASE, 1, 1_471_921),
        (BASE, 2, 1_471_938),
        (LARGE, 1, 3_985_633),
        (LARGE, 2, 3_985_666),
    ],
)
def test_parameters(channels: tuple[int, ...], classes: int, expected: int) -> None:
    with torch.device("meta"):
        assert count(UNeXt(num_classes=classes, channels=channels)) == expected


@pytest.mark.parametrize(
    ("channels", "encoder", "embedding", "blocks", "decoder", "head"),
    [
        (BASE, [448, 4_640, 36_992], [184_800, 369_408], [53_440, 134_656, 53_440, 34_560],
         [368_800, 184_448, 36_896, 4_624, 2_320], 17),
        (SMALL, [224, 1_168, 4_640], [18_624, 74_112], [9_088, 34_560, 9_088, 2_496],
         [73_792, 18_464, 4_624, 1_160, 584], 9),
    ],
)  # fmt: skip
def test_parameters_per_part(
    channels: tuple[int, ...],
    encoder: list[int],
    embedding: list[int],
    blocks: list[int],
    decoder: list[int],
    head: int,
) -> None:
    with torch.device("meta"):
        network = UNeXt(num_classes=1, channels=channels)
    assert [count(stage[0]) for stage in network.encoder] == encoder
    assert [count(stage[:2]) for stage in network.tokens] == embedding
    assert [count(m) for m in network.modules() if isinstance(m, ShiftedBlock)] == blocks
    assert [count(stage[0]) for stage in network.decoder] == decoder
    assert count(network.head) == head


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("file", "name"), [("unext_dims_4_8_16_20_32", "unext"), ("unext_s", "unext_s")])
def test_same_function_as_the_released_code(golden: Path, file: str, name: str, dtype: torch.dtype) -> None:
    stored = np.load(golden / f"{file}.npz")
    state = {key.removeprefix("state/"): stored[key] for key in stored.files if key.startswith("state/")}
    network = import_reference(name, state).to(dtype).eval()
    with torch.no_grad():
        output = network(torch.from_numpy(stored["input/96x160"]).to(dtype))
    expected = stored["output/96x160"]
    assert np.abs(output.numpy() - expected).max() < 1e-5 * np.abs(expected).max()


@pytest.mark.parametrize("axis", [2, 3])
@pytest.mark.parametrize("channels", [20, 16, 7, 3])
def test_shift(channels: int, axis: int) -> None:
    x = torch.randn(2, channels, 4, 6)
    shifted = Shift(5, axis)(x)
    size = math.ceil(channels / 5)
    for c in range(channels):
        by = c // size - 2
        expected = torch.zeros_like(x[:, c])
        for position in range(x.shape[axis]):
            if 0 <= position - by < x.shape[axis]:
                expected.select(axis - 1, position).copy_(x[:, c].select(axis - 1, position - by))
        assert torch.equal(shifted[:, c], expected)


def test_no_shift() -> None:
    x = torch.randn(1, 6, 4, 5)
    assert torch.equal(Shift(1, 2)(x), x)
    network = UNeXt(channels=TINY, shift_size=1)
    assert count(network) == count(UNeXt(channels=TINY))


@pytest.mark.parametrize("size", [(32, 32), (33, 63), (100, 47)])
def test_any_size(size: tuple[int, int]) -> None:
    network = UNeXt(in_channels=1, num_classes=3, channels=TINY)
    assert tuple(network(torch.randn(2, 1, *size)).shape) == (2, 3, *size)


def test_padding_is_repetition_at_the_right_and_the_bottom() -> None:
    network = UNeXt(channels=TINY).eval()
    image = torch.randn(1, 3, 40, 50)
    padded = nn.functional.pad(image, (0, 14, 0, 24), mode="replicate")
    with torch.no_grad():
        assert torch.equal(network(image), network(padded)[..., :40, :50])


def test_smaller_images_are_refused() -> None:
    with pytest.raises(UserError, match="UNeXt needs images of at least 32 x 32 pixels, got 31 x 40"):
        UNeXt(channels=TINY)(torch.randn(1, 3, 31, 40))


def test_one_pixel_on_the_deepest_level_cannot_be_trained_on() -> None:
    network = UNeXt(channels=TINY)
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        network(torch.randn(1, 3, 32, 32))
    network(torch.randn(1, 3, 32, 33))
    network(torch.randn(2, 3, 32, 32))


def test_initial_weights_are_drawn_as_in_the_released_code() -> None:
    torch.manual_seed(0)
    network = UNeXt(channels=(8, 8, 64, 128, 128))
    block = network.tokens[1][2].mlp
    for layer, std in (
        (network.tokens[1][0], math.sqrt(2 / (9 * 128))),
        (block[1], 0.02),
        (block[2], math.sqrt(2 / 9)),
        (network.mixers[0][0].mlp[5], 0.02),
    ):
        assert layer.weight.std().item() == pytest.approx(std, rel=0.1)
        assert not layer.bias.any()
    # The other convolutions as PyTorch draws them: uniform within 1 / sqrt(fan-in).
    assert network.decoder[0][0].weight.abs().max().item() == pytest.approx(1 / math.sqrt(9 * 128), rel=0.01)
    assert network.decoder[0][0].bias.any()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"channels": (8, 16, 32)}, r"UNeXt's channels are five numbers, one per level, got \[8, 16, 32\]"),
        ({"shift_size": 4}, "UNeXt's shift_size must be odd and at least 1, got 4"),
        ({"shift_size": -1}, "shift_size must be odd and at least 1, got -1"),
    ],
)
def test_wrong_arguments(arguments: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        UNeXt(**arguments)


def test_names_that_do_not_fit_are_told() -> None:
    with pytest.raises(UserError, match=r"does not fit the released 'unext': encoder1\.weight is missing"):
        import_reference("unext", {"encoder9.weight": torch.zeros(1)})
