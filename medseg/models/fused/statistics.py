"""Mean and variance of channels, band by band, and batch norm as a scale and a shift."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from medseg.models.fused.bands import cut


@dataclass(frozen=True)
class Statistics:
    """Of each channel over the images and pixels of a batch: the mean, the biased variance, and of how many values."""

    mean: Tensor
    variance: Tensor
    count: int


@dataclass(frozen=True)
class Part:
    """Of each channel of a band: the mean, the sum of squared deviations from it, the number of values."""

    mean: Tensor
    squares: Tensor
    count: int

    @classmethod
    def of(cls, x: Tensor) -> Part:
        """Measure a feature n x C x h x W."""
        if x.dtype in (torch.bfloat16, torch.float16):
            x = x.float()
        # What PyTorch's own batch norm measures with: fewer passes than a mean and the squares of deviations from it.
        mean, variance = torch.batch_norm_update_stats(x, None, None, 0)
        count = x.numel() // x.shape[1]
        return cls(mean, variance * count, count)


def combine(parts: Sequence[Part]) -> Statistics:
    """Put the bands of a batch together (Chan, Golub, LeVeque 1983); nothing is lost where the mean is large."""
    means = torch.stack([part.mean for part in parts]).double()
    counts = torch.tensor([part.count for part in parts], dtype=torch.float64)[:, None]
    count = int(counts.sum())
    mean = (counts * means).sum(0) / count
    squares = torch.stack([part.squares for part in parts]).double().sum(0) + (counts * (means - mean) ** 2).sum(0)
    dtype = parts[0].mean.dtype
    return Statistics(mean.to(dtype), (squares / count).to(dtype), count)


def scale_and_shift(norm: nn.Module, statistics: Statistics | None) -> tuple[Tensor, Tensor]:
    """Return a and c with norm(x) = a x + c, C x 1 x 1 each, and let the norm follow the batch as it does in training.

    Args:
        norm: an `nn.BatchNorm2d`.
        statistics: of the batch; None where the norm uses those that it keeps.
    """
    assert isinstance(norm, nn.BatchNorm2d)
    if statistics is None:
        assert norm.running_mean is not None
        assert norm.running_var is not None
        mean, variance = norm.running_mean, norm.running_var
    else:
        mean, variance = statistics.mean, statistics.variance
        _follow(norm, statistics)
    # In double precision: where the mean is large, the shift is a small difference of large numbers.
    scale = torch.rsqrt(variance.double() + norm.eps)
    if norm.weight is not None:
        scale = scale * norm.weight
    shift = -mean * scale
    if norm.bias is not None:
        shift = shift + norm.bias
    return scale.to(variance.dtype)[:, None, None], shift.to(variance.dtype)[:, None, None]


def fold(conv: nn.Conv2d, scale: Tensor, shift: Tensor) -> tuple[Tensor, Tensor]:
    """Return weight C' x C and bias of the 1x1 convolution that does a x + b first; a, b: C x 1 x 1."""
    weight = conv.weight.flatten(1)
    bias = weight @ shift.flatten()
    return weight * scale.flatten(), bias if conv.bias is None else bias + conv.bias


def fold_into(conv: nn.Conv2d, scale: Tensor, shift: Tensor) -> tuple[Tensor, Tensor]:
    """Return weight and bias of the convolution that makes a y + b of its y; a, b: C' x 1 x 1."""
    bias = shift.flatten() if conv.bias is None else torch.addcmul(shift.flatten(), conv.bias, scale.flatten())
    return conv.weight * scale[..., None], bias


def uses_batch(norm: nn.Module) -> bool:
    """Tell whether an `nn.BatchNorm2d` uses the statistics of the batch now."""
    assert isinstance(norm, nn.BatchNorm2d)
    return norm.training or norm.running_mean is None


@torch.no_grad()
def _follow(norm: nn.BatchNorm2d, statistics: Statistics) -> None:
    """Update the statistics that a norm keeps."""
    if not norm.training or norm.running_mean is None or norm.running_var is None:
        return
    assert norm.num_batches_tracked is not None
    norm.num_batches_tracked += 1
    momentum = 1 / float(norm.num_batches_tracked) if norm.momentum is None else norm.momentum
    unbiased = statistics.variance * (statistics.count / (statistics.count - 1))
    norm.running_mean.lerp_(statistics.mean, momentum)
    norm.running_var.lerp_(unbiased, momentum)


def measure(norm: nn.Module, x: Tensor) -> Statistics | None:
    """Return the statistics of N x C x H x W that a norm needs, differentiably, where its maker has not measured it.

    None where the norm, an `nn.BatchNorm2d`, uses those that it keeps.
    """
    if not uses_batch(norm):
        return None
    mean, variance = _Measured.apply(x.contiguous(memory_format=torch.channels_last))  # type: ignore[no-untyped-call]
    return Statistics(mean, variance, x.numel() // x.shape[1])


class _Measured(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        bands = cut(x.shape[0], x.shape[2], x.shape[3], x.shape[1])
        found = combine([Part.of(band.of(x)) for band in bands])
        ctx.save_for_backward(x, found.mean)
        return found.mean, found.variance

    @staticmethod
    @once_differentiable  # type: ignore[misc]
    def backward(ctx: Any, grad_mean: Tensor, grad_variance: Tensor) -> Tensor:
        x, mean = ctx.saved_tensors
        shift, scale = seeds(grad_mean, grad_variance, mean, x.numel() // x.shape[1])
        return torch.addcmul(shift.to(x.dtype), x, scale.to(x.dtype))


def seeds(grad_mean: Tensor, grad_variance: Tensor, mean: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return a and b, C x 1 x 1 each: the gradient of a feature x is a + b x, from those of its statistics."""
    # Every value moves the mean by 1 / count, and the variance by twice its deviation / count.
    scale = (2 / count) * grad_variance
    return (grad_mean / count - scale * mean)[:, None, None], scale[:, None, None]
