"""Activation checkpointing: the same training with less stored for the backward pass."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from medseg.acceleration import accelerate, checkpoint_activations
from medseg.acceleration.checkpointing import innermost, parts_to_repeat
from medseg.errors import ConfigError, UserError
from medseg.models.amsunet import AMSUnet
from medseg.models.convunext import ConvUNeXt
from medseg.models.mkunet import MKUNet
from medseg.models.tinyunet import TinyUNet
from medseg.models.unet import UNet
from medseg.system.files import read_csv
from tests.helpers import train as train_run


class Block(nn.Module):
    """A block with all that a second pass could do twice: random numbers, running statistics, an own counter."""

    def __init__(self, channels: int, momentum: float | None = 0.1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm = nn.BatchNorm2d(channels, momentum=momentum)
        self.instance_norm = nn.InstanceNorm2d(channels, track_running_stats=True)
        self.dropout = nn.Dropout(0.5)
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1  # type: ignore[operator]
        return x + self.dropout(self.instance_norm(self.norm(self.conv(x)).relu()))


class Plain(nn.Module):
    """A user's network."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 1)
        self.blocks = nn.ModuleList([Block(4), Block(4, momentum=None), nn.Sequential(Block(4), nn.ReLU()), Block(4)])
        self.head = nn.Conv2d(4, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return self.head(x)


class Window(nn.Module):
    """A block whose arguments are given by name, as in timm's Swin."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(4)

    def forward(self, x: Tensor, *, mask: Tensor, debug: bool) -> Tensor:
        return self.norm(x).where(mask, x)


class ByName(nn.Module):
    """A network of such blocks."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 1)
        self.windows = nn.ModuleList([Window(), Window()])
        self.head = nn.Conv2d(4, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for window in self.windows:
            x = window(x=x, mask=x > 0, debug=True)
        return self.head(x)


class Skipped(Block):
    """A block that is skipped, and scaled, by random numbers that are not PyTorch's."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * np.random.rand() if random.random() < 0.7 else x


class Skipping(Plain):
    """A network of such blocks."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([Skipped(4) for _ in range(6)])


def smp_unet() -> nn.Module:
    import segmentation_models_pytorch as smp

    return smp.Unet("resnet18", encoder_weights=None, decoder_channels=(32, 16, 8, 8, 8), classes=2)


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "own": Plain,
    "convunext": lambda: ConvUNeXt(base_channels=4),
    "amsunet": lambda: AMSUnet(base_channels=4),
    "unet, deep supervision": lambda: UNet(base_channels=4, deep_supervision=True),
    "mkunet, deep supervision": lambda: MKUNet(channels=(4, 6, 8, 10, 12), deep_supervision=True),
    "tinyunet": lambda: TinyUNet(channels=(16, 16, 32, 32)),
    "smp": smp_unet,
    "arguments by name": ByName,
    "others' random numbers": Skipping,
}


def train(network: nn.Module, steps: int = 2, bf16: bool = False) -> tuple[list[float], dict[str, Tensor], Tensor]:
    """Train for some steps; return losses, the state with the gradients of the last step, a random number after it."""
    torch.manual_seed(1)
    random.seed(1)
    np.random.seed(1)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    losses = []
    for _ in range(steps):
        images = torch.randn(2, 3, 64, 64).contiguous(memory_format=torch.channels_last)
        masks = torch.randint(2, (2, 64, 64))
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            outputs = network(images)
            outputs = outputs if isinstance(outputs, list) else [outputs]
            loss = torch.stack([F.cross_entropy(output, masks) for output in outputs]).mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    gradients = {f"{name}.grad": parameter.grad for name, parameter in network.named_parameters()}
    drawn = torch.tensor([*torch.rand(1), random.random(), np.random.rand()])
    return losses, {**network.state_dict(), **gradients}, drawn  # type: ignore[dict-item]


def same(one: Tensor | None, other: Tensor | None) -> bool:
    """Whether two tensors are equal, or neither is there: a block that was skipped in all steps has no gradient."""
    return one is other if one is None or other is None else torch.equal(one, other)


def stored(network: nn.Module) -> int:
    """Count the bytes that autograd stores for the backward pass of a training step."""
    sizes: dict[int, int] = {}
    tensors = []  # alive, so that no address is used again

    def pack(tensor: Tensor) -> Tensor:
        tensors.append(tensor)
        sizes[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        output = network(torch.randn(1, 3, 256, 256))
    assert output is not None
    return sum(sizes.values())


@pytest.mark.parametrize("bf16", [False, True])
@pytest.mark.parametrize("name", NETWORKS)
def test_training_is_the_same_to_the_last_bit(name: str, bf16: bool) -> None:
    torch.manual_seed(0)
    plain = accelerate(NETWORKS[name]()).to(memory_format=torch.channels_last)
    network = checkpoint_activations(copy.deepcopy(plain), torch.zeros(1, 3, 64, 64))
    losses, state, random = train(network, bf16=bf16)
    expected_losses, expected_state, expected_random = train(plain, bf16=bf16)
    assert losses == expected_losses
    assert list(state) == list(expected_state)
    assert [key for key, value in state.items() if not same(value, expected_state[key])] == []
    assert torch.equal(random, expected_random)


@pytest.mark.parametrize(("name", "most"), [("convunext", 0.8), ("amsunet", 0.8), ("smp", 0.9)])
def test_less_is_stored(name: str, most: float) -> None:
    network = NETWORKS[name]()
    before = stored(network)
    assert stored(checkpoint_activations(network, torch.zeros(1, 3, 256, 256))) < most * before


def test_the_last_part_and_parts_with_many_weights_are_left_alone() -> None:
    network = Plain()
    blocks = [part for part in network.modules() if isinstance(part, Block)]
    assert list(innermost(network)) == blocks
    assert parts_to_repeat(network, torch.zeros(1, 3, 16, 16)) == blocks
    assert parts_to_repeat(network, torch.zeros(1, 3, 6, 6)) == [], "144 values, 164 weights"
    assert network.training
    checkpoint_activations(network, torch.zeros(1, 3, 16, 16))
    assert [type(block) is not Block for block in blocks] == [True, True, True, False]
    assert {type(block).__name__ for block in blocks} == {"Block"}


def test_it_is_said_where_nothing_is_done(caplog: pytest.LogCaptureFixture) -> None:
    checkpoint_activations(Plain(), torch.zeros(1, 3, 16, 16))
    assert not caplog.text
    checkpoint_activations(Plain(), torch.zeros(1, 3, 6, 6))
    assert "activation_checkpointing=true: Plain has no part that is worth it" in caplog.text


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning", "ignore::FutureWarning")
def test_nothing_is_done_outside_training(monkeypatch: pytest.MonkeyPatch) -> None:
    network = checkpoint_activations(Plain(), torch.zeros(1, 3, 16, 16))
    image = torch.rand(1, 3, 16, 16)
    monkeypatch.setattr("medseg.acceleration.checkpointing.checkpoint", lambda *_, **__: pytest.fail("repeated"))
    network.eval()(image)
    with torch.no_grad():
        network.train()(image)
    torch.jit.trace(network, image, check_trace=False)
    torch.export.export(network.eval(), (image,))
    with pytest.raises(pytest.fail.Exception):
        network.train()(image)


def test_a_copy_computes_with_its_own_weights() -> None:
    network = checkpoint_activations(Plain(), torch.zeros(1, 3, 16, 16))
    copied = copy.deepcopy(network)
    copied(torch.rand(1, 3, 16, 16)).sum().backward()
    assert all(parameter.grad is not None for parameter in copied.parameters())
    assert all(parameter.grad is None for parameter in network.parameters())


class InPlace(nn.Module):
    """A block that changes its input."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 1)
        self.first = nn.Sequential(nn.ReLU(inplace=True), nn.Conv2d(4, 4, 1))
        self.second = nn.Sequential(nn.Conv2d(4, 4, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.first(self.stem(x)))


def test_a_block_that_changes_its_input_is_an_error() -> None:
    network = checkpoint_activations(InPlace(), torch.zeros(1, 3, 16, 16))
    with pytest.raises(UserError, match=r"activation_checkpointing=true: Sequential changes its input in place"):
        network(torch.rand(1, 3, 16, 16))


@pytest.mark.slow
def test_a_run_is_the_same_run_with_it(tmp_path: Path) -> None:
    small = ("model=amsunet", "model.base_channels=4", "data.image_size=32", "trainer.max_epochs=1")
    first = train_run(tmp_path / "without", *small)
    second = train_run(tmp_path / "with", *small, "activation_checkpointing=true")
    assert second.path.name == first.path.name
    assert second.per_image.read_bytes() == first.per_image.read_bytes()
    losses = [[row["train/loss"] for row in read_csv(run.metrics)] for run in (first, second)]
    assert losses[0] == losses[1]
    names = [list(torch.load(run.best_checkpoint, weights_only=True)["state_dict"]) for run in (first, second)]
    assert names[0] == names[1]


def test_a_compiled_network_decides_itself(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="compile=true and activation_checkpointing=true do not go together"):
        train_run(tmp_path, "compile=true", "activation_checkpointing=true")
