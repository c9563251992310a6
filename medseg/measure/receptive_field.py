"""The receptive field of a network, measured: a NaN in the image marks every pixel of the logits that depends on it.

A NaN passes through convolutions, poolings, norms, interpolations and products alike, whatever the weights are, so
the marked pixels are exactly those that a path leads to. A whole column of NaNs in a wide, low image (or a row in a
tall, narrow one) gives the extent along one axis at a small cost.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

PERIODS = (16, 32, 64)
"""Pixels after which a network may treat the image alike again: multiples of its total stride."""

LONGEST = 2048
"""Longest image that is tried, in pixels."""

Marked = Callable[[int], np.ndarray]
"""Position of the NaNs along an axis -> positions of the marked pixels along it, sorted."""


def receptive_field(network: nn.Module, *, in_channels: int, min_size: int) -> tuple[int | None, int | None]:
    """Measure how large a part of the image one pixel of the logits depends on, in eval mode: (height, width), pixels.

    It reaches from the first to the last pixel that counts, away from the image's border. Where strides make it depend
    on the position of the pixel, the largest one is returned. None stands for the whole image: the pixel depends on all
    of `LONGEST` pixels, as after global pooling.

    Args:
        network: N x in_channels x H x W -> N x num_classes x H x W.
        in_channels: channels of the image.
        min_size: smallest height and width that the network takes, in pixels.

    Raises what the network raises for a size that it cannot take, and `ValueError` if its output is no tensor of the
    image's size.
    """
    # Networks halve the size again and again.
    low = 2 ** (min_size - 1).bit_length()
    modes = {module: module.training for module in network.modules()}
    network.eval()
    try:
        with torch.no_grad(), _convolutions_by_definition():
            height, width = (_extent(network, (1, in_channels, low, low), axis) for axis in (2, 3))
    finally:
        for module, mode in modes.items():
            module.training = mode
    return height, width


@contextmanager
def _convolutions_by_definition() -> Iterator[None]:
    """Keep PyTorch from faster algorithms (Winograd, FFT) that would spread a NaN over pixels it has no path to."""
    with warnings.catch_warnings():
        # Of a setting for another device that the first one touches.
        warnings.simplefilter("ignore")
        with torch.backends.mkldnn.flags(enabled=False), torch.backends.nnpack.flags(enabled=False):
            yield


def _extent(network: nn.Module, shape: tuple[int, ...], axis: int) -> int | None:
    """Return the receptive field along one axis, None for the whole image."""
    length = 4 * PERIODS[-1]
    while length <= LONGEST:
        size = [*shape[:axis], length, *shape[axis + 1 :]]
        marked = functools.cache(functools.partial(_mark, network, size, axis))
        first = length // 2
        if _ends_inside(marked(first), length):
            period = next((p for p in PERIODS if _alike(marked, first, p)), PERIODS[-1])
            last = first + period - 1
            if _ends_inside(marked(last), length):
                return _longest({position: marked(position) for position in _telling(marked, first, last)}, period)
        length *= 2
    return None


def _ends_inside(pixels: np.ndarray, length: int) -> bool:
    """Tell whether marked pixels end before the image does; else more may lie beyond."""
    return not len(pixels) or bool(pixels[0] > 0 and pixels[-1] < length - 1)


def _alike(marked: Marked, first: int, period: int) -> bool:
    """Tell whether a network does the same to the image `period` pixels further on."""
    return np.array_equal(marked(first) + period, marked(first + period))


def _mark(network: nn.Module, size: list[int], axis: int, position: int) -> np.ndarray:
    """Return which pixels along `axis` depend on the image at `position` along it."""
    image = torch.zeros(size)
    image.select(axis, position).fill_(torch.nan)
    logits = network(image)
    if not isinstance(logits, Tensor) or logits.shape[2:] != image.shape[2:]:
        raise ValueError("its output is no tensor of the image's size")
    others = tuple(other for other in range(4) if other != axis)
    return np.flatnonzero(logits.isnan().numpy().any(axis=others))


def _telling(marked: Marked, first: int, last: int) -> set[int]:
    """Choose the positions from `first` to `last` that must be looked at.

    Between two that mark the same pixels, all do: they lie in one cell of the coarsest grid.
    """
    if last - first < 2 or (len(marked(first)) and np.array_equal(marked(first), marked(last))):
        return {first, last}
    half = (first + last) // 2
    return _telling(marked, first, half) | _telling(marked, half, last)


def _longest(marked: Mapping[int, np.ndarray], period: int) -> int:
    """Return the longest receptive field of all pixels, from what each position in one period marks.

    A position p that marks pixel o stands for all p + k period and o + k period, so that the pixels of one period see
    all there is.
    """
    lowest, highest = np.full(period, LONGEST), np.full(period, -LONGEST)
    for position, pixels in marked.items():
        np.minimum.at(lowest, pixels % period, position - pixels)
        np.maximum.at(highest, pixels % period, position - pixels)
    return max(0, int((highest - lowest).max()) + 1)
