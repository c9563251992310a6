"""The parts: skip modules and blocks do what their formulas say, and fit every network on the skeleton."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F

from medseg.errors import ConfigError
from medseg.models.blocks import BLOCKS, AMSEBlock, ConvUNeXtBlock, DoubleConv, MSCABlock, ResidualBlock
from medseg.models.blocks.cmunext import CMUNeXtBlock, SkipFusion
from medseg.models.layers import crop_to, make_norm, pad_to, pad_to_multiple
from medseg.models.skips import CBAM, RSC, SCSE, SE, SKIPS, AttentionGate, ConvUNeXtGate, make_skip
from medseg.models.ushape import UShape
from tests.models.builds import build, count, different, logits_of, settings

WITH_SKIPS = [name for name in different() if "skip" in settings(name)]
WITH_BLOCKS = [name for name in different() if "encoder" in settings(name)]


# Skip modules.
@pytest.mark.parametrize(
    ("make", "costs"),
    [
        # papers.md, section 4: over 32, 64, 128 and 256 channels.
        (lambda c: make_skip("identity", c), [0, 0, 0, 0]),
        (lambda c: make_skip("convunext_gate", c), [5_280, 20_800, 82_560, 328_960]),
        (lambda c: make_skip("rsc", c), [584, 2_192, 8_480, 33_344]),
        (lambda c: make_skip("rsc_gated", c), [584, 2_192, 8_480, 33_344]),
        (lambda c: make_skip("rsc_maps", c), [584, 2_192, 8_480, 33_344]),
        (lambda c: make_skip("attention_gate", c), [1_139, 4_323, 16_835, 66_435]),
        (lambda c: make_skip("se", c), [128, 512, 2_048, 8_192]),
        (lambda c: SE(c, reduction=4, bias=True), [552, 2_128, 8_352, 33_088]),
        (lambda c: make_skip("cbam", c), [262, 680, 2_284, 8_564]),
        (lambda c: make_skip("scse", c), [1_105, 4_257, 16_705, 66_177]),
    ],
)
def test_cost_of_skip_modules(make: Any, costs: list[int]) -> None:
    assert [count(make(channels)) for channels in (32, 64, 128, 256)] == costs


def test_skip_modules_compute_their_formulas() -> None:
    torch.manual_seed(0)
    x, up = torch.randn(2, 16, 5, 6), torch.randn(2, 16, 5, 6)
    mean, peak = x.mean((2, 3), keepdim=True), x.amax((2, 3), keepdim=True)

    def layers(module: torch.nn.Module, value: torch.Tensor) -> torch.Tensor:
        first, _, second = module
        return F.conv2d(F.relu(F.conv2d(value, first.weight, first.bias)), second.weight, second.bias)

    with torch.no_grad():
        assert make_skip("identity", 16)(x, up) is x
        se = SE(16)
        assert torch.allclose(se(x, up), x * layers(se.weigh, mean).sigmoid())
        cbam = CBAM(16).eval()
        feature = x * (layers(cbam.weigh, mean) + layers(cbam.weigh, peak)).sigmoid()
        maps = torch.stack([feature.amax(1), feature.mean(1)], dim=1)
        assert torch.allclose(cbam(x, up), feature * cbam.norm(cbam.conv(maps)).sigmoid())
        scse = SCSE(16)
        by_channel, by_pixel = x * layers(scse.weigh, mean).sigmoid(), x * scse.squeeze(x).sigmoid()
        assert torch.allclose(scse(x, up), torch.maximum(by_channel, by_pixel))
        gate = AttentionGate(16).eval()
        psi = gate.psi(F.relu(gate.from_up(up) + gate.from_skip(x))).sigmoid()
        assert torch.allclose(gate(x, up), x * psi)
        rsc = {reading: RSC(16, reading=reading) for reading in ("released", "gated", "maps")}
        for module in rsc.values():
            module.load_state_dict(rsc["released"].state_dict())
        s_s, s_c = rsc["released"].spatial(x).sigmoid(), layers(rsc["released"].weigh, mean).sigmoid()
        assert torch.allclose(rsc["released"](x, up), x + (x * s_s) * (x * s_c), atol=1e-6)
        assert torch.allclose(rsc["gated"](x, up), x + x * s_s * s_c, atol=1e-6)
        assert torch.allclose(rsc["maps"](x, up), x + s_s * s_c, atol=1e-6)


def test_gates_take_a_decoder_feature_of_other_width() -> None:
    for gate in (AttentionGate(8, 16), ConvUNeXtGate(8, 16)):
        assert gate(torch.randn(2, 8, 5, 6), torch.randn(2, 16, 5, 6)).shape == (2, 8, 5, 6)


@pytest.mark.parametrize("name", WITH_SKIPS)
@pytest.mark.parametrize("skip", SKIPS)
def test_skip_modules_are_interchangeable(name: str, skip: str) -> None:
    network = build(name, f"model.skip={skip}")
    assert isinstance(network, UShape)
    kind = type(make_skip(skip, 4))
    assert all(type(stage.skip) is kind for stage in network.decoder)
    assert network(torch.randn(2, 3, 64, 80)).shape == (2, 2, 64, 80)


# Blocks.
KINDS = {
    "double_conv": DoubleConv,
    "residual": ResidualBlock,
    "convunext": ConvUNeXtBlock,
    "amse": AMSEBlock,
    "cmunext": CMUNeXtBlock,
    "msca": MSCABlock,
}


@pytest.mark.parametrize("name", WITH_BLOCKS)
@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("place", ["encoder", "decoder"])
def test_blocks_are_interchangeable(name: str, block: str, place: str) -> None:
    network = build(name, f"model.{place}={block}")
    stages = [
        stage for stage in getattr(network, place) if any(True for _ in stage.parameters())
    ]  # TinyU-Net's last pools
    assert all(any(type(module) is KINDS[block] for module in stage.modules()) for stage in stages)
    logits = network(torch.randn(2, 3, 65, 80))
    assert logits.shape == (2, 2, 65, 80)
    logits.square().mean().backward()
    assert all(p.grad is not None for p in network.parameters())
    # The block's need of room is the network's.
    smallest = network.min_size
    assert logits_of(network, torch.randn(1, 3, smallest, smallest)).shape == (1, 2, smallest, smallest)


def test_a_composed_network_is_made_of_the_parts_it_names() -> None:
    network = build("ushape", "model.encoder=amse", "model.skip=convunext_gate", "model.decoder=double_conv")
    assert isinstance(network, UShape)
    assert [type(stage.skip) for stage in network.decoder] == [ConvUNeXtGate] * 4
    assert [type(stage.fuse) for stage in network.decoder] == [DoubleConv] * 4
    assert sum(type(module) is AMSEBlock for module in network.modules()) == 5, "the stem and four stages"
    assert sum(type(module) is AMSEBlock for module in network.decoder.modules()) == 0


@pytest.mark.parametrize("block", BLOCKS)
def test_blocks_keep_the_size_and_change_the_channels(block: str) -> None:
    for channels in ((4, 4), (4, 10), (10, 4)):
        assert BLOCKS[block](*channels)(torch.randn(2, channels[0], 7, 9)).shape == (2, channels[1], 7, 9)


def test_amse_block_computes_its_formula() -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 4, 12, 13)
    with torch.no_grad():
        for arguments in ({}, {"shortcuts": 2}, {"norm_placement": "after"}, {"closing_gelu": False}):
            block = AMSEBlock(4, dilation=3, **arguments).eval()
            for norm in (block.norm1, block.norm2):
                norm.running_mean.normal_()
                norm.running_var.uniform_(0.5, 2)
            first, _, ams, last = block.attention

            def attend(y: torch.Tensor, first: Any = first, ams: Any = ams, last: Any = last) -> torch.Tensor:
                u = F.gelu(first(y))
                a = ams.local(u)
                b = F.conv2d(a, ams.atrous.weight, ams.atrous.bias, padding=3, dilation=3, groups=4)
                return last(ams.mix(a + b + sum(strip(b) for strip in ams.strips)) * u)

            if "shortcuts" in arguments:
                y = x + attend(block.norm1(x))
                expected = F.gelu(y + block.ffn(block.norm2(y)))
            elif "norm_placement" in arguments:
                expected = F.gelu(x + block.norm2(block.ffn(block.norm1(attend(x)))))
            else:
                expected = x + block.ffn(block.norm2(attend(block.norm1(x))))
                expected = expected if "closing_gelu" in arguments else F.gelu(expected)
            torch.testing.assert_close(block(x), expected)


def test_convunext_block_closes_where_it_is_told() -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 4, 9, 9)
    after = ConvUNeXtBlock(4).eval()
    with torch.no_grad():
        branch = after.norm2(after.project(F.gelu(after.expand(after.norm1(after.depthwise(x))))))
        expected = {"after_add": F.gelu(x + branch), "before_add": x + F.gelu(branch), "none": x + branch}
        for closing, value in expected.items():
            block = ConvUNeXtBlock(4, closing=closing).eval()
            block.load_state_dict(after.state_dict())
            torch.testing.assert_close(block(x), value)


def test_skip_fusion_treats_its_two_halves_apart_first() -> None:
    fusion = SkipFusion(8, 4).eval()
    x = torch.randn(1, 8, 6, 6)
    changed = x.clone()
    changed[:, 4:] += 1
    with torch.no_grad():
        before, after = (fusion[2](fusion[1](fusion[0](image))) for image in (x, changed))
    torch.testing.assert_close(before[:, :4], after[:, :4])
    assert not torch.allclose(before[:, 4:], after[:, 4:])


# Layers.
@pytest.mark.parametrize("norm", ["batch", "instance", "group", "layer", "none"])
def test_norms_keep_the_shape(norm: str) -> None:
    x = torch.randn(2, 12, 5, 6)
    assert make_norm(norm, 12)(x).shape == x.shape


def test_layer_norm_is_over_the_channels_of_each_pixel() -> None:
    y = make_norm("layer", 8)(torch.randn(2, 8, 5, 6) * 3 + 1)
    assert torch.allclose(y.mean(1), torch.zeros(2, 5, 6), atol=1e-5)
    assert torch.allclose(y.var(1, unbiased=False), torch.ones(2, 5, 6), atol=1e-3)


def test_pad_to_puts_the_odd_pixel_right_and_below_and_cuts_there() -> None:
    padded = pad_to(torch.ones(1, 1, 2, 2), (5, 3))
    expected = torch.tensor([[0.0, 0, 0], [1, 1, 0], [1, 1, 0], [0, 0, 0], [0, 0, 0]])
    assert torch.equal(padded[0, 0], expected)
    x = torch.arange(12.0).reshape(1, 1, 3, 4)
    assert torch.equal(pad_to(x, (2, 4)), x[:, :, :2])
    assert torch.equal(pad_to(x, (4, 3))[0, 0, :3], x[0, 0, :, :3])


def test_crop_to_cuts_the_centre() -> None:
    x = torch.arange(36.0).reshape(1, 1, 6, 6)
    assert torch.equal(crop_to(x, (2, 4)), x[:, :, 2:4, 1:5])


def test_pad_to_multiple_repeats_the_border() -> None:
    x = torch.arange(6.0).reshape(1, 1, 2, 3)
    expected = torch.tensor([[0.0, 1, 2, 2], [3, 4, 5, 5], [3, 4, 5, 5], [3, 4, 5, 5]])
    assert torch.equal(pad_to_multiple(x, 4)[0, 0], expected)
    assert pad_to_multiple(x[..., :2], 2) is not None


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["unet", "model.skip=rsx"], "unknown skip module 'rsx': choose one of identity, se, "),
        (["unet", "model.encoder=amsx"], "unknown encoder block 'amsx': choose one of double_conv, "),
        (["cmunext", "model.decoder=x"], "unknown decoder block 'x': choose one of .*, fusion"),
        (["unet", "model.upsampling=linear"], "unknown upsampling 'linear'"),
        (["unet", "model.norm=bn"], "unknown norm 'bn'"),
        (["unet", "model.activation=swish"], "unknown activation 'swish'"),
        (["unet", "model.depth=0"], "depth must be at least 1, got 0"),
        (["convunext", "model.kernel_size=6"], "kernel_size must be odd and at least 1, got 6"),
        (["convunext", "model.depths=[1,1,3]"], "four numbers"),
        (["convunext", "model.closing=last"], "unknown closing 'last'"),
        (["convunext", "model.downsampling=stride"], "unknown downsampling 'stride'"),
        (["amsunet", "model.dilations=[1,3]"], "five numbers"),
        (["amsunet", "model.dilations=[1,1,1,3,0]"], "dilation must be at least 1"),
        (["amsunet", "model.strip_kernels=[5,8]"], "must be odd"),
        (["amsunet", "model.shortcuts=3"], "1 or 2, got 3"),
        (["amsunet", "model.norm_placement=post"], "unknown norm_placement 'post'"),
        (["cmunext", "model.depths=[1,1]"], "five numbers"),
        (["cmunext", "model.kernels=[3,3,7,7,8]"], "must be odd"),
        (["ushape", "model.depths=[]"], "at least one each"),
    ],
)
def test_wrong_arguments_are_refused(overrides: list[str], said: str) -> None:
    from medseg.config.instantiate import instantiate

    with pytest.raises(ConfigError, match=said):
        instantiate(settings_as_config(*overrides))


def settings_as_config(name: str, *overrides: str) -> Any:
    from omegaconf import OmegaConf

    return OmegaConf.create(settings(name, *overrides))
