"""Overlap-tile prediction: an image of any size through a network of valid convolutions, whole or tile by tile.

Ronneberger, Fischer, Brox 2015 (arXiv:1505.04597), figure 2: what is predicted of a tile depends on a window that is
`margin` pixels wider on each side; beyond the image it is filled in by mirroring. Since nothing is padded inside the
network, tiles that are put together are the prediction of the whole image.

That holds for windows on one grid only. A network that pools by 16 in all gives other logits for a window that is
moved by one pixel, so windows are moved by multiples of its step; where tiles are no multiple of it, they overlap.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from medseg.errors import ConfigError, UserError
from medseg.models.layers import is_open, larger
from medseg.models.mirror import mirror_pad


@dataclass(frozen=True)
class ValidSizes:
    """The sizes that a network of valid convolutions takes and returns, in pixels, alike for height and width.

    It maps 2 margin + smallest + k step pixels to smallest + k step, for k = 0, 1, ...; and an input that begins a
    multiple of `step` later gives the same logits, that much later.
    """

    margin: int
    """Context on each side: input minus output, halved."""
    step: int
    """By how much sizes differ, and windows may be moved; the product of all strides."""
    smallest: int
    """The smallest output."""

    def output_for(self, size: int) -> int:
        """Return the smallest output of at least `size` pixels."""
        return self.smallest + larger(0, (size - self.smallest + self.step - 1) // self.step) * self.step

    def nearest(self, size: int) -> str:
        """Name the outputs next to `size`: "372 or 388", or the smallest one."""
        above = self.output_for(size)
        return f"{above - self.step} or {above}" if above > self.smallest else f"{above}"

    def check_input(self, image: Tensor, name: str) -> None:
        """Raise `UserError` for an image, ... x H x W, that the network `name` cannot take as it is."""
        for size in image.shape[-2:]:
            output = size - 2 * self.margin
            if output != self.output_for(output):
                raise UserError(
                    f"{name} takes {self.step} k + {(2 * self.margin + self.smallest) % self.step} pixels a side, at "
                    f"least {2 * self.margin + self.smallest}, and cannot take {size}: the nearest is "
                    f"{ValidSizes(0, self.step, 2 * self.margin + self.smallest).nearest(size)}"
                )

    def check_tile(self, tile: int) -> None:
        """Raise `ConfigError` for a tile that the network cannot return, or that has no room for a step."""
        tiles = ValidSizes(self.margin, self.step, self.output_for(self.step))
        if not isinstance(tile, int) or isinstance(tile, bool) or tile != tiles.output_for(tile):
            hint = f": the nearest is {tiles.nearest(tile)}" if isinstance(tile, int) else ""
            raise ConfigError(
                f"tile={tile} must be {self.step} k + {self.smallest % self.step} pixels, at least "
                f"{tiles.smallest}, or null for whole images{hint}"
            )


def predict_mirrored(
    network: Callable[[Tensor], Tensor], image: Tensor, sizes: ValidSizes, tile: int | None = None
) -> Tensor:
    """Return what a valid network makes of every pixel of an image, N x C x H x W -> N x K x H x W, H and W from 1.

    Args:
        network: maps N x C x h x w to N x K x (h - 2 margin) x (w - 2 margin).
        image: of any size. Mirrored by the margin on every side, and further to the right and below up to a size
            that the network takes.
        sizes: of the network.
        tile: height and width of what is computed at once, one of the network's output sizes; None is the whole image,
            as it always is in an exported program that takes any size.

    Tiles give the logits of the whole image, and take the memory of one window and of the result. The network may
    return its logits on another device than it gets the image on. Raises `ConfigError` for a tile of another size.
    """
    if tile is not None:
        sizes.check_tile(tile)
    height, width = image.shape[-2:]
    whole = (sizes.output_for(height), sizes.output_for(width))
    margin = sizes.margin
    padded = mirror_pad(image, margin, margin + whole[0] - height, margin, margin + whole[1] - width)
    # A program for any size would need any number of tiles.
    if tile is None or is_open(height) or is_open(width) or tile >= max(whole):
        return network(padded)[..., :height, :width]
    tops, lefts = (starts(size, tile, sizes.step) for size in whole)
    rows, columns = (min(size, tile) for size in whole)
    result: Tensor | None = None
    for top in tops:
        for left in lefts:
            window = padded[..., top : top + rows + 2 * margin, left : left + columns + 2 * margin]
            logits = network(window)
            if result is None:
                result = logits.new_empty(*logits.shape[:-2], *whole)
            result[..., top : top + rows, left : left + columns] = logits
    assert result is not None
    return result[..., :height, :width]


def starts(size: int, tile: int, step: int) -> list[int]:
    """Return where tiles begin that cover `size` pixels, `tile` and `size` differing by a multiple of `step`.

    As few as possible, `tile` being at least a step; all are multiples of it, and the last one ends with the image.
    """
    last = max(0, size - tile)
    return [*range(0, last, tile // step * step), last]
