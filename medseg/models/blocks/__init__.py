"""The blocks that encoder and decoder stages are made of: N x C x H x W in, the same H and W out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from medseg.models.blocks.amse import AMSEBlock
from medseg.models.blocks.cmunext import CMUNeXtBlock
from medseg.models.blocks.convunext import ConvUNeXtBlock
from medseg.models.blocks.double_conv import DoubleConv
from medseg.models.blocks.msca import MSCABlock
from medseg.models.blocks.residual import ResidualBlock
from medseg.models.layers import check_choice


@dataclass(frozen=True)
class Block:
    """A kind of block, with its options decided: call it with its channels to build one.

    Args:
        build: (in_channels, out_channels) -> module that maps N x in x H x W to N x out x H x W.
        takes_image: whether it can be the first thing that an image meets.
        min_size: smallest H and W that it takes, in pixels.
    """

    build: Callable[[int, int], nn.Module]
    takes_image: bool = False
    min_size: int = 1

    def __call__(self, in_channels: int, out_channels: int) -> nn.Module:
        """Build the block."""
        return self.build(in_channels, out_channels)


def widening(build: Callable[[int], nn.Module], *, min_size: int = 1) -> Block:
    """Let a block that keeps its channels change them, by a 1x1 convolution before it where that is needed."""

    def widened(in_channels: int, out_channels: int) -> nn.Module:
        if in_channels == out_channels:
            return build(out_channels)
        return nn.Sequential(nn.Conv2d(in_channels, out_channels, 1), build(out_channels))

    return Block(widened, min_size=min_size)


BLOCKS: dict[str, Block] = {
    "double_conv": Block(DoubleConv, takes_image=True),
    "residual": Block(ResidualBlock),
    # Its borders are reflected over half a kernel.
    "convunext": widening(ConvUNeXtBlock, min_size=4),
    "amse": widening(AMSEBlock),
    "cmunext": widening(CMUNeXtBlock),
    "msca": widening(MSCABlock),
}
"""The names that a network's `encoder` and `decoder` arguments take."""


def choose_block(argument: str, name: str, **own: Block) -> Block:
    """Return the block `name`; `own` are the network's forms of blocks, which go before those of `BLOCKS`.

    Raises `ConfigError` for an unknown name, naming the network's `argument`.
    """
    known = {**BLOCKS, **own}
    check_choice(f"{argument} block", name, known)
    return known[name]


__all__ = [
    "BLOCKS",
    "AMSEBlock",
    "Block",
    "CMUNeXtBlock",
    "ConvUNeXtBlock",
    "DoubleConv",
    "MSCABlock",
    "ResidualBlock",
    "choose_block",
    "widening",
]
