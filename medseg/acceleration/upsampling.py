"""Linear up-sampling with a backward pass that is fast on a CPU.

What is up-sampled is mostly concatenated with another feature, so its gradient is a part of the channels of a larger
tensor. PyTorch's kernel for that is about ten times as slow as the one for a tensor whose values lie together, into
which the part is copied here. `docs/performance.md` has the times.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

LINEAR_MODES = ("bilinear", "trilinear")
"""Modes of `nn.Upsample` whose gradient is slow where its values do not lie together."""


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
