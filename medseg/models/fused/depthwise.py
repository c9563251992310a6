"""Depth-wise convolution with a backward pass that is fast on a CPU.

oneDNN, which computes PyTorch's convolutions there, has fast code for the gradient of a depth-wise kernel up to three
columns wide; a wider one, or one with a dilation, takes 10 to 30 times as long as its forward pass. The same sums are
put together here from narrow kernels: a kernel of seven columns is three of three columns, each on the input moved to
the left by as much, and a dilated kernel is a plain one on every d-th row and column.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from medseg.models.fused.statistics import Part, Statistics, combine, seeds

COLUMNS = 3
"""The widest kernel whose gradient oneDNN computes fast."""

GROUP = 2**22
"""Values that are convolved at a time: what is made of them is still in the cache when it is used."""


@dataclass(frozen=True)
class Geometry:
    """How a depth-wise convolution of stride 1 lies on its input.

    Args:
        kernel, padding, dilation: (vertical, horizontal).
        reflect: whether the border is reflected; zeros otherwise.
        statistics: whether those of the output are wanted.
    """

    kernel: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    reflect: bool
    statistics: bool


def convolve_depthwise(conv: nn.Conv2d, x: Tensor, *, statistics: bool = False) -> tuple[Tensor, Statistics | None]:
    """Convolve N x C x H x W, in the channels-last layout, depth-wise; differentiable once.

    Args:
        conv: depth-wise, of stride 1, its borders zeros or reflected.
        x: the input.
        statistics: measure the output for a norm that follows.

    Returns:
        N x C x H' x W', as `conv(x)`, and its statistics where they are asked for.
    """
    geometry = Geometry(
        cast(tuple[int, int], conv.kernel_size),
        cast(tuple[int, int], conv.padding),
        cast(tuple[int, int], conv.dilation),
        conv.padding_mode == "reflect",
        statistics,
    )
    weight, bias = conv.weight, conv.bias
    if torch.is_autocast_enabled("cpu"):
        dtype = torch.get_autocast_dtype("cpu")
        x, weight, bias = x.to(dtype), weight.to(dtype), None if bias is None else bias.to(dtype)
    x = x.contiguous(memory_format=torch.channels_last)
    with torch.autocast("cpu", enabled=False):
        out, mean, variance = _Depthwise.apply(geometry, x, weight, bias)  # type: ignore[no-untyped-call]
    return out, Statistics(mean, variance, out.numel() // out.shape[1]) if statistics else None


class _Depthwise(torch.autograd.Function):
    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any, geometry: Geometry, x: Tensor, weight: Tensor, bias: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        outs, measured = [], []
        together = _together(x)
        for images in torch.split(x, together):
            if geometry.reflect:
                vertical, horizontal = geometry.padding
                padded = F.pad(images, (horizontal, horizontal, vertical, vertical), mode="reflect")
                y = F.conv2d(padded, weight, bias, dilation=geometry.dilation, groups=x.shape[1])
            else:
                y = F.conv2d(images, weight, bias, 1, geometry.padding, geometry.dilation, x.shape[1])
            outs.append(y)
            if geometry.statistics:
                measured.append(Part.of(y))
        out = _together_again(outs)
        found = combine(measured) if geometry.statistics else Statistics(out.new_empty(0), out.new_empty(0), 0)
        mean, variance = found.mean, found.variance
        ctx.geometry = geometry
        # The mean as well: an output that the context itself kept would keep the context, and neither were ever freed.
        ctx.save_for_backward(x, weight, *([out, mean] if geometry.statistics else []))
        if not geometry.statistics:
            ctx.mark_non_differentiable(mean, variance)
        return out, mean, variance

    @staticmethod
    @once_differentiable  # type: ignore[misc]
    def backward(
        ctx: Any, grad: Tensor, grad_mean: Tensor, grad_variance: Tensor
    ) -> tuple[None, Tensor | None, Tensor | None, Tensor | None]:
        geometry: Geometry = ctx.geometry
        x, weight, *rest = ctx.saved_tensors
        _, wants_input, wants_weight, wants_bias = ctx.needs_input_grad
        shift, scale = None, None
        if geometry.statistics:
            count = grad.numel() // grad.shape[1]
            shift, scale = (one.to(grad.dtype) for one in seeds(grad_mean, grad_variance, rest[1], count))
        gradients: list[Tensor] = []
        weights: list[Tensor] = []
        biases: list[Tensor] = []
        values = rest[0] if rest else x
        together = _together(x)
        parts = (torch.split(feature, together) for feature in (x, grad, values))
        for images, g, y in zip(*parts, strict=True):
            g = g.contiguous(memory_format=torch.channels_last)
            if shift is not None and scale is not None:
                g = g + torch.addcmul(shift, y, scale)
            if wants_input:
                gradients.append(_input_gradient(g, images, weight, geometry))
            if wants_weight:
                weights.append(_weight_gradient(g, images, weight, geometry))
            if wants_bias:
                biases.append(g.sum((0, 2, 3)))
        return (
            None,
            _together_again(gradients) if wants_input else None,
            sum(weights[1:], start=weights[0]) if wants_weight else None,
            sum(biases[1:], start=biases[0]) if wants_bias else None,
        )


def _together(x: Tensor) -> int:
    """Return how many images to convolve at a time."""
    return max(1, GROUP // (x.shape[1] * x.shape[2] * x.shape[3]))


def _together_again(features: list[Tensor]) -> Tensor:
    """Put images that were convolved one after the other together; one alone is not copied."""
    return features[0] if len(features) == 1 else torch.cat(features)


def _input_gradient(grad: Tensor, x: Tensor, weight: Tensor, geometry: Geometry) -> Tensor:
    """Return the gradient of the input: the convolution of the output's with the kernel turned round."""
    (kh, kw), (dh, dw), (ph, pw) = geometry.kernel, geometry.dilation, geometry.padding
    if geometry.reflect:
        ph = pw = 0
    padding = (dh * (kh - 1) - ph, dw * (kw - 1) - pw)
    gradient = F.conv2d(grad, weight.flip(2, 3), None, 1, padding, geometry.dilation, x.shape[1])
    if geometry.reflect:
        ph, pw = geometry.padding
        gradient = torch.ops.aten.reflection_pad2d_backward(gradient, x, [pw, pw, ph, ph])
    return gradient


def _weight_gradient(grad: Tensor, x: Tensor, weight: Tensor, geometry: Geometry) -> Tensor:
    """Return the gradient of the kernel, C x 1 x k x k."""
    (kh, kw), (dh, dw), (ph, pw) = geometry.kernel, geometry.dilation, geometry.padding
    if kw <= COLUMNS and (dh, dw) == (1, 1) and not geometry.reflect:
        return _gradient(grad, x, weight, (ph, pw))
    number, _, height, width = grad.shape
    # Room for whole steps of the dilation: beyond the output its gradient is 0, so what is read there does not matter.
    rows, columns = -(-height // dh), -(-width // dw)
    memory, padded = _room(x, number, dh * (rows + kh - 1), dw * (columns + kw - 1), spare=kw)
    bottom, right = x.shape[2] + 2 * ph, x.shape[3] + 2 * pw
    if geometry.reflect:
        padded[..., :bottom, :right].copy_(F.pad(x, (pw, pw, ph, ph), mode="reflect"))
    else:
        padded[..., ph : bottom - ph, pw : right - pw].copy_(x)
        for margin in (padded[..., :ph, :], padded[..., bottom - ph :, :], padded[..., :pw], padded[..., right - pw :]):
            margin.zero_()
    padded[..., bottom:, :].zero_()
    padded[..., right:].zero_()
    if (dh, dw) != (1, 1):
        phases = _phases(padded, dh, dw)
        memory, padded = _room(x, *phases.shape[:1], *phases.shape[2:], spare=kw)
        padded.copy_(phases)
        grad = _phases(F.pad(grad, (0, dw * columns - width, 0, dh * rows - height)), dh, dw)
    return _narrow_gradients(grad, memory, padded.shape, weight)


def _room(like: Tensor, number: int, rows: int, columns: int, *, spare: int) -> tuple[Tensor, Tensor]:
    """Return room for N x C x H x W as rows of channels, with some pixels of 0 to spare at the end; and the feature."""
    channels = like.shape[1]
    memory = like.new_empty((number * rows * columns + spare, channels))
    memory[-spare:].zero_()
    return memory, _feature(memory, 0, torch.Size((number, channels, rows, columns)))


def _feature(memory: Tensor, start: int, shape: torch.Size) -> Tensor:
    """Read rows of channels, from the pixel `start` on, as a feature N x C x H x W; no copy."""
    number, channels, rows, columns = shape
    pixels = memory[start : start + number * rows * columns]
    return pixels.view(number, rows, columns, channels).permute(0, 3, 1, 2)


def _phases(x: Tensor, vertical: int, horizontal: int) -> Tensor:
    """Take every d-th row and column as an image of its own: N x C x d h x e w -> N d e x C x h x w."""
    number, channels, height, width = x.shape
    parts = x.permute(0, 2, 3, 1).reshape(
        number, height // vertical, vertical, width // horizontal, horizontal, channels
    )
    parts = parts.permute(0, 2, 4, 1, 3, 5).reshape(-1, height // vertical, width // horizontal, channels)
    return parts.permute(0, 3, 1, 2)


def _narrow_gradients(grad: Tensor, memory: Tensor, shape: torch.Size, weight: Tensor) -> Tensor:
    """Return the gradient of a kernel from those of narrow parts of it.

    Args:
        grad: N x C x H x W, of the output.
        memory: the padded input as rows of channels, with kw pixels to spare.
        shape: of the padded input, N x C x (H + kh - 1) x (W + kw - 1).
        weight: C x 1 x kh x kw.
    """
    number, channels, height, width = grad.shape
    kh, kw = weight.shape[2:]
    narrow = min(kw, COLUMNS)
    # The gradient in rows as long as the padded input's; what is added is 0, so it does not matter what it meets.
    wide = grad.new_empty((number, height, shape[3] - narrow + 1, channels)).permute(0, 3, 1, 2)
    wide[..., :width].copy_(grad)
    wide[..., width:].zero_()
    gradient = torch.empty_like(weight)
    part = weight.new_empty((channels, 1, kh, narrow))
    for column in range(0, kw, narrow):
        column = min(column, kw - narrow)
        # The input moved to the left is the same memory, read from a later pixel on.
        moved = _feature(memory, column, shape)
        gradient[..., column : column + narrow] = _gradient(wide, moved, part, (0, 0))
    return gradient


def _gradient(grad: Tensor, x: Tensor, weight: Tensor, padding: tuple[int, int]) -> Tensor:
    """Return the gradient of a depth-wise kernel as PyTorch computes it; of `weight`, only the shape matters."""
    channels = x.shape[1]
    found: Tensor = torch.ops.aten.convolution_backward(
        grad, x, weight, [channels], [1, 1], padding, [1, 1], False, [0, 0], channels, [False, True, False]
    )[1]
    return found
