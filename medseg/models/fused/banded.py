"""Functions of features, computed band by band, that keep nothing but their arguments for the backward pass.

Between two norms, a block of ConvUNeXt or AMSUnet makes features four times as wide as its input, pixel by pixel or
with a small neighbourhood. PyTorch writes each of them to memory and keeps it until the backward pass; on a CPU the way
to memory and back takes several times as long as the arithmetic. Here a band of rows goes through the whole function
while it lies in a core's cache, and in the backward pass once more, for its gradients.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from medseg.models.fused.bands import Band, cut
from medseg.models.fused.convolutions import PointwiseConv2d, pointwise
from medseg.models.fused.statistics import Part, Statistics, combine, seeds

Function = Callable[..., Tensor]


@dataclass(frozen=True)
class Plan:
    """What is computed.

    Args:
        function: maps bands of the features, then the vectors, to a band n x C x h x w.
        features: how many of the arguments are features.
        vectors: how many, after these, are vectors. Weight and bias of `last` come next where there is one, then the
            parameters that the function uses.
        channels: of the widest feature within the function.
        halo: rows above and below the band that it sees.
        stride: how many rows of the features make one of the output.
        last: whether a matrix product follows the function.
        statistics: whether those of the output are wanted.
    """

    function: Function
    features: int
    vectors: int
    channels: int
    halo: int
    stride: int
    last: bool
    statistics: bool

    def cut(self, x: Tensor) -> list[Band]:
        """Return the bands of the output, for a first feature."""
        number, _, height, width = x.shape
        return cut(number, height // self.stride, width * self.stride, self.channels, self.halo)

    def seen(self, band: Band, height: int) -> Band:
        """Return the rows of the features that a band of the output is made of."""
        return Band(band.images, (band.rows[0] * self.stride, band.rows[1] * self.stride)).widened(self.halo, height)

    def compute(self, band: Band, seen: Band, features: Sequence[Tensor], vectors: Sequence[Tensor]) -> Tensor:
        """Compute a band of what the function returns from what is seen of the features."""
        _inside.band = True
        try:
            out: Tensor = self.function(*features, *vectors)
        finally:
            _inside.band = False
        top = band.rows[0] - seen.rows[0] // self.stride
        return out[:, :, top : top + band.rows[1] - band.rows[0]]


def banded(
    function: Function,
    features: Sequence[Tensor],
    vectors: Sequence[Tensor] = (),
    *,
    modules: Sequence[nn.Module] = (),
    channels: int,
    halo: int = 0,
    stride: int = 1,
    last: PointwiseConv2d | None = None,
    statistics: bool = False,
) -> tuple[Tensor, Statistics | None]:
    """Compute a function of features band by band; differentiable once.

    Args:
        function: maps bands n x C x h x w of the features, then the vectors, to a band n x C' x h x w. What it makes of
            a pixel may depend on that pixel alone; with a halo also on pixels around it, and it pads what it convolves.
        features: N x C x H x W each, N, H and W the same for all.
        vectors: small tensors that the function gets whole.
        modules: those whose parameters the function uses.
        channels: of the widest feature within the function; it decides the size of the bands.
        halo: how many rows above and below a pixel it depends on, at most.
        stride: the function halves (2) the size, or whatever it is divided by; not together with a halo.
        last: a convolution of what the function returns, which need not be computed again in the backward pass.
        statistics: measure the output for a norm that follows.

    Returns:
        N x C' x H' x W', in the channels-last layout, and its statistics where they are asked for.
    """
    if getattr(_inside, "band", False):  # the band of another function already
        assert not statistics
        out = function(*features, *vectors)
        return out if last is None else last(out), None
    plan = Plan(function, len(features), len(vectors), channels, halo, stride, last is not None, statistics)
    arguments = [feature.contiguous(memory_format=torch.channels_last) for feature in features]
    arguments += vectors
    if last is not None:
        assert last.bias is not None
        arguments += [last.weight.flatten(1), last.bias]
    arguments += [parameter for module in modules for parameter in module.parameters()]
    out, mean, variance = _Banded.apply(plan, *arguments)  # type: ignore[no-untyped-call]
    return out, Statistics(mean, variance, out.numel() // out.shape[1]) if statistics else None


_inside = threading.local()
"""Whether this thread is computing a band."""


class _Banded(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, plan: Plan, *tensors: Tensor) -> tuple[Tensor, Tensor, Tensor]:  # type: ignore[override]
        features, small = tensors[: plan.features], tensors[plan.features :]
        height = features[0].shape[2]
        bands = plan.cut(features[0])
        out, parts = None, []
        for band in bands:
            seen = plan.seen(band, height)
            y = plan.compute(band, seen, [seen.of(x) for x in features], small[: plan.vectors])
            if out is None and (plan.last or len(bands) > 1):
                channels = len(small[plan.vectors]) if plan.last else y.shape[1]
                shape = (features[0].shape[0], channels, height // plan.stride, y.shape[3])
                out = torch.empty(shape, dtype=y.dtype, memory_format=torch.channels_last)
            if out is None:
                out = y = y.contiguous(memory_format=torch.channels_last)
            elif plan.last:
                y = pointwise(y, small[plan.vectors], small[plan.vectors + 1], out=band.of(out))
            else:
                band.of(out).copy_(y)
            if plan.statistics:
                parts.append(Part.of(y))
        assert out is not None
        found = combine(parts) if plan.statistics else Statistics(out.new_empty(0), out.new_empty(0), 0)
        ctx.plan = plan
        ctx.autocast = (torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu"))
        # The mean as well: an output that the context itself kept would keep the context, and neither were ever freed.
        ctx.save_for_backward(*tensors, *([out, found.mean] if plan.statistics else []))
        if not plan.statistics:
            ctx.mark_non_differentiable(found.mean, found.variance)
        return out, found.mean, found.variance

    @staticmethod
    @once_differentiable  # type: ignore[misc]
    def backward(ctx: Any, grad: Tensor, grad_mean: Tensor, grad_variance: Tensor) -> tuple[Tensor | None, ...]:
        plan: Plan = ctx.plan
        wanted: tuple[bool, ...] = ctx.needs_input_grad[1:]
        saved: tuple[Tensor, ...] = ctx.saved_tensors
        tensors = saved[: len(wanted)]
        features = tensors[: plan.features]
        height = features[0].shape[2]
        grad = grad.contiguous(memory_format=torch.channels_last)
        own, out = None, grad
        if plan.statistics:
            *_, out, mean = saved
            own = seeds(grad_mean, grad_variance, mean, grad.numel() // grad.shape[1])
        gradients = Gradients(features)
        end = plan.features + plan.vectors
        after = end + 2 if plan.last else end
        vectors = [x.detach().requires_grad_(w) for x, w in zip(tensors, wanted, strict=True)][plan.features : end]
        asked = [k for k, w in enumerate(wanted) if w and not end <= k < after]
        for band in plan.cut(features[0]):
            seen = plan.seen(band, height)
            parts = [seen.of(x).detach().requires_grad_(w) for x, w in zip(features, wanted, strict=False)]
            sources = [*parts, *vectors, *tensors[end:]]
            with torch.enable_grad(), torch.autocast("cpu", dtype=ctx.autocast[1], enabled=ctx.autocast[0]):
                y = plan.compute(band, seen, parts, vectors)
            seed = band.of(grad)
            if own is not None:
                seed = seed + torch.addcmul(own[0], band.of(out), own[1])
            if plan.last:
                seed, weight, bias = _product_gradients(seed.to(y.dtype), y.detach(), tensors[end])
                gradients.add(end, weight)
                gradients.add(end + 1, bias)
            found = torch.autograd.grad(y, [sources[k] for k in asked], seed, allow_unused=True)
            for k, one in zip(asked, found, strict=True):
                if one is not None and k < plan.features:
                    gradients.place(k, one, seen, overlapping=plan.halo > 0 or plan.stride > 1)
                elif one is not None:
                    gradients.add(k, one)
        return (None, *(gradients.found.get(k) if w else None for k, w in enumerate(wanted)))


class Gradients:
    """Gradients of arguments, put together from those of bands.

    Args:
        features: the features among the arguments, the first of them.
    """

    def __init__(self, features: Sequence[Tensor]) -> None:
        self.features = features
        self.found: dict[int, Tensor] = {}

    def add(self, place: int, one: Tensor) -> None:
        """Add what a band contributes to the gradient of a vector or a parameter."""
        self.found[place] = self.found[place].add_(one) if place in self.found else one

    def place(self, place: int, one: Tensor, seen: Band, *, overlapping: bool) -> None:
        """Put the gradient of a band of a feature where it belongs, or add it where bands overlap or miss pixels."""
        feature = self.features[place]
        if one.shape == feature.shape:  # the only band
            self.found[place] = one
            return
        if place not in self.found:
            self.found[place] = torch.zeros_like(feature) if overlapping else torch.empty_like(feature)
        where = seen.of(self.found[place])
        where.add_(one) if overlapping else where.copy_(one)


def _product_gradients(grad: Tensor, x: Tensor, weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of the input, the weight and the bias of `pointwise`."""
    rows = grad.permute(0, 2, 3, 1).reshape(-1, grad.shape[1])
    inputs = x.permute(0, 2, 3, 1).reshape(-1, x.shape[1])
    number, _, height, width = x.shape
    back = (rows @ weight.to(rows.dtype)).view(number, height, width, -1).permute(0, 3, 1, 2)
    return back, (rows.t() @ inputs).to(weight.dtype), rows.sum(0).to(weight.dtype)
