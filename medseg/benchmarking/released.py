"""Networks in the operations of the released code, for comparison. They compute the same function.

What differs from medseg's own: 1x1 convolutions of ConvUNeXt are Linear layers on data permuted to N x H x W x C; a
decoder's feature is padded to the encoder's even where there is nothing to pad, which copies it; AMSUnet's skip module
weighs the feature twice and multiplies the two. Reflected borders are a copy of their own before the convolution, which
PyTorch's `padding_mode="reflect"` makes as well. These parts are ConvUNeXt's, AMSUnet's and U-Net's; a network without
them stays as it is.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from medseg.models import AMSUnet, ConvUNeXt, UNet
from medseg.models.blocks import ConvUNeXtBlock
from medseg.models.skips import RSC, ConvUNeXtGate
from medseg.models.ushape import DecoderStage

PADDING = (ConvUNeXt, AMSUnet, UNet)
"""The networks whose released code pads in every decoder stage."""


def release(network: nn.Module) -> nn.Module:
    """Replace the parts of a network that the released code computes otherwise, and return the network.

    Parameters and buffers are the same objects under the same names, so its checkpoints fit as before.
    """
    return replace_parts(network, pads=isinstance(network, PADDING))


def replace_parts(module: nn.Module, *, pads: bool) -> nn.Module:
    """Replace the parts of a module, and theirs, by their released forms; `pads`: those of decoder stages as well."""
    for name, child in module.named_children():
        setattr(module, name, replace_parts(released_form(child, pads=pads), pads=pads))
    return module


def released_form(module: nn.Module, *, pads: bool) -> nn.Module:
    """Return a module in its released form, or itself where it has no other."""
    if isinstance(module, ConvUNeXtBlock):
        return ReleasedBlock(module)
    if isinstance(module, ConvUNeXtGate):
        return ReleasedGate(module)
    if isinstance(module, RSC) and module.reading == "released":
        return ReleasedRSC(module)
    if isinstance(module, DecoderStage) and pads:
        return ReleasedStage(module)
    return module


class ReleasedBlock(nn.Module):
    """`ConvUNeXtBlock` with Linear layers."""

    def __init__(self, block: ConvUNeXtBlock) -> None:
        super().__init__()
        self.depthwise, self.norm1 = block.depthwise, block.norm1
        self.expand, self.project = block.expand, block.project
        self.norm2 = block.norm2
        self.closing = block.closing

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output, N x C x H x W."""
        y = self.norm1(self.depthwise(x)).permute(0, 2, 3, 1)
        y = linear(F.gelu(linear(y, self.expand)), self.project)
        y = self.norm2(y.permute(0, 3, 1, 2))
        if self.closing == "after_add":
            return F.gelu(x + y)
        return x + (F.gelu(y) if self.closing == "before_add" else y)


class ReleasedGate(nn.Module):
    """`ConvUNeXtGate` with Linear layers."""

    def __init__(self, gate: ConvUNeXtGate) -> None:
        super().__init__()
        self.gate, self.keep, self.mix = gate.gate, gate.keep, gate.mix

    def forward(self, skip: Tensor, up: Tensor) -> Tensor:
        """Return the gated feature, N x C x H x W like both arguments."""
        skip = skip.permute(0, 2, 3, 1)
        g1, g2, g3 = linear(up.permute(0, 2, 3, 1), self.gate).chunk(3, dim=-1)
        kept = torch.sigmoid(linear(g1 + skip, self.keep)) * skip
        return linear(kept + torch.sigmoid(g2) * torch.tanh(g3), self.mix).permute(0, 3, 1, 2)


class ReleasedRSC(nn.Module):
    """`RSC` in its released reading: the feature weighed by pixel, times the feature weighed by channel, added."""

    def __init__(self, rsc: RSC) -> None:
        super().__init__()
        self.spatial, self.weigh = rsc.spatial, rsc.weigh

    def forward(self, skip: Tensor, up: Tensor) -> Tensor:
        """Return `skip` and what its attention adds."""
        by_pixel = skip * torch.sigmoid(self.spatial(skip))
        by_channel = skip * torch.sigmoid(self.weigh(skip.mean((2, 3), keepdim=True)))
        return skip + by_pixel * by_channel


class ReleasedStage(nn.Module):
    """`DecoderStage` that always pads."""

    def __init__(self, stage: DecoderStage) -> None:
        super().__init__()
        self.up, self.skip, self.fuse = stage.up, stage.skip, stage.fuse

    def forward(self, x: Tensor, feature: Tensor) -> Tensor:
        """Map N x c x h x w from below and N x c' x H x W from the encoder to N x c'' x H x W."""
        x = self.up(x)
        dy, dx = feature.shape[-2] - x.shape[-2], feature.shape[-1] - x.shape[-1]
        x = F.pad(x, (dx // 2, dx - dx // 2, dy // 2, dy - dy // 2))
        return self.fuse(torch.cat([self.skip(feature, x), x], dim=1))


def linear(x: Tensor, conv: nn.Conv2d) -> Tensor:
    """Apply a 1x1 convolution to N x H x W x C data as a Linear layer."""
    return F.linear(x, conv.weight.flatten(1), conv.bias)
