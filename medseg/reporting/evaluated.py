"""How sure the scores of an evaluation are: the interval of its Dice, over groups of images where these are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from medseg.metrics.measures import MEASURES
from medseg.reporting.formatting import count
from medseg.reporting.samples import Sample
from medseg.reporting.statistics import Estimate, of_units
from medseg.runs.scores import read_per_image
from medseg.system.files import read_csv


def describe_interval(folder: Path) -> str:
    """Return a sentence with the 95 % interval of the mean Dice; empty where there are fewer than two units.

    Args:
        folder: of an evaluation, with `per_image.csv` and `images.csv`.
    """
    scores = read_per_image(folder / "per_image.csv")
    groups = {row["id"]: row["group"] for row in read_csv(folder / "images.csv", ("id", "group")) if row["group"]}
    sample = Sample(
        seeds=(0,),
        ids=scores.ids,
        scores={name: values[None] for name, values in scores.scores.items()},
        counts=scores.counts[None],
        background=scores.background[None],
        groups=tuple(groups.get(id_, f"image {id_}") for id_ in scores.ids) if groups else None,
    )
    if sample.unit_count < 2:
        return ""
    side = sample.side(MEASURES["dice"])
    low, high = Estimate(np.array([side.mean]), (of_units([side.per_unit]),)).interval()
    over = count(sample.unit_count, "group") + " of images" if groups else count(sample.unit_count, "image")
    return f"95 % interval of the mean Dice: {max(0.0, low[0]):.3f} to {min(1.0, high[0]):.3f}, over {over}"
