"""How sure the scores of an evaluation are: the interval of its Dice, over groups of images where these are known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from medseg.metrics.measures import MEASURES
from medseg.reporting.formatting import count
from medseg.reporting.samples import Sample
from medseg.reporting.statistics import Estimate, of_units
from medseg.runs.scores import PerImage, read_per_image
from medseg.system.files import read_csv


@dataclass(frozen=True)
class Interval:
    """The 95 % t interval of a mean Dice, within 0 and 1; `units`: how many images, or groups of them, it is over."""

    low: float
    high: float
    units: int


def dice_interval(scores: PerImage, groups: Mapping[str, str]) -> Interval | None:
    """Return the interval of the mean Dice of one test; None where there are fewer than two units.

    `groups`: image -> its group; empty where there are none.
    """
    sample = Sample(
        seeds=(0,),
        ids=scores.ids,
        scores={name: values[None] for name, values in scores.scores.items()},
        counts=scores.counts[None],
        background=scores.background[None],
        groups=tuple(groups.get(id_, f"image {id_}") for id_ in scores.ids) if groups else None,
    )
    if sample.unit_count < 2:
        return None
    side = sample.side(MEASURES["dice"])
    low, high = Estimate(np.array([side.mean]), (of_units([side.per_unit]),)).interval()
    return Interval(max(0.0, low[0]), min(1.0, high[0]), sample.unit_count)


def describe_interval(folder: Path) -> str:
    """Return a sentence with the 95 % interval of the mean Dice; empty where there are fewer than two units.

    Args:
        folder: of an evaluation, with `per_image.csv` and `images.csv`.
    """
    groups = {row["id"]: row["group"] for row in read_csv(folder / "images.csv", ("id", "group")) if row["group"]}
    interval = dice_interval(read_per_image(folder / "per_image.csv"), groups)
    if interval is None:
        return ""
    over = count(interval.units, "group") + " of images" if groups else count(interval.units, "image")
    return f"95 % interval of the mean Dice: {interval.low:.3f} to {interval.high:.3f}, over {over}"
