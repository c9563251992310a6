"""Dilated convolutions in bf16 on a CPU, whose gradients oneDNN computes wrongly in channels_last."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from medseg.acceleration import accelerate
from medseg.acceleration.depthwise import DepthwiseConv2d
from medseg.acceleration.dilated import DilatedConv2d

SHAPES = [
    (24, 24, 3, 2, 1), (24, 48, 3, 2, 1), (20, 20, 5, 2, 1), (40, 40, 3, 3, 5), (32, 32, 7, 2, 4), (64, 64, 5, 3, 32)
]  # fmt: skip
"""Channels in and out, kernel, dilation, groups; PyTorch's own gradients of these are NaN or off by 100 %."""


@pytest.mark.parametrize("mode", ["eager", "compiled"])
@pytest.mark.parametrize("layouts", ["image and kernel", "kernel", "neither"])
@pytest.mark.parametrize(("cin", "cout", "kernel", "dilation", "groups"), SHAPES)
def test_gradients_are_right(
    cin: int, cout: int, kernel: int, dilation: int, groups: int, layouts: str, mode: str
) -> None:
    torch.manual_seed(0)
    conv = accelerate(nn.Conv2d(cin, cout, kernel, padding=dilation * (kernel // 2), dilation=dilation, groups=groups))
    assert isinstance(conv, DilatedConv2d)
    x, target = torch.randn(2, cin, 31, 31, requires_grad=True), torch.randn(2, cout, 31, 31)
    expected = torch.autograd.grad((conv(x) * target).sum(), [x, *conv.parameters()])
    if layouts != "neither":
        conv.to(memory_format=torch.channels_last)
    image = x.contiguous(memory_format=torch.channels_last) if layouts == "image and kernel" else x
    compute = torch.compile(conv, backend="aot_eager") if mode == "compiled" else conv
    with torch.autocast("cpu", torch.bfloat16):
        y = compute(image)
    assert y.dtype == torch.bfloat16
    if mode == "eager":  # what follows keeps its layout
        assert y.is_contiguous(memory_format=torch.channels_last) == (layouts == "image and kernel")
    gradients = torch.autograd.grad((y.float() * target).sum(), [x, *conv.parameters()])
    for gradient, right in zip(gradients, expected, strict=True):
        assert (gradient - right).norm() < 2e-2 * right.norm()


def test_in_float32_it_is_pytorchs() -> None:
    plain = nn.Conv2d(6, 4, 3, padding=2, dilation=2, padding_mode="reflect")
    x = torch.randn(1, 6, 9, 8)
    assert torch.equal(plain(x), accelerate(plain)(x))


def test_other_padding_in_bf16() -> None:
    conv = accelerate(nn.Conv2d(24, 24, 3, padding="same", dilation=2, padding_mode="reflect"))
    x = torch.randn(1, 24, 31, 31)
    with torch.autocast("cpu", torch.bfloat16):
        y = conv(x)
    assert (y.float() - conv(x)).norm() < 2e-2 * y.float().norm()


class OwnConv(nn.Conv2d):
    """Somebody's own convolution, which may do anything."""


def test_what_is_replaced() -> None:
    network = nn.Sequential(
        nn.Conv2d(8, 8, 3, dilation=2), nn.Conv2d(8, 8, 3), OwnConv(8, 8, 3, dilation=2),
        nn.Conv2d(8, 8, 3, padding=2, dilation=2, groups=8),
    )  # fmt: skip
    kinds = [type(module) for module in accelerate(network)]  # type: ignore[arg-type, var-annotated]
    assert kinds == [DilatedConv2d, nn.Conv2d, OwnConv, DepthwiseConv2d]
