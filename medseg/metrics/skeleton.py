"""Skeletons of masks and the centreline Dice. `medseg.metrics` gives the scores of empty masks.

Skeletons are those of Zhang and Suen (Communications of the ACM 27, 1984), pixel for pixel those of scikit-image's
`skeletonize`: in two turns, again and again, all pixels of the outline are removed that are neither an end of a line
nor needed to hold it together.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from medseg.metrics.mask_pair import Mask, MaskPair

AROUND = ((-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1))
"""The neighbours of a pixel, clockwise from the upper left one; bit k of the number of a neighbourhood is the k-th."""


def cldice(pair: MaskPair) -> float:
    """Return the centreline Dice: how much of each mask's skeleton lies inside the other mask, harmonic mean.

    1 where both masks are empty, 0 where one is. (Shit et al., CVPR 2021: topology precision and sensitivity.)
    """
    if any(pair.empty):
        return float(all(pair.empty))
    predicted, true = pair.cropped
    of_predicted, of_true = skeletonize(predicted), skeletonize(true)
    precision = np.count_nonzero(of_predicted & true) / np.count_nonzero(of_predicted)
    sensitivity = np.count_nonzero(of_true & predicted) / np.count_nonzero(of_true)
    return 2 * precision * sensitivity / (precision + sensitivity) if precision + sensitivity else 0.0


def skeletonize(mask: Mask) -> Mask:
    """Return the skeleton of a mask, H x W bool; beyond the image is background."""
    import cv2  # as in `mask_pair`

    height, width = mask.shape
    image = np.pad(mask, 1).astype(np.uint8)
    pixels = image.ravel()
    neighbours = cv2.filter2D(image, -1, KERNEL, borderType=cv2.BORDER_CONSTANT).ravel()
    offsets = [row * (width + 2) + column for row, column in AROUND]
    # Of each kind of turn, the pixels whose neighbours have changed since its last turn: no others can go.
    outline = np.flatnonzero((pixels > 0) & (neighbours < 255))
    changed = [outline, outline]
    while any(map(len, changed)):
        for turn, removable in enumerate(REMOVABLE):
            candidates = changed[turn]
            removed = candidates[removable[neighbours[candidates]]]
            removed = np.unique(removed[pixels[removed] > 0])
            pixels[removed] = 0
            around = [removed + offset for offset in offsets]
            for k, each in enumerate(around):
                neighbours[each] &= ~POWERS[(k + 4) % 8]  # seen from there, it is on the other side
            changed[turn] = np.concatenate(around)
            changed[1 - turn] = np.concatenate([changed[1 - turn], *around])
    return pixels.reshape(height + 2, width + 2)[1:-1, 1:-1] > 0


def _removable() -> NDArray[np.bool_]:
    """Return, for both turns and all 256 neighbourhoods, whether a pixel goes: 2 x 256."""
    table = np.zeros((2, 256), dtype=bool)
    for number in range(256):
        around = [number >> k & 1 for k in range(8)]
        north, east, south, west = around[1::2]
        pieces = sum(around[k] < around[(k + 1) % 8] for k in range(8))
        if 2 <= sum(around) <= 6 and pieces == 1:
            table[0, number] = not north * east * south and not east * south * west
            table[1, number] = not north * east * west and not north * south * west
    for (first, second), numbers in DEPARTURES.items():
        table[0, numbers], table[1, numbers] = first, second
    return table


POWERS = (1 << np.arange(8)).astype(np.uint8)

KERNEL = np.array([[1, 2, 4], [128, 0, 8], [64, 32, 16]], dtype=np.uint8)
"""Makes the numbers of neighbourhoods."""

DEPARTURES = {
    (True, False): [3, 6, 11, 12, 14, 131, 134, 161, 194, 198],
    (False, True): [24, 26, 56, 96, 104, 108, 176, 192, 224],
    (True, True): [10, 40, 130, 160],
    (False, False): [48, 129],
}
"""Where scikit-image departs from the paper: (goes in the first turn, in the second) -> neighbourhoods.

The corners of a staircase go, and of two pixels side by side one stays: squares do not vanish.
"""

REMOVABLE = _removable()
