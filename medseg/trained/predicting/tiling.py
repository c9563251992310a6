"""Overlapping windows over an image of any size, and their predictions blended; memory for one row of windows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np

from medseg.models.overlap_tile import starts

OVERLAP = 0.25
"""By which part of their side neighbouring windows overlap where nothing else is asked for."""


def blend(
    size: tuple[int, int],
    window: tuple[int, int],
    overlap: float,
    num_classes: int,
    predict: Callable[[slice, Sequence[slice]], Iterable[np.ndarray]],
) -> Iterator[np.ndarray]:
    """Yield the probabilities of an image as consecutive strips K x rows x W float32, which together have H rows.

    Args:
        size: H and W of the image.
        window: height and width of a window in pixels; those of the image where these are less.
        overlap: by which part of their side neighbouring windows overlap, 0 to 0.5.
        num_classes: K.
        predict: maps the rows of some windows, and the columns of each, to the probabilities of each, K x rows x
            columns.

    Where windows overlap, their predictions are averaged with weights that fall smoothly to the windows' edges, where
    a network knows least of its surroundings. Rows that no later window reaches are yielded, so that no more than one
    row of windows is in memory.
    """
    height, width = size
    rows, columns = min(window[0], height), min(window[1], width)
    tops = starts(height - round(rows * overlap), rows - round(rows * overlap), 1)
    lefts = starts(width - round(columns * overlap), columns - round(columns * overlap), 1)
    weight = np.outer(edge_weights(rows, round(rows * overlap)), edge_weights(columns, round(columns * overlap)))
    sums = np.zeros((num_classes, rows, width), np.float32)
    weights = np.zeros((rows, width), np.float32)
    done = 0
    for top in tops:
        if top > done:
            count = top - done
            yield sums[:, :count] / weights[:count]
            for band in (*sums, weights):
                band[:-count] = band[count:]
                band[rows - count :] = 0
            done = top
        spans = [slice(left, left + columns) for left in lefts]
        for span, probabilities in zip(spans, predict(slice(top, top + rows), spans), strict=True):
            sums[:, :, span] += probabilities * weight
            weights[:, span] += weight
    yield sums / weights


def edge_weights(length: int, overlap: int) -> np.ndarray:
    """Return the weight of each pixel along the side of a window, float32 in (0, 1].

    1 in the middle; towards both ends, over `overlap` pixels, it falls like a squared sine, so that two neighbours
    that overlap by so much have the sum 1.
    """
    distance = np.minimum(np.arange(length), np.arange(length)[::-1]) + 0.5
    return (np.sin(np.pi / 2 * np.minimum(1, distance / max(overlap, 0.5))) ** 2).astype(np.float32)
