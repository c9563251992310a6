"""Whether a module computes in its fused form."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def use_fused(network: nn.Module, wanted: bool) -> None:
    """Have all parts of a network compute in their fused form where there is one, or in none."""
    for module in network.modules():
        if hasattr(module, "fused"):
            module.fused = wanted  # type: ignore[assignment]


def can_fuse(module: nn.Module, x: Tensor, *norms: nn.Module) -> bool:
    """Tell whether a module may use its fused form on a feature N x C x H x W.

    That is on a CPU, in the channels-last layout, outside of tracing and compiling, with batch norms that are no
    process's business but this one's.
    """
    return (
        bool(module.fused)
        and x.device.type == "cpu"
        and not torch.compiler.is_compiling()
        and x.is_contiguous(memory_format=torch.channels_last)
        and all(type(norm) is nn.BatchNorm2d for norm in norms)
        and x.numel() > x.shape[1]  # one value cannot be normed; the norm itself says so best
    )
