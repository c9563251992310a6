"""Dilated convolutions with right gradients in bf16 on a CPU.

oneDNN (3.x, in PyTorch 2.15) returns wrong or infinite gradients of many dilated kernels in bf16, or ends the process,
where the image or the kernel is in channels_last. In N x C x H x W they are right. `DepthwiseConv2d` has another way
round it, which is fast as well.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


def is_dilated(module: nn.Module) -> bool:
    """Tell whether a module is a dilated convolution of PyTorch's class: what a subclass does is not known."""
    return type(module) is nn.Conv2d and module.dilation != (1, 1)


def computing_dtype(input: Tensor) -> torch.dtype:
    """Return the type that a convolution of an image on the CPU is computed in, autocast included."""
    return torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else input.dtype


def is_traced() -> bool:
    """Tell whether a program is made of the network, which chooses layouts itself."""
    return bool(torch.compiler.is_compiling() or torch._C._get_tracing_state())


def convolve_in_float32(conv: nn.Conv2d, input: Tensor, dtype: torch.dtype) -> Tensor:
    """Compute a convolution in float32, and return it as `dtype`."""
    with torch.autocast("cpu", enabled=False):
        bias = None if conv.bias is None else conv.bias.float()
        return conv._conv_forward(input.float(), conv.weight.float(), bias).to(dtype)


class DilatedConv2d(nn.Conv2d):
    """A dilated `nn.Conv2d` whose gradients are right in bf16 on a CPU."""

    def forward(self, input: Tensor) -> Tensor:
        """Map N x C x H x W to N x C' x H' x W'."""
        if input.device.type != "cpu" or input.dim() != 4:
            return super().forward(input)
        dtype = computing_dtype(input)
        if dtype != torch.bfloat16:
            return super().forward(input)
        if is_traced():
            return convolve_in_float32(self, input, dtype)
        bias = None if self.bias is None else self.bias.to(dtype)
        with torch.autocast("cpu", enabled=False):
            output = self._conv_forward(input.to(dtype).contiguous(), self.weight.to(dtype).contiguous(), bias)
        if input.is_contiguous(memory_format=torch.channels_last):
            return output.contiguous(memory_format=torch.channels_last)
        return output
