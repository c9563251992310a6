"""Depth-wise convolutions with a backward pass that is fast on a CPU.

oneDNN, which computes PyTorch's convolutions there, has fast code for the gradient of a depth-wise kernel up to three
columns wide; a wider one, or one with a dilation, takes 10 to 30 times as long as its forward pass. The same sums are
put together here from narrow kernels: a kernel of seven columns is three of three columns, each on the input moved to
the left by as much, and a dilated kernel is a plain one on every d-th row and column. In bf16, oneDNN's gradient of a
dilated kernel is not only slow, but wrong. `docs/performance.md` has the times.
"""

from __future__ import annotations

from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from medseg.acceleration.dilated import computing_dtype, convolve_in_float32, is_traced

COLUMNS = 3
"""The widest kernel whose gradient oneDNN computes fast."""

MOST_COLUMNS, FEW_CHANNELS = 13, 16
"""A kernel of more columns, for no more channels than these: its convolution in bf16 does not end (measured)."""

Pair = tuple[int, int]
"""Vertical, horizontal."""


def has_slow_gradient(module: nn.Module) -> bool:
    """Tell whether a module is a convolution whose gradient PyTorch computes slowly and `DepthwiseConv2d` can compute.

    Only of PyTorch's class: what a subclass does is not known.
    """
    if type(module) is not nn.Conv2d or isinstance(module.padding, str):
        return False
    depthwise = module.groups == module.in_channels == module.out_channels > 1 and module.stride == (1, 1)
    slow = module.kernel_size[1] > COLUMNS or module.dilation != (1, 1)
    sides = zip(module.kernel_size, module.dilation, module.padding, strict=True)
    return depthwise and slow and all(padding <= dilation * (side - 1) for side, dilation, padding in sides)


class DepthwiseConv2d(nn.Conv2d):
    """A depth-wise `nn.Conv2d` of stride 1 whose gradients are fast on a CPU, and right in bf16 with a dilation."""

    def forward(self, input: Tensor) -> Tensor:
        """Map N x C x H x W to N x C x H' x W'."""
        if input.device.type != "cpu" or input.dim() != 4:
            return super().forward(input)
        dtype = computing_dtype(input)
        # oneDNN (3.x, in PyTorch 2.15) returns a wrong gradient of such a kernel where the image or the kernel is in
        # channels_last, and may write where it must not.
        is_wrong = dtype == torch.bfloat16 and self.dilation != (1, 1)
        if is_traced():
            return convolve_in_float32(self, input, dtype) if is_wrong else super().forward(input)
        if is_wrong:
            input = input.contiguous(memory_format=torch.channels_last)
        weight, bias, padding = self.weight, self.bias, cast(Pair, self.padding)
        if self.padding_mode != "zeros":
            input = F.pad(input, self._reversed_padding_repeated_twice, mode=self.padding_mode)
            padding = (0, 0)
        if torch.is_autocast_enabled("cpu"):
            input, weight, bias = input.to(dtype), weight.to(dtype), None if bias is None else bias.to(dtype)
        trained = torch.is_grad_enabled() and (input.requires_grad or weight.requires_grad)
        fast = trained and input.is_contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", enabled=False):
            compute = Depthwise.apply if fast else convolve
            return cast(Tensor, compute(input, weight, bias, padding, cast(Pair, self.dilation)))


def convolve(x: Tensor, weight: Tensor, bias: Tensor | None, padding: Pair, dilation: Pair) -> Tensor:
    """Convolve N x C x H x W with a kernel C x 1 x kh x kw."""
    if x.dtype == torch.bfloat16 and weight.shape[3] > MOST_COLUMNS and len(weight) <= FEW_CHANNELS:
        # oneDNN (3.x, in PyTorch 2.15) does not return from making its program for it.
        return convolve(x.float(), weight.float(), None if bias is None else bias.float(), padding, dilation).to(
            x.dtype
        )
    return F.conv2d(x, weight, bias, 1, padding, dilation, len(weight))


class Depthwise(torch.autograd.Function):
    """The convolution, with the gradients of its input, kernel and bias."""

    @staticmethod
    def forward(x: Tensor, weight: Tensor, bias: Tensor | None, padding: Pair, dilation: Pair) -> Tensor:  # type: ignore[override]
        """Convolve N x C x H x W with a kernel C x 1 x kh x kw."""
        return convolve(x, weight, bias, padding, dilation)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        """Keep what the gradients need."""
        x, weight, _, ctx.padding, ctx.dilation = inputs
        ctx.save_for_backward(x, weight)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of what `forward` takes."""
        x, weight = ctx.saved_tensors
        wants_input, wants_weight, wants_bias, *_ = ctx.needs_input_grad
        grad = grad.contiguous(memory_format=torch.channels_last)
        return (
            input_gradient(grad, weight, ctx.padding, ctx.dilation) if wants_input else None,
            weight_gradient(grad, x, weight, ctx.padding, ctx.dilation) if wants_weight else None,
            grad.sum((0, 2, 3)) if wants_bias else None,
            None,
            None,
        )


def input_gradient(grad: Tensor, weight: Tensor, padding: Pair, dilation: Pair) -> Tensor:
    """Return the gradient of the input: the convolution of the output's with the kernel turned round."""
    around = [d * (side - 1) - p for side, p, d in zip(weight.shape[2:], padding, dilation, strict=True)]
    return convolve(grad, weight.flip(2, 3), None, (around[0], around[1]), dilation)


def weight_gradient(grad: Tensor, x: Tensor, weight: Tensor, padding: Pair, dilation: Pair) -> Tensor:
    """Return the gradient of the kernel, C x 1 x kh x kw."""
    (kh, kw), (ph, pw), (dh, dw) = weight.shape[2:], padding, dilation
    if kh == 1 and (dh, dw) == (1, 1):  # one row: a column on transposed images, which is not wide
        grad, x = (each.transpose(2, 3).contiguous(memory_format=torch.channels_last) for each in (grad, x))
        return kernel_gradient(grad, x, weight.transpose(2, 3), (pw, ph)).transpose(2, 3)
    if (dh, dw) != (1, 1):
        # Whole steps of the dilation: beyond the output its gradient is 0, so what is read there does not matter.
        height, width = grad.shape[2:]
        rows, columns = -(-height // dh), -(-width // dw)
        below, right = dh * (rows + kh - 1) - x.shape[2] - ph, dw * (columns + kw - 1) - x.shape[3] - pw
        x = phases(F.pad(x, (pw, right, ph, below)), dh, dw)
        grad = phases(F.pad(grad, (0, dw * columns - width, 0, dh * rows - height)), dh, dw)
        ph = pw = 0
    elif pw:
        x, pw = F.pad(x, (pw, pw)), 0
    narrow = min(kw, COLUMNS)
    gradient = torch.empty_like(weight)
    for column in range(0, kw, narrow):
        left = min(column, kw - narrow)
        part = x[..., left : left + grad.shape[3] + narrow - 1]
        gradient[..., left : left + narrow] = kernel_gradient(grad, part, weight[..., :narrow], (ph, 0))
    return gradient


def kernel_gradient(grad: Tensor, x: Tensor, weight: Tensor, padding: Pair) -> Tensor:
    """Return PyTorch's gradient of a depth-wise kernel without dilation, of which only the shape matters."""
    options = ([1, 1], list(padding), [1, 1], False, [0, 0], len(weight))
    return cast(Tensor, torch.ops.aten.convolution_backward(grad, x, weight, None, *options, [False, True, False])[1])


def phases(x: Tensor, vertical: int, horizontal: int) -> Tensor:
    """Take every d-th row and e-th column as a separate image: N x C x d h x e w -> N d e x C x h x w."""
    n, channels, height, width = x.shape
    x = x.permute(0, 2, 3, 1).reshape(n, height // vertical, vertical, width // horizontal, horizontal, channels)
    x = x.permute(0, 2, 4, 1, 3, 5).reshape(-1, height // vertical, width // horizontal, channels)
    return x.permute(0, 3, 1, 2)
