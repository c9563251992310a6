"""Stages, put together from blocks in the ways that several networks share."""

from __future__ import annotations

from torch import nn

from medseg.models.blocks import Block
from medseg.models.layers import bilinear_upsampling, check_choice, make_norm, norm_room
from medseg.models.skips import make_skip
from medseg.models.ushape import DecoderStage

DOWNSAMPLINGS = ("conv", "pool")
"""The names that a network's `downsampling` argument takes."""


def normed_stem(conv: nn.Module, norm: nn.Module, block: nn.Module) -> nn.Sequential:
    """Return a first stage, a convolution, a norm, GELU and a block: N x in x H x W -> N x out x H x W."""
    return nn.Sequential(conv, norm, nn.GELU(), block)


def make_stem(block: Block, in_channels: int, out_channels: int) -> nn.Module:
    """Return a first stage, N x in x H x W -> N x out x H x W: the block, after a convolution where it needs one.

    A block that begins with a norm and an activation, or with a 1x1 convolution, cannot begin with an image: it would
    lose half of the values, or see no shape. It gets a 3x3 convolution, batch norm and GELU before it.
    """
    if block.takes_image:
        return block(in_channels, out_channels)
    conv = nn.Conv2d(in_channels, out_channels, 3, padding=1)
    return normed_stem(conv, nn.BatchNorm2d(out_channels), block(out_channels, out_channels))


def make_encoder_stage(
    block: Block, in_channels: int, out_channels: int, *, downsampling: str, norm: str = "batch", depth: int = 1
) -> nn.Sequential:
    """Return a stage that halves the size and has `depth` blocks, N x in x H x W -> N x out x H/2 x W/2 (rounded down).

    `pool` takes the maximum of 2 x 2 pixels and leaves the channels to the first block, as in U-Net; `conv` is a norm
    and a 2x2 convolution of stride 2 that changes the channels, as in ConvUNeXt.
    Raises `ConfigError` for another `downsampling`.
    """
    check_choice("downsampling", downsampling, DOWNSAMPLINGS)
    further = [block(out_channels, out_channels) for _ in range(depth - 1)]
    if downsampling == "pool":
        return nn.Sequential(nn.MaxPool2d(2), block(in_channels, out_channels), *further)
    halve = nn.Conv2d(in_channels, out_channels, 2, stride=2)
    return nn.Sequential(make_norm(norm, in_channels), halve, block(out_channels, out_channels), *further)


def make_normed_decoder_stage(block: Block, channels: int, out_channels: int, *, skip: str, norm: str) -> DecoderStage:
    """Return a decoder stage of ConvUNeXt and AMSUnet: norm, bilinear up-sampling, skip module, block.

    Both features have `channels` channels; N x channels x h x w from below -> N x out x H x W.
    """
    return DecoderStage(
        up=nn.Sequential(make_norm(norm, channels), bilinear_upsampling()),
        skip=make_skip(skip, channels),
        fuse=block(2 * channels, out_channels),
        out_channels=out_channels,
    )


def smallest_image(depth: int, encoder: Block, decoder: Block, *, norm: str = "batch", channels: int = 2) -> int:
    """Return the smallest H and W, in pixels, that leave the parts their room after `depth` halvings.

    Args:
        depth: number of halvings.
        encoder, decoder: the blocks.
        norm: at the deepest level.
        channels: of the deepest level.
    """
    deepest = max(encoder.min_size, norm_room(norm, channels))
    return max(2**depth * deepest, 2 ** (depth - 1) * decoder.min_size)
