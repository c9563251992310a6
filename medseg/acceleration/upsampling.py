"""Up-sampling with a backward pass that is fast on a CPU.

What is up-sampled is mostly concatenated with another feature, so its gradient is a part of the channels of a larger
tensor. For linear up-sampling, PyTorch's kernel for that is about ten times as slow as the one for a tensor whose
values lie together, into which the part is copied here. For bicubic up-sampling, it takes several times as long as two
products with the matrices of the weights, one for each axis. `docs/performance.md` has the times.
"""

from __future__ import annotations

from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LINEAR_MODES = ("bilinear", "trilinear")
"""Modes of `nn.Upsample` whose gradient is slow where its values do not lie together."""

LONGEST = 512
"""Above this height or width the matrices of a bicubic up-sampling take longer than PyTorch's gradient."""


class Upsample(nn.Upsample):
    """A linear `nn.Upsample` whose gradient is fast on a CPU."""

    def forward(self, input: Tensor) -> Tensor:
        """Map N x C x H x W to N x C x H' x W'."""
        output = super().forward(input)
        if output.requires_grad and output.device.type == "cpu" and not torch.compiler.is_compiling():
            output.register_hook(dense)  # type: ignore[no-untyped-call]
        return output


def dense(gradient: Tensor | None) -> Tensor | None:
    """Return a gradient, N x C x H x W, whose values lie together, in the order of dimensions that it has.

    None where an operation after it has none to give.
    """
    if gradient is None or gradient.is_contiguous() or gradient.is_contiguous(memory_format=torch.channels_last):
        return gradient
    return gradient.clone()  # which keeps the order; `contiguous` would not


def is_bicubic(module: nn.Module) -> bool:
    """Tell whether a module is a bicubic `nn.Upsample` by a whole number."""
    if type(module) is not nn.Upsample or module.mode != "bicubic" or module.size is not None:
        return False
    return isinstance(module.scale_factor, float) and module.scale_factor.is_integer()


class BicubicUpsample(nn.Upsample):
    """A bicubic `nn.Upsample` by a whole number whose gradient is fast on a CPU."""

    def forward(self, input: Tensor) -> Tensor:
        """Map N x C x H x W to N x C x H' x W'."""
        tracing = torch.compiler.is_compiling() or torch._C._get_tracing_state()
        trained = torch.is_grad_enabled() and input.requires_grad
        if tracing or not trained or input.device.type != "cpu" or max(input.shape[2:]) > LONGEST:
            return super().forward(input)
        return cast(Tensor, Bicubic.apply(input, self.scale_factor, bool(self.align_corners)))


class Bicubic(torch.autograd.Function):
    """PyTorch's bicubic up-sampling, with the gradient of its input."""

    @staticmethod
    def forward(x: Tensor, factor: float, align_corners: bool) -> Tensor:  # type: ignore[override]
        """Up-sample N x C x H x W by a factor."""
        return F.interpolate(x, scale_factor=factor, mode="bicubic", align_corners=align_corners)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        """Keep what the gradient needs."""
        x, *ctx.options = inputs
        ctx.size, ctx.dtype = x.shape[2:], x.dtype

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradient of the input."""
        grad = grad if grad.dtype == torch.float64 else grad.float()
        batch, channels, _, width = grad.shape
        rows, columns = (bicubic_weights(side, *ctx.options).to(grad.dtype) for side in ctx.size)
        with torch.autocast("cpu", enabled=False):
            lines = rows @ grad.permute(0, 2, 3, 1).reshape(batch, -1, width * channels)  # N H (W' C)
            own = columns @ lines.reshape(-1, width, channels)  # (N H) W C
        return own.reshape(batch, *ctx.size, channels).permute(0, 3, 1, 2).to(ctx.dtype), None, None


def bicubic_weights(side: int, factor: float, align_corners: bool) -> Tensor:
    """Return how much each pixel of a line has to do with each pixel of the up-sampled line, side x factor side."""
    lines = torch.eye(side, dtype=torch.float64)[:, None, :, None]
    scaled = F.interpolate(lines, scale_factor=(factor, 1.0), mode="bicubic", align_corners=align_corners)
    return scaled[:, 0, :, 0]
