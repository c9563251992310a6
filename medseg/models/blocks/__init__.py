"""The blocks that encoder and decoder stages are made of: N x C x H x W in, the same H and W out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

from torch import Tensor, nn

from medseg.models.blocks.amse import AMSEBlock
from medseg.models.blocks.cmunext import CMUNeXtBlock
from medseg.models.blocks.convunext import ConvUNeXtBlock
from medseg.models.blocks.double_conv import DoubleConv
from medseg.models.blocks.msca import MSCABlock
from medseg.models.blocks.residual import ResidualBlock
from medseg.models.fused import PointwiseConv2d, banded, can_fuse
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


class Widened(nn.Sequential):
    """A 1x1 convolution, N x in x H x W -> N x out x H x W, and a block that keeps its channels."""

    fused = True
    """Whether to compute in the form of `medseg.models.fused` where that can be."""

    def joined(
        self, join: Callable[..., Tensor], features: Sequence[Tensor], modules: Sequence[nn.Module] = ()
    ) -> Tensor:
        """Return what this makes of `join(*features)`, N x in x H x W, which need not be whole anywhere.

        Args:
            join: a function of each pixel of the features alone.
            features: N x C x H x W each.
            modules: those whose parameters it uses.
        """
        conv, block = cast(PointwiseConv2d, self[0]), self[1]
        if not all(can_fuse(self, feature) for feature in features):
            return cast(Tensor, self(join(*features)))
        x, _ = banded(
            lambda *bands: conv(join(*bands)),
            features,
            modules=[*modules, conv],
            channels=conv.in_channels + conv.out_channels,
        )
        return cast(Tensor, block(x))


def widening(build: Callable[[int], nn.Module], *, min_size: int = 1) -> Block:
    """Let a block that keeps its channels change them, by a 1x1 convolution before it where that is needed."""

    def widened(in_channels: int, out_channels: int) -> nn.Module:
        if in_channels == out_channels:
            return build(out_channels)
        return Widened(PointwiseConv2d(in_channels, out_channels), build(out_channels))

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
    """Return the block `name`; `own` are a network's own forms of blocks, which go before those of `BLOCKS`.

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
    "Widened",
    "choose_block",
    "widening",
]
