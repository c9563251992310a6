"""The table of calibration and confidence."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from medseg.metrics.calibration import COLDEST, HOTTEST
from medseg.reporting.certainty import VALUES, Certainty, certainties
from medseg.reporting.comparison import Comparison
from medseg.reporting.formatting import fixed, number
from medseg.reporting.render.table import Column, Table
from medseg.reporting.statistics import Array

TITLE = "Calibration and confidence"

SURE = 0.8
"""Share of the images, the most certain ones, whose Dice is displayed."""

HEADINGS = {
    "ece": ("ECE ↓", 4),
    "ece_scaled": ("ECE, scaled ↓", 4),
    "brier": ("Brier score ↓", 4),
    "brier_scaled": ("Brier score, scaled ↓", 4),
    "temperature": ("temperature", 2),
}
"""Name of a value -> heading and digits."""

NOTES = (
    "Of the pixels at the prepared size, each foreground class against the rest. ECE: mean gap between the probability "
    "and the share of pixels that are of the class, over 15 bins. Brier score: mean squared difference between the "
    "probability and 1 or 0. Most pixels are plain background: compare networks on a dataset, not datasets.",
    "Scaled: with a temperature that each run chose on its validation images; above 1, the network is too sure of "
    "itself. Nothing else here is scaled.",
    "Confidence: soft Dice of the prediction and its probabilities. Rejection ratio: what leaving out the least "
    "certain images gains in Dice, as a part of what the best order gains: 1 the best, 0 none.",
)


def certainty_table(comparison: Comparison) -> Table[Certainty]:
    """One row for each network on each dataset whose runs have stored it."""
    records = certainties(comparison)

    def of_seeds(
        key: str, title: str, digits: int, values: Callable[[Certainty], Array | None]
    ) -> list[Column[Certainty]]:
        """Return the columns of a value of each seed: mean, and in CSV the deviation."""

        def mean(record: Certainty) -> float | None:
            return mean_of(values(record))

        def text(record: Certainty) -> str:
            sd = sd_of(values(record))
            limit = " (limit)" if key == "temperature" and record.at_limit else ""
            return number(mean(record), digits) + ("" if sd is None else f" ± {number(sd, digits)}") + limit

        order = "ascending" if "↓" in title else ""
        return [
            Column(key, title, mean, text=text, number=True, order=order),
            Column(f"{key}_sd_over_seeds", value=lambda record: sd_of(values(record))),
        ]

    def value(name: str) -> Callable[[Certainty], Array | None]:
        return lambda record: record.values.get(name)

    columns: list[Column[Certainty]] = [
        Column("dataset", "dataset", lambda c: c.column.label),
        Column("network", "network", lambda c: c.row.label),
        *(column for name in VALUES for column in of_seeds(name, *HEADINGS[name], value(name))),
        *of_seeds("rejection_ratio", "rejection ratio", 2, lambda c: c.ratios),
        Column("dice", "Dice, all images", lambda c: c.dice_of(1), fixed(3), number=True),
        Column("dice_80", f"Dice, {100 * SURE:.0f} % most certain", lambda c: c.dice_of(SURE), fixed(3), number=True),
    ]
    several = any(len(values) > 1 for record in records for values in record.values.values())
    notes = [*NOTES, *(["± standard deviation over seeds."] if several else [])]
    if any(record.at_limit for record in records):
        notes.append(f"(limit): a run chose an end of {COLDEST:g} to {HOTTEST:g}; the best temperature may lie beyond.")
    if any(record.without_order for record in records):
        notes.append("Rejection ratio -: all images of a seed have the same Dice, so that no order of them is better.")
    return Table("calibration", TITLE, columns, records, tuple(notes))


def mean_of(values: Array | None) -> float | None:
    """Return the mean over seeds; None where a seed has no value."""
    return None if values is None or np.isnan(values).any() else float(values.mean())


def sd_of(values: Array | None) -> float | None:
    """Return the sample deviation over seeds; None for one seed, or where a seed has no value."""
    if values is None or len(values) < 2 or np.isnan(values).any():
        return None
    return float(values.std(ddof=1))
