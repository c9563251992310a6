"""Up-sampling whose gradient lies together: the same values, in the memory layout that PyTorch is fast in."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from medseg.acceleration import accelerate
from medseg.acceleration.upsampling import LONGEST, BicubicUpsample, Upsample


class UpsamplingGradients(TorchDispatchMode):
    """Notes for each gradient of an up-sampling whether its values lie together."""

    def __init__(self) -> None:
        super().__init__()
        self.dense: list[bool] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        if func is torch.ops.aten.upsample_bilinear2d_backward.default:
            gradient = args[0]
            layouts = (torch.contiguous_format, torch.channels_last)
            self.dense.append(any(gradient.is_contiguous(memory_format=layout) for layout in layouts))
        return func(*args, **(kwargs or {}))


def gradients(upsample: nn.Module, x: Tensor) -> tuple[Tensor, list[bool]]:
    """Return the input's gradient of a decoder's step, an up-sampling and a concatenation."""
    x = x.clone().requires_grad_()
    with UpsamplingGradients() as noted:
        up = upsample(x)
        torch.cat([torch.ones_like(up), up], 1).pow(3).sum().backward()
    assert x.grad is not None
    return x.grad, noted.dense


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
@pytest.mark.parametrize("align_corners", [True, False])
def test_the_gradient_is_the_same_and_dense(
    layout: torch.memory_format, dtype: torch.dtype, align_corners: bool
) -> None:
    plain = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=align_corners)
    fast = accelerate(copy.deepcopy(plain))
    assert isinstance(fast, Upsample)
    torch.manual_seed(0)
    x = torch.randn(2, 8, 12, 12).to(dtype).contiguous(memory_format=layout)
    own, dense = gradients(fast, x)
    pytorchs, parts = gradients(plain, x)
    assert (dense, parts) == ([True], [False])
    assert own.is_contiguous(memory_format=layout)
    torch.testing.assert_close(own, pytorchs)


@pytest.mark.parametrize("mode", ["nearest", "bilinear"])
def test_which_are_replaced(mode: str) -> None:
    assert isinstance(accelerate(nn.Upsample(scale_factor=2, mode=mode)), Upsample) == (mode == "bilinear")


class NoGradient(torch.autograd.Function):
    """An operation that has no gradient to give."""

    @staticmethod
    def forward(ctx, x):  # type: ignore[no-untyped-def]
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):  # type: ignore[no-untyped-def]
        return None


def test_an_operation_after_it_may_have_no_gradient() -> None:
    x = torch.randn(1, 2, 4, 4, requires_grad=True)
    up = accelerate(nn.Upsample(scale_factor=2, mode="bilinear"))(x)
    (NoGradient.apply(up).sum() + x.sum()).backward()  # type: ignore[no-untyped-call]
    assert x.grad is not None
    assert x.grad.eq(1).all()


def test_a_program_has_pytorchs_own_operation() -> None:
    fast = accelerate(nn.Sequential(nn.Conv2d(2, 2, 1), nn.Upsample(scale_factor=2, mode="bilinear")))
    x = torch.randn(1, 2, 4, 4)
    program = torch.export.export(fast, (x,))
    compiled = torch.compile(fast, backend="eager", fullgraph=True)
    for each in (program.module(), compiled):
        torch.testing.assert_close(each(x), fast(x))


@pytest.mark.parametrize("align_corners", [True, False, None])
@pytest.mark.parametrize("factor", [2, 3])
@pytest.mark.parametrize("size", [(5, 8), (1, 1), (2, 1)])
def test_bicubic_has_the_gradients_of_pytorchs(align_corners: bool | None, factor: int, size: tuple[int, int]) -> None:
    plain = nn.Upsample(scale_factor=factor, mode="bicubic", align_corners=align_corners)
    fast = accelerate(copy.deepcopy(plain))
    assert isinstance(fast, BicubicUpsample)
    x = torch.randn(2, 3, *size, dtype=torch.float64, requires_grad=True)
    one, other = fast(x), plain(x)
    assert type(one.grad_fn).__name__ == "BicubicBackward"
    assert torch.equal(one, other)
    weights = torch.randn_like(one)
    torch.testing.assert_close(
        *(torch.autograd.grad(y.pow(3), x, weights)[0] for y in (one, other)), rtol=1e-10, atol=1e-10
    )


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_bicubic_in_mixed_precision(layout: torch.memory_format) -> None:
    plain = nn.Upsample(scale_factor=2, mode="bicubic")
    results = []
    for up in (accelerate(copy.deepcopy(plain)), plain):
        torch.manual_seed(0)
        x = torch.randn(2, 8, 12, 10).bfloat16().contiguous(memory_format=layout).requires_grad_()
        with torch.autocast("cpu", torch.bfloat16):
            y = up(x)
        y.float().pow(3).sum().backward()
        assert x.grad is not None
        results.append((y.detach(), x.grad))
    (one, gradient), (other, expected) = results
    assert one.dtype == other.dtype
    assert torch.equal(one, other)
    assert gradient.dtype == torch.bfloat16
    torch.testing.assert_close(gradient, expected)


def test_which_bicubic_ones_are_replaced_and_used() -> None:
    for options, replaced in (({"scale_factor": 2}, True), ({"scale_factor": 1.5}, False), ({"size": 8}, False)):
        assert isinstance(accelerate(nn.Upsample(**options, mode="bicubic")), BicubicUpsample) == replaced  # type: ignore[arg-type]
    fast = accelerate(nn.Upsample(scale_factor=2, mode="bicubic"))
    assert type(fast(torch.ones(1, 1, 1, LONGEST + 1, requires_grad=True)).grad_fn).__name__ != "BicubicBackward"
    x = torch.randn(1, 2, 4, 4, requires_grad=True)
    program = torch.export.export(fast, (x,))
    assert torch.ops.aten.upsample_bicubic2d.vec in [node.target for node in program.graph.nodes]
    torch.testing.assert_close(program.module()(x), fast(x))
