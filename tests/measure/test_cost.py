"""What networks cost: the figures of the released code, and small networks counted by hand."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from medseg.errors import ConfigError, UserError
from medseg.measure import measure_cost
from medseg.measure.describe import build
from medseg.models import ConvUNeXt, UNet
from medseg.models.facts import Size, published_networks
from tests.models.builds import compose_model

SIZES = [size for facts in published_networks() for size in facts.sizes]


def built(overrides: str, *, num_classes: int, in_channels: int = 3) -> nn.Module:
    return build(compose_model(overrides), in_channels, num_classes)


@pytest.mark.parametrize("size", SIZES, ids=lambda size: size.name)
def test_a_network_has_the_counts_of_its_facts(size: Size) -> None:
    """They are those of the released code, measured there."""
    network = built(size.model, num_classes=size.num_classes, in_channels=size.in_channels)
    cost = measure_cost(network, in_channels=size.in_channels, size=(256, 256))
    assert cost.parameters == size.parameters
    assert cost.macs / 1e9 == pytest.approx(size.gmacs, rel=0.005)


@pytest.mark.parametrize(
    ("overrides", "options", "side", "gmacs"),
    [
        ("convunext", {"num_classes": 2}, 480, 25.046),
        ("amsunet", {"num_classes": 2}, 480, 21.095),
        ("unet model.base_channels=64 model.upsampling=transposed", {"num_classes": 2}, 480, 169.35),
        ("resunet", {"num_classes": 1}, 480, 249.95),
        ("unext", {"num_classes": 1}, 480, 1.976),
        ("segnext_b", {"num_classes": 1}, 480, 30.19),
        ("segnext_t", {"num_classes": 150}, 512, 6.40),
        ("segnext_s", {"num_classes": 150}, 512, 15.65),
        ("segnext_b", {"num_classes": 150}, 512, 34.66),
        ("segnext_l", {"num_classes": 150}, 512, 69.69),
        # 388 x 388, mirrored to the 572 x 572 that the paper's network sees.
        ("unet2015", {"num_classes": 2, "in_channels": 1}, 388, 150.4),
    ],
)
def test_macs_at_other_sizes(overrides: str, options: dict[str, int], side: int, gmacs: float) -> None:
    cost = measure_cost(built(overrides, **options), in_channels=options.get("in_channels", 3), size=(side, side))
    assert cost.macs / 1e9 == pytest.approx(gmacs, rel=0.005)


@pytest.mark.parametrize(
    "overrides", ["unet", "convunext", "amsunet", "unetpp", "unext_s", "segnext_t", "ushape", "smp"]
)
def test_the_stages_add_up(overrides: str) -> None:
    network = build(compose_model(overrides), 3, 2)
    cost = measure_cost(network, in_channels=3, size=(64, 96))
    outer = [stage for stage in cost.stages if not stage.inside]
    assert len(outer) > 2
    for what in ("parameters", "macs", "activation_bytes"):
        assert sum(getattr(stage, what) for stage in outer) == getattr(cost, what)
        assert all(getattr(stage, what) >= 0 for stage in cost.stages)
    assert cost.parameters == sum(parameter.numel() for parameter in network.parameters())
    assert next(stage.output for stage in outer[::-1] if stage.output)[0] == 2


def test_the_stages_of_the_skeleton() -> None:
    stages = {stage.name: stage for stage in measure_cost(ConvUNeXt(), in_channels=3, size=(128, 96)).stages}
    levels = range(4)
    decoder = [f"decoder.{k}{part}" for k in levels for part in ("", ".skip")]
    assert list(stages) == ["stem", *(f"encoder.{k}" for k in levels), *decoder, "head"]
    # papers.md, section 5.
    assert stages["encoder.2"].parameters == 1_749_760
    assert stages["decoder.0.skip"].parameters == 328_960
    assert stages["decoder.0.skip"].inside == "decoder.0"
    assert stages["encoder.2"].output == (256, 16, 12)
    assert stages["head"].output == (2, 128, 96)
    assert stages["head"].macs == 2 * 32 * 128 * 96


def test_a_network_counted_by_hand() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 2, 1, bias=False))
    cost = measure_cost(network, in_channels=3, size=(8, 16))
    pixels = 8 * 16
    assert cost.parameters == 3 * 4 * 9 + 4 + 8 + 8
    assert cost.macs == pixels * (3 * 4 * 9 + 4 * 2)
    # The image, the first convolution's output for batch norm, that of the ReLU for itself and the last convolution;
    # batch norm's means and deviations, once for a batch of two.
    assert cost.activation_bytes == 4 * (pixels * (3 + 4 + 4) + 8 // 2)
    assert [stage.name for stage in cost.stages] == ["0", "1", "2", "3"]
    assert [stage.macs for stage in cost.stages] == [pixels * 3 * 4 * 9, 0, 0, pixels * 4 * 2]


def test_a_tensor_that_is_kept_twice_counts_once() -> None:
    class Squared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(1, 1, 1)

        def forward(self, image: Tensor) -> Tensor:
            x = self.conv(image)
            return x * x.view(x.shape) * self.conv.weight

    # The image, x, x * x.
    assert measure_cost(Squared(), in_channels=1, size=(8, 8)).activation_bytes == 3 * 4 * 64


def test_what_lies_outside_of_all_stages_is_told() -> None:
    class Outside(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 2, 1)
            self.scale = nn.Parameter(torch.ones(2, 2))

        def forward(self, image: Tensor) -> Tensor:
            return torch.einsum("nchw,dc->ndhw", self.conv(image), self.scale)

    network = nn.Sequential(Outside())
    cost = measure_cost(network, in_channels=3, size=(8, 8))
    # The one child of the network is looked into.
    assert [(stage.name, stage.parameters, stage.macs) for stage in cost.stages] == [
        ("0.conv", 8, 64 * 6),
        ("other", 4, 64 * 4),
    ]


def test_shared_and_nested_modules_count_once() -> None:
    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Conv2d(3, 3, 1)
            self.second = nn.Sequential(self.first, nn.Conv2d(3, 2, 1))

        def forward(self, image: Tensor) -> Tensor:
            return self.second(self.first(image))

    network = Shared()
    before = [value.clone() for value in network.parameters()]
    cost = measure_cost(network, in_channels=3, size=(8, 8))
    assert all(torch.equal(value, other) for value, other in zip(network.parameters(), before, strict=True))
    assert [(stage.name, stage.parameters, stage.macs) for stage in cost.stages] == [
        ("first", 12, 64 * 9),
        ("second", 8, 64 * (9 + 6)),
    ]
    assert cost.parameters == 20
    assert cost.macs == 64 * (9 + 9 + 6)


def test_nothing_is_changed() -> None:
    network = UNet(base_channels=2)
    network.encoder[0].eval()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    measure_cost(network, in_channels=3, size=(32, 32))
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert network.training
    assert not network.encoder[0].training
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())


def test_a_network_that_looks_at_values_is_run_in_earnest() -> None:
    class Looks(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 2, 3, padding=1)

        def forward(self, image: Tensor) -> Tensor:
            x = self.conv(image)
            return x if x.sum() < 1e6 else F.relu(x)

    looks, plain = (measure_cost(net, in_channels=3, size=(8, 8)) for net in (Looks(), nn.Conv2d(3, 2, 3, padding=1)))
    assert looks.macs == plain.macs == 64 * 3 * 2 * 9
    assert looks.stages[0].name == "conv"
    assert looks.activation_bytes == plain.activation_bytes == 4 * 64 * 3


def test_what_is_counted_without_values_is_what_is_counted_with_them(monkeypatch: pytest.MonkeyPatch) -> None:
    from medseg.measure import cost

    networks = [UNet(base_channels=2, dropout=0.5), ConvUNeXt(base_channels=2)]
    without = [measure_cost(network, in_channels=3, size=(64, 80)) for network in networks]

    run_once = cost._run_once

    def in_earnest(*arguments: object) -> object:
        if arguments[-1] != "real":
            raise RuntimeError("not without values")
        return run_once(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(cost, "_run_once", in_earnest)
    assert [measure_cost(network, in_channels=3, size=(64, 80)) for network in networks] == without


def test_images_that_a_network_cannot_take() -> None:
    with pytest.raises(UserError, match="ConvUNeXt needs images of at least 64 x 64 pixels, got 32 x 64"):
        measure_cost(ConvUNeXt(base_channels=2), in_channels=3, size=(32, 64))
    with pytest.raises(ConfigError, match="Linear cannot take 3 x 8 x 8 images: "):
        measure_cost(nn.Linear(3, 2), in_channels=3, size=(8, 8))
