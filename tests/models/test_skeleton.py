"""The papers' networks on the skeleton: their sizes, part by part, and their ablation axes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from medseg.models import AMSUnet, AttentionUNet, CMUNeXt, ConvUNeXt, ResUNet, UNet
from medseg.models.blocks import AMSEBlock, ConvUNeXtBlock
from medseg.models.layers import LayerNorm2d
from medseg.models.ushape import UShape
from tests.helpers import compose_config
from tests.models.builds import build, count, logits_of


# Sizes. `papers.md`, section 5.
@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda: UNet(), 4_318_434),
        (lambda: UNet(upsampling="transposed"), 7_763_074),
        (lambda: UNet(base_channels=64), 17_263_042),
        (lambda: UNet(base_channels=64, upsampling="transposed"), 31_037_698),
        (lambda: ConvUNeXt(), 3_505_730),
        (lambda: ConvUNeXt(num_classes=1), 3_505_697),
        (lambda: ConvUNeXt(in_channels=1), 3_502_594),
        (lambda: ConvUNeXt(base_channels=16), 901_154),
        (lambda: ConvUNeXt(base_channels=64), 13_825_154),
        (lambda: AMSUnet(), 2_619_898),
        (lambda: AMSUnet(num_classes=1), 2_619_865),
        (lambda: AMSUnet(in_channels=1), 2_619_322),
        (lambda: AMSUnet(base_channels=16), 686_974),
        (lambda: AMSUnet(base_channels=64), 10_223_602),
        (lambda: AMSUnet(skip="identity"), 2_575_298),
        (lambda: AMSUnet(undilated=False), 2_609_978),
        (lambda: AMSUnet(strip_kernels=(7, 11, 21)), 2_651_642),
        (lambda: AMSUnet(local_kernel=5), 2_651_642),
        (lambda: AttentionUNet(num_classes=1), 34_878_573),
        (lambda: AttentionUNet(base_channels=32), 8_726_110),
        # The same without gates is LeeJunHyun's U-Net.
        (lambda: AttentionUNet(num_classes=1, skip="identity"), 34_527_041),
        (lambda: ResUNet(num_classes=1), 13_043_009),
        (lambda: ResUNet(num_classes=1, base_channels=32), 3_265_185),
        (lambda: CMUNeXt(num_classes=1), 3_149_185),
    ],
)
def test_parameters_are_those_of_the_released_code(make: Any, expected: int) -> None:
    with torch.device("meta"):
        assert count(make()) == expected


@pytest.mark.parametrize(
    ("name", "expected"), [("cmunext_s", 417_505), ("cmunext", 3_149_185), ("cmunext_l", 8_286_721)]
)
def test_parameters_of_the_sizes_of_cmunext(name: str, expected: int) -> None:

    cfg = compose_config("train", f"model={name}")
    with torch.device("meta"):
        network = CMUNeXt(num_classes=1, **{key: cfg.model[key] for key in ("channels", "depths", "kernels")})
    assert count(network) == expected


@pytest.mark.parametrize(
    ("make", "stem", "encoder", "decoder", "head"),
    [
        (ConvUNeXt, 14_880, [44_864, 171_648, 1_749_760, 802_304], [533_760, 135_808, 35_136, 17_504], 66),
        (AMSUnet, 16_192, [61_312, 229_120, 884_224, 1_015_552], [295_616, 78_176, 21_680, 17_960], 66),
        (UNet, 10_208, [55_552, 221_696, 885_760, 1_180_672], [1_475_328, 369_024, 92_352, 27_776], 66),
        (
            lambda: UNet(upsampling="transposed"),
            10_208,
            [55_552, 221_696, 885_760, 3_540_992],
            [2_295_040, 574_080, 143_680, 36_000],
            66,
        ),
        (
            lambda: AttentionUNet(num_classes=1),
            38_976,
            [221_952, 886_272, 3_542_016, 14_161_920],
            # up-convolution, gate, block
            [
                4_720_128 + 263_939 + 7_080_960,
                1_180_416 + 66_435 + 1_771_008,
                295_296 + 16_835 + 443_136,
                73_920 + 4_323 + 110_976,
            ],
            65,
        ),
        (
            lambda: ResUNet(num_classes=1),
            38_848 + 1_792,
            [295_936, 1_181_696, 4_722_688],
            [1_049_088 + 4_132_096, 262_400 + 1_033_856, 65_664 + 258_880],
            65,
        ),
        (
            lambda: CMUNeXt(num_classes=1),
            480 + 4_832,
            [7_184, 47_584, 603_744, 584_928],
            [369_120 + 771_360, 184_704 + 494_208, 36_960 + 31_392, 4_656 + 8_016],
            17,
        ),
    ],
)
def test_parameters_per_part(make: Any, stem: int, encoder: list[int], decoder: list[int], head: int) -> None:
    with torch.device("meta"):
        network = make()
    assert count(network.stem) == stem
    assert [count(stage) for stage in network.encoder] == encoder
    assert [count(stage) for stage in network.decoder] == decoder
    assert count(network.head) == head


@pytest.mark.parametrize(
    ("make", "minimum"),
    [
        (UNet, 16),
        (lambda **small: UNet(depth=2, **small), 4),
        (lambda **small: UNet(encoder="convunext", **small), 64),
        (lambda **small: UNet(decoder="convunext", **small), 32),
        (ConvUNeXt, 64),
        *((lambda k=k, **small: ConvUNeXt(kernel_size=k, **small), 16 * (k // 2 + 1)) for k in (3, 5, 9, 11)),
        (AMSUnet, 16),
        (AttentionUNet, 16),
        (ResUNet, 8),
        # Norms that find one value alone at the deepest level.
        (lambda **small: UNet(norm="instance", **small), 32),
        (lambda **small: UNet(norm="group", **small), 32),
        (lambda **small: UNet(norm="instance", encoder="residual", **small), 16),
        (lambda **small: AMSUnet(norm="instance", **small), 32),
        (lambda **small: AMSUnet(norm="layer", **small), 16),
        (lambda **small: ConvUNeXt(norm="instance", encoder="double_conv", decoder="double_conv", **small), 32),
    ],
)
def test_minimum_size(make: Any, minimum: int) -> None:
    network = make(base_channels=4)
    assert network.min_size == minimum
    assert logits_of(network, torch.randn(1, 3, minimum, minimum)).shape == (1, 2, minimum, minimum)


# The papers' ablation axes.
def stages(network: nn.Module, kind: type[nn.Module]) -> list[nn.Module]:
    return [module for module in network.modules() if type(module) is kind]


def give_fitting_weights(source: nn.Module, target: nn.Module) -> None:
    """Load what fits in name and shape, so that a difference is not one of the initial weights alone."""
    there = target.state_dict()
    state = source.state_dict()
    target.load_state_dict(
        {key: state[key] for key in state if key in there and state[key].shape == there[key].shape}, strict=False
    )


def test_dilation_of_amsunet_is_that_of_each_stage() -> None:
    network = build("amsunet", "model.dilations=[1,2,3,4,5]")
    assert isinstance(network, UShape)
    by_place = [
        [block.attention[2].atrous.dilation[0] for block in stages(part, AMSEBlock)]
        for part in (network.stem, *network.encoder, *network.decoder)
    ]
    assert by_place == [[1], [2], [3], [4], [5], [1], [1], [1], [1]]


AXES = {
    "amsunet": [
        "model.dilations=[1,1,1,1,1]",
        "model.strip_kernels=[7,11,21]",
        "model.strip_kernels=[]",
        "model.local_kernel=5",
        "model.local_kernel=7",
        "+model.undilated=false",
        "model.norm=layer",
        "model.norm_placement=after",
        "model.shortcuts=2",
        "model.closing_gelu=false",
        "+model.downsampling=pool",
    ],
    "convunext": [
        *(f"model.kernel_size={k}" for k in (3, 5, 9, 11)),
        "model.norm=layer",
        "model.closing=before_add",
        "model.closing=none",
        "model.downsampling=pool",
        "model.skip=identity",
        "model.depths=[2,1,4,1]",
    ],
}


@pytest.mark.parametrize(("name", "override"), [(name, axis) for name, axes in AXES.items() for axis in axes])
def test_axes_change_the_function(name: str, override: str) -> None:
    torch.manual_seed(0)
    image = torch.randn(2, 3, 96, 96)
    plain, changed = build(name), build(name, override)
    give_fitting_weights(plain, changed)
    # In training mode, since a fresh batch norm does nothing in evaluation.
    logits = changed(image)
    assert not torch.allclose(plain(image), logits, atol=1e-5)
    logits.square().mean().backward()
    assert all(p.grad is not None for p in changed.parameters())


def test_norm_of_convunext_is_everywhere() -> None:
    network = build("convunext", "model.norm=layer")
    assert stages(network, LayerNorm2d)
    assert not stages(network, nn.BatchNorm2d)


def test_depths_of_convunext_set_the_number_of_blocks() -> None:
    network = build("convunext", "model.depths=[2,1,4,1]")
    assert isinstance(network, UShape)
    assert [len(stages(stage, ConvUNeXtBlock)) for stage in network.encoder] == [2, 1, 4, 1]


@pytest.mark.parametrize(
    ("override", "kind", "number"),
    [
        ("model.upsampling=transposed", nn.ConvTranspose2d, 4),
        ("model.upsampling=nearest", nn.Upsample, 4),
        ("model.norm=instance", nn.InstanceNorm2d, 18),
        ("model.norm=none", nn.BatchNorm2d, 0),
        ("model.activation=gelu", nn.GELU, 18),
        ("model.dropout=0.3", nn.Dropout, 1),
        ("model.depth=3", nn.MaxPool2d, 3),
    ],
)
def test_axes_of_unet(override: str, kind: type[nn.Module], number: int) -> None:
    network = build("unet", override)
    assert len(stages(network, kind)) == number
    assert network(torch.randn(2, 3, 70, 64)).shape == (2, 2, 70, 64)


def test_no_norm_is_no_norm() -> None:
    norms = (nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm)
    assert any(isinstance(module, norms) for module in build("unet").modules())
    assert not any(isinstance(module, norms) for module in build("unet", "model.norm=none").modules())


def test_dropout_of_unet_ends_the_contracting_path() -> None:
    network = build("unet", "model.dropout=0.3")
    assert isinstance(network, UShape)
    assert isinstance(network.encoder[-1][-1], nn.Dropout)
    assert network.encoder[-1][-1].p == 0.3


# Initialisation.
@pytest.mark.parametrize("make", [UNet, AMSUnet, AttentionUNet, ResUNet, CMUNeXt])
def test_initial_weights_are_pytorchs_own(make: Any) -> None:
    # Uniform in +-1/sqrt(inputs of a neuron), weight and bias alike.
    torch.manual_seed(0)
    for module in make().modules():
        if isinstance(module, nn.Conv2d):
            bound = module.weight[0].numel() ** -0.5
            for values in (module.weight, module.bias):
                assert values is None or values.abs().max() <= bound
            if module.weight.numel() > 10_000:
                assert module.weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.05)


def test_initial_weights_follow_the_released_distribution() -> None:
    # The released 1x1 layers are Linear: uniform in +-1/sqrt(inputs), weight and bias alike.
    torch.manual_seed(0)
    project = ConvUNeXt().encoder[2][2].project
    bound = (4 * 256) ** -0.5
    for values in (project.weight, project.bias):
        assert values.abs().max() <= bound
        assert values.std().item() == pytest.approx(bound / 3**0.5, rel=0.1)
