"""EGE-UNet: counts, agreement with the released code, masks as outputs of deep supervision, initial weights."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from medseg.acceleration import accelerate
from medseg.acceleration.depthwise import DepthwiseConv2d
from medseg.acceleration.upsampling import Upsample
from medseg.errors import ConfigError, UserError
from medseg.models import EGEUNet, import_reference
from medseg.models.egeunet import HadamardAttention, mask_logits
from medseg.models.reference import RELEASED
from tests.models.builds import count


def test_parameters() -> None:
    with torch.device("meta"):
        network = EGEUNet(num_classes=1)
        assert count(EGEUNet()) == 53_383
        assert count(EGEUNet(deep_supervision=True)) == 53_383, "the masks are always there"
    assert count(network) == 53_374
    # By hand: a block of 48 channels (12 in a group) to 64.
    group = 12 * 64 + 2 * 12 * 8 + (12 * 10 + 12 * 13) + 2 * (12 * 4 + 12 * 13) + (12 * 13 + 12 * 10)
    assert count(network.encoder[5]) == group + 2 * 2 * 48 + (48 * 10 + 64 * 49)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", ["64x64", "32x96"])
def test_same_function_as_the_released_code(golden: Path, size: str, dtype: torch.dtype) -> None:
    file = np.load(golden / "egeunet.npz")
    state = {key.removeprefix("state/"): file[key] for key in file.files if key.startswith("state/")}
    network = import_reference("egeunet", state).to(dtype).eval()
    image = torch.from_numpy(file[f"input/{size}"]).to(dtype)
    with torch.no_grad():
        main = network(image)
        network.train().deep_supervision = True  # no layer of it is another one in training
        outputs = network(image)
    assert torch.equal(outputs[-1], main)
    # The vectors begin with the main output, then the shallowest mask.
    for position, output in enumerate(reversed(outputs)):
        expected = file[f"output/{size}/{position}"]
        assert np.abs(output.numpy() - expected).max() < 1e-5 * np.abs(expected).max(), position
    if f"forward/{size}/0" in file.files:
        # What the released forward pass returns: masks, the deepest first, then the main output, after a sigmoid.
        for position, output in enumerate(outputs):
            np.testing.assert_allclose(output.sigmoid().numpy(), file[f"forward/{size}/{position}"], atol=1e-5)


def released(network: EGEUNet) -> dict[str, Tensor]:
    return {RELEASED["egeunet"].rename(key): value for key, value in network.state_dict().items()}


def test_a_block_is_its_formula() -> None:
    """Computed again pixel by pixel, at a size where maps are resized up and down."""
    torch.manual_seed(0)
    block = HadamardAttention(8, 12).double()
    for parameter in block.parameters():
        nn.init.normal_(parameter)
    height, width = 5, 11
    x = torch.randn(2, 8, height, width, dtype=torch.float64)

    def at(line: Tensor, position: int, length: int) -> Tensor:
        """Read a line C x 8 at a pixel, its ends at the first and the last one."""
        place = position * 7 / (length - 1)
        low = min(int(place), 6)
        return line[:, low] * (1 - place + low) + line[:, low + 1] * (place - low)

    def norm(values: Tensor, of: nn.LayerNorm) -> Tensor:
        centred = values - values.mean(1, keepdim=True)
        scaled = centred / (centred.square().mean(1, keepdim=True) + 1e-6).sqrt()
        return scaled * of.weight[:, None, None] + of.bias[:, None, None]

    normed = norm(x, block.norm1)
    surface = torch.stack(
        [torch.stack([at(block.map_hw[0, :, row], w, width) for w in range(width)], dim=1) for row in range(8)],
        dim=1,
    )
    surface = torch.stack(
        [torch.stack([at(surface[:, :, w], h, height) for w in range(width)], dim=1) for h in range(height)],
        dim=1,
    )
    rows = torch.stack([at(block.map_h[0, 0], h, height) for h in range(height)], dim=1)
    columns = torch.stack([at(block.map_w[0, 0], w, width) for w in range(width)], dim=1)
    joined = torch.cat(
        [
            normed[:, 0:2] * block.conv_hw(surface[None]),
            normed[:, 2:4] * block.conv_h(rows[None])[..., None].expand(-1, -1, height, width),
            normed[:, 4:6] * block.conv_w(columns[None])[:, :, None].expand(-1, -1, height, width),
            block.local(normed[:, 6:8]),
        ],
        dim=1,
    )
    torch.testing.assert_close(block(x), block.mix(norm(joined, block.norm2)))


@pytest.mark.parametrize("channels", [(8, 8, 12, 16, 16, 20), (12, 4, 8, 8, 24, 16)])
def test_arguments_are_read_from_the_shapes(channels: Sequence[int]) -> None:
    network = EGEUNet(in_channels=1, num_classes=3, channels=channels)
    state = released(network)
    assert state["gt_conv5.0.weight"].shape == (1, channels[0], 1, 1), "one channel, whatever the classes are"
    imported = import_reference("egeunet", state)
    own = network.state_dict()
    assert imported.state_dict().keys() == own.keys()
    assert all(torch.equal(value, own[key]) for key, value in imported.state_dict().items())


def test_names_are_those_of_the_released_code(golden: Path) -> None:
    file = np.load(golden / "egeunet.npz")
    state = {key.removeprefix("state/"): file[key].shape for key in file.files if key.startswith("state/")}
    assert {key: tuple(value.shape) for key, value in released(EGEUNet(num_classes=1)).items()} == state
    with pytest.raises(UserError, match=r"does not fit the released 'egeunet': encoder1\.0\.weight is missing"):
        import_reference("egeunet", {"encoder9.weight": torch.zeros(1)})


@pytest.mark.parametrize("num_classes", [2, 5])
def test_logits_of_a_mask_have_its_cross_entropy(num_classes: int) -> None:
    torch.manual_seed(0)
    mask = 3 * torch.randn(2, 1, 6, 7)
    target = torch.randint(0, num_classes, (2, 6, 7))
    logits = mask_logits(mask, num_classes)
    assert logits.shape == (2, num_classes, 6, 7)
    foreground = (target > 0).float()
    expected = F.binary_cross_entropy_with_logits(mask[:, 0], foreground, reduction="none")
    constant = foreground * math.log(num_classes - 1)
    torch.testing.assert_close(F.cross_entropy(logits, target, reduction="none"), expected + constant)
    torch.testing.assert_close(1 - logits.softmax(1)[:, 0], mask[:, 0].sigmoid())
    assert torch.equal(mask_logits(mask, 1), mask)


def test_deep_supervision_returns_the_masks_the_deepest_first() -> None:
    torch.manual_seed(0)
    network = EGEUNet(num_classes=3, deep_supervision=True)
    image = torch.randn(1, 3, 64, 96)
    logits, masks = network.decode(image)
    assert [tuple(mask.shape) for mask in masks] == [(1, 1, 2**k, 3 * 2 ** (k - 1)) for k in (1, 2, 3, 4, 5)]
    outputs = network(image)
    assert len(outputs) == len(network.output_weights) == 6
    assert torch.equal(outputs[-1], logits)
    for mask, output in zip(masks, outputs, strict=False):
        corners = output[..., :: output.shape[2] - 1, :: output.shape[3] - 1]  # they are aligned
        torch.testing.assert_close(corners, mask_logits(mask[..., :: mask.shape[2] - 1, :: mask.shape[3] - 1], 3))
    assert tuple(network.eval()(image).shape) == (1, 3, 64, 96)


def test_padding_is_repetition_at_the_right_and_the_bottom() -> None:
    network = EGEUNet(deep_supervision=True).eval()
    image = torch.randn(1, 3, 40, 50)
    padded = F.pad(image, (0, 14, 0, 24), mode="replicate")
    with torch.no_grad():
        assert torch.equal(network(image), network(padded)[..., :40, :50])
        for output, whole in zip(network.train()(image), network(padded), strict=True):
            assert torch.equal(output, whole[..., :40, :50])


def test_a_step_in_bf16_is_close() -> None:
    # The gradient of a dilated kernel, which PyTorch computes wrong in bf16, included.
    torch.manual_seed(0)
    plain = EGEUNet(deep_supervision=True)
    image, target = torch.randn(2, 3, 64, 64), torch.randint(0, 2, (2, 64, 64))
    losses, gradients = [], []
    for enabled in (False, True):
        network = copy.deepcopy(plain).to(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            outputs = network(image.contiguous(memory_format=torch.channels_last))
        loss = torch.stack([F.cross_entropy(output.float(), target) for output in outputs]).mean()
        loss.backward()
        losses.append(loss.item())
        gradients.append({key: parameter.grad for key, parameter in network.named_parameters()})
    assert losses[1] == pytest.approx(losses[0], rel=0.02)
    for key, gradient in gradients[1].items():
        assert gradient.isfinite().all(), key
        if key.startswith("bridges.4.groups") and key.endswith("1.weight"):
            assert F.cosine_similarity(gradient.flatten(), gradients[0][key].flatten(), dim=0) > 0.95, key


def test_accelerated_it_is_the_same_function_with_the_same_gradients() -> None:
    torch.manual_seed(0)
    network = EGEUNet(deep_supervision=True).double().to(memory_format=torch.channels_last)
    plain, fast = copy.deepcopy(network), accelerate(copy.deepcopy(network))
    for module in plain.modules():
        if isinstance(module, DepthwiseConv2d):  # PyTorch's own operation, right in this precision
            module.__class__ = nn.Conv2d
    assert sum(isinstance(module, Upsample) for module in fast.modules()) == 9
    image = torch.randn(2, 3, 40, 70, dtype=torch.float64).contiguous(memory_format=torch.channels_last)
    for each in (plain, fast):
        torch.stack(each(image)).square().mean().backward()
    torch.testing.assert_close(fast(image)[-1], plain(image)[-1])
    for (key, one), other in zip(plain.named_parameters(), fast.parameters(), strict=True):
        torch.testing.assert_close(other.grad, one.grad, rtol=1e-8, atol=1e-8, msg=key)


def test_initial_weights_are_drawn_as_in_the_released_code() -> None:
    torch.manual_seed(0)
    network = EGEUNet(channels=(64, 64, 128, 256, 256, 512))
    block = network.decoder[0][0]  # 512 channels, 128 in a group
    for layer, fan_out in (
        (network.encoder[1][0], 9 * 64),
        (block.mix[0], 9),  # depth-wise: of one group
        (block.mix[2], 256),
        (block.conv_h[0], 3 * 128),  # in one dimension, of all groups
        (block.conv_h[2], 128),
        (network.bridges[0].groups[3][1], 9),
    ):
        assert layer.weight.std().item() == pytest.approx(math.sqrt(2 / fan_out), rel=0.1)
        assert bool(layer.bias.any()) == isinstance(layer, nn.Conv1d)
    assert block.conv_h[2].bias.abs().max().item() == pytest.approx(1 / math.sqrt(128), rel=0.1)
    for learned in (block.map_hw, block.map_h, block.map_w):
        assert (learned == 1).all()


@pytest.mark.parametrize("channels", [(8, 16, 24, 32, 48), (8, 16, 24, 32, 48, 66), (0, 16, 24, 32, 48, 64)])
def test_wrong_channels(channels: Sequence[int]) -> None:
    with pytest.raises(ConfigError, match="EGE-UNet's channels are six multiples of 4, one per stage, got"):
        EGEUNet(channels=channels)
