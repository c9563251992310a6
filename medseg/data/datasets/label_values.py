"""From the values in a user's masks to classes: two values of any kind, or class indices.

The rules, over all masks at once:

1. A lossily stored mask (JPEG, lossy WebP) can only be black and white: values above 127 are foreground. Up to 5 %
   of its pixels may be mid-grey (64 to 191). Such masks do not enter the rules below.
2. Without a number of classes given:
   a. values 0, 1, ..., K - 1 without a gap, 2 <= K <= 255: class indices;
   b. exactly two values: the lower is background, the higher foreground;
   c. otherwise two readings are tried, the commonest pair of values within a mask, and the longest run 0, 1, ...
      without a gap. The one that covers more masks stands, if that is at least half of them; masks with other values
      are reported one by one. When neither does, the data are refused.
3. With a number of classes K given: values 0 to K - 1 are class indices, whether all of them occur or not; for
   K = 2 otherwise any two values as in 2b and 2c. Masks with other values are reported one by one, unless the masks
   read as a different number of classes altogether: then K is refused.
4. Masks that all hold one and the same value are refused: there is nothing to learn. A single mask may well be all
   background or all foreground; rule 2b takes the pair from the other masks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from medseg.data.datasets.layout import value_list
from medseg.errors import ConfigError, DataError

MAX_CLASSES = 255
"""Class maps are uint8, and 255 is the value of pixels to ignore."""


@dataclass(frozen=True)
class MaskValues:
    """The values in one mask; of a lossily stored one, the classes 0 and 1 that it shows."""

    values: frozenset[int]
    lossy: bool = False


@dataclass(frozen=True)
class Labels:
    """How mask values become classes.

    Args:
        values: `values[c]` is the value that means class c.
    """

    values: tuple[int, ...]

    @property
    def num_classes(self) -> int:
        """Number of classes, the background included."""
        return len(self.values)

    def unexpected(self, mask: MaskValues) -> list[int]:
        """Values of a mask that mean no class, sorted; a lossy mask has none."""
        return [] if mask.lossy else sorted(mask.values.difference(self.values))

    def to_classes(self, labels: np.ndarray) -> np.ndarray:
        """Class map, H x W uint8, of a losslessly stored mask all of whose values are known."""
        classes = np.zeros(65536, np.uint8)
        classes[list(self.values)] = np.arange(len(self.values), dtype=np.uint8)
        return classes[labels]


def find_labels(masks: Sequence[MaskValues], num_classes: int | None, where: str) -> Labels:
    """Decide how the values of all masks are to be read; see the rules above.

    Args:
        masks: what each mask holds, one mask at least.
        num_classes: where the user gave it.
        where: the source, for messages.

    Raises `ConfigError` where `num_classes` does not fit and `DataError` where the values make no sense.
    """
    if num_classes is not None and not 2 <= num_classes <= MAX_CLASSES:
        raise ConfigError(f"num_classes={num_classes}: it counts the background and must be 2 to {MAX_CLASSES}")
    lossless = [mask.values for mask in masks if not mask.lossy]
    values = frozenset[int]().union(*lossless)
    lossy = frozenset[int]().union(*(mask.values for mask in masks if mask.lossy))
    _refuse_single_value(values | {255 * number for number in lossy}, num_classes, where)
    if lossy and len(values) < 2 and num_classes in (None, 2):
        return Labels((0, max(values, default=0) or 255))  # beside the JPEGs only masks all empty, or all full
    labels = _given(lossless, values, num_classes, where) if num_classes else _guessed(lossless, values, where)
    if lossy and labels.num_classes > 2:
        raise DataError(
            f"{where}: a JPEG mask can only be black and white, which does not go with {labels.num_classes} classes; "
            "save all masks as PNG"
        )
    return labels


def _refuse_single_value(values: frozenset[int], num_classes: int | None, where: str) -> None:
    """Raise `DataError` for masks that all hold one value, unless that is a foreground class of the number given."""
    if len(values) == 1 and not 0 < min(values) < (num_classes or 0):
        raise DataError(f"{where}: every mask holds {value_list(values)} and nothing else; there is nothing to segment")


def _guessed(masks: Sequence[frozenset[int]], values: frozenset[int], where: str) -> Labels:
    run = _run_from_zero(values)
    if len(run) == len(values) <= MAX_CLASSES:
        return Labels(run)
    pair = tuple(sorted(values)) if len(values) == 2 else _commonest_pair(masks)
    best = max((pair, run), key=lambda reading: _count_covered(masks, reading))
    if 2 <= len(best) <= MAX_CLASSES and 2 * _count_covered(masks, best) >= len(masks):
        return Labels(best)
    raise DataError(
        f"{where}: the masks hold {len(values)} different values ({value_list(values)}), neither two values nor class "
        "indices 0, 1, 2, ... without a gap; give data.num_classes if they are indices, threshold grey masks first"
    )


def _given(masks: Sequence[frozenset[int]], values: frozenset[int], num_classes: int, where: str) -> Labels:
    reading = tuple(range(num_classes))
    if values.issubset(reading):
        return Labels(reading)
    without_gap = len(_run_from_zero(values)) == len(values)
    if num_classes == 2:
        reading = tuple(sorted(values)) if len(values) == 2 else _commonest_pair(masks)
    if not without_gap and 2 * _count_covered(masks, reading) >= len(masks):
        return Labels(reading)
    raise ConfigError(f"{where}: num_classes={num_classes} does not fit the masks, which hold {value_list(values)}")


def _run_from_zero(values: frozenset[int]) -> tuple[int, ...]:
    """The longest run 0, 1, 2, ... in the values."""
    length = next(number for number in range(len(values) + 1) if number not in values)
    return tuple(range(length))


def _commonest_pair(masks: Sequence[frozenset[int]]) -> tuple[int, ...]:
    """The pair of values that most masks hold and hold alone; the lower pair among equals; () without any."""
    pairs = Counter(tuple(sorted(mask)) for mask in masks if len(mask) == 2)
    return min(pairs, key=lambda pair: (-pairs[pair], pair), default=())


def _count_covered(masks: Sequence[frozenset[int]], reading: Sequence[int]) -> int:
    """Number of masks that hold no other values; -1 for a reading of fewer than two values."""
    return sum(mask.issubset(reading) for mask in masks) if len(reading) > 1 else -1
