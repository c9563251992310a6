"""The scores of a run's test images, as `test/per_image.csv` has them."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medseg.errors import UserError
from medseg.metrics.measures import mean_over_classes
from medseg.system.files import damaged, numbers, read_table

COUNTS = ("tp", "fp", "fn", "tn")

LARGEST = 1e100
"""Scores from here on count as infinite: their squares, and sums of these, must be numbers."""


@dataclass(frozen=True, eq=False)
class PerImage:
    """The scores of a run's test images.

    Args:
        ids: of the N images, in the order of the file.
        classes: the C foreground classes.
        counts: N x C x 4: tp, fp, fn, tn.
        background: N x 4, the same of the background; NaN where the file does not have them.
        classwise: score -> N x C: NaN where an image has none.
        infinite: scores of which infinite values were left out.
    """

    ids: tuple[str, ...]
    classes: tuple[str, ...]
    counts: NDArray[np.int64]
    background: NDArray[np.float64]
    classwise: Mapping[str, NDArray[np.float64]]
    infinite: tuple[str, ...] = ()

    @cached_property
    def scores(self) -> dict[str, NDArray[np.float64]]:
        """Score -> N: mean over the foreground classes that have a value, NaN where none has."""
        return {name: mean_over_classes(values) for name, values in self.classwise.items()}

    @property
    def content(self) -> Hashable:
        """All of it as one value, which equals that of a copy in whatever bytes."""
        scores = [(name, self.classwise[name].tobytes()) for name in sorted(self.classwise)]
        return self.ids, self.classes, self.counts.tobytes(), self.background.tobytes(), *scores

    def of_class(self, name: str) -> PerImage:
        """Return the scores of one foreground class."""
        k = self.classes.index(name)
        classwise = {score: values[:, [k]] for score, values in self.classwise.items()}
        unknown = np.full_like(self.background, np.nan)  # its background holds the other classes as well
        return PerImage(self.ids, (name,), self.counts[:, [k]], unknown, classwise, self.infinite)


def read_per_image(file: Path) -> PerImage:
    """Read `per_image.csv`; infinite scores become NaN.

    Raises `UserError` where it is missing, empty or damaged.
    """
    try:
        header, rows = read_table(file)
        if not header and not file.exists():
            raise UserError(f"{file}: missing, though the run is finished")
        columns = dict(zip(header, zip(*rows, strict=True), strict=True))
        ids, classes = tuple(dict.fromkeys(columns["id"])), tuple(dict.fromkeys(columns["class"]))
        shape = (len(ids), len(classes))
        # One row per image and class, the classes of an image together.
        if list(zip(columns["id"], columns["class"], strict=True)) != [(a, b) for a in ids for b in classes]:
            raise ValueError("not one row per image and class")
        values = {
            name: np.array(numbers(cells)).reshape(shape)
            for name, cells in columns.items()
            if name not in ("id", "class")
        }
        counts = np.stack([values.pop(name) for name in COUNTS], axis=-1)
        if not np.isfinite(counts).all() or (counts < 0).any():
            raise ValueError("a count of pixels is missing or negative")
    except (UserError, ValueError, KeyError) as error:
        reason = error if isinstance(error, UserError) else damaged(file, error)
        raise UserError(f"{reason}; repeat the run with force=true") from None
    if "background_tp" not in values:
        values["background_tp"] = np.full(shape, np.nan) if len(classes) > 1 else counts[..., 3]
    background = counts_of_background(counts, values.pop("background_tp")[:, 0])
    infinite = tuple(name for name, score in values.items() if (np.abs(score) >= LARGEST).any())
    for name in infinite:
        values[name] = np.where(np.abs(values[name]) >= LARGEST, np.nan, values[name])
    return PerImage(ids, classes, counts.astype(np.int64), background, values, infinite)


def counts_of_background(counts: NDArray[np.float64], right: NDArray[np.float64]) -> NDArray[np.float64]:
    """Make the counts of the background from those of the other classes. N x C x 4 -> N x 4.

    Args:
        counts: of the foreground classes.
        right: how many pixels of each image are background in truth and prediction, N.
    """
    pixels = counts[:, 0].sum(axis=-1)
    tp, fp, fn, _ = np.moveaxis(counts.sum(axis=1), -1, 0)
    too_much, missed = pixels - (tp + fp) - right, pixels - (tp + fn) - right
    return np.stack([right, too_much, missed, pixels - right - too_much - missed], axis=-1)
