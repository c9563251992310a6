"""The figure of the trainings: validation Dice and training loss over the epochs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes

from medseg.reporting.figures.artists import Array, add_bands
from medseg.reporting.figures.sheet import Entry, Plan, Sheet, scale_x, scale_y
from medseg.reporting.figures.style import Look, linear, looks, save, whole
from medseg.runs.run import Run

if TYPE_CHECKING:
    from medseg.reporting.comparison import Comparison
    from medseg.reporting.layout import Line

CURVES = (("val/dice", "validation Dice"), ("train/loss", "training loss"))
"""Columns of `metrics.csv`, and what they are called."""

MARKED = 12
"""Most epochs that get a marker each."""


def draw_curves(comparison: Comparison, folder: Path) -> Path | None:
    """Draw both over the epochs, in a panel for each dataset: mean over seeds, band from the lowest to the highest."""
    curves: dict[tuple[Line, Line], list[Array]] = {}
    for cell, content in comparison.cells.items():
        both = [epochs_of([run for run in content.runs if run.finished], key) for key, _ in CURVES]
        if any(np.isfinite(values).any() for values in both):
            curves[cell] = both
    rows = [row for row in comparison.rows if any(row == of for of, _ in curves)]
    columns = [column for column in comparison.columns if any(column == of for _, of in curves)]
    if not rows:
        return None
    look = looks(comparison.rows)
    longest = max(values.shape[1] for both in curves.values() for values in both)
    scales = [
        [linear([float(v) for (_, of), both in curves.items() if of == column for v in both[n].flat]) for n in (0, 1)]
        for column in columns
    ]
    several = any(len(values) > 1 for both in curves.values() for values in both)
    widest = max(scale.width for both in scales for scale in both)
    sheet = Sheet(
        Plan(
            [column.label for column in columns],
            heights=(1.7, 1.7),
            x_label="epoch",
            y_labels=[title for _, title in CURVES],
            legend=[Entry(row.label, line_of(look[row], marked=longest <= MARKED)) for row in rows],
            caption="line: mean over seeds; band: from the lowest to the highest seed" if several else "",
            first=widest,
            others=widest,
        )
    )
    for axes, column, vertical in zip(sheet.panels, columns, scales, strict=True):
        here = {row: curves[row, column] for row in rows if (row, column) in curves}
        epochs = whole(max(values.shape[1] for values in (v for two in here.values() for v in two)))
        for n, (axis, scale) in enumerate(zip(axes, vertical, strict=True)):
            scale_x(axis, epochs, labels=n == len(CURVES) - 1)
            scale_y(axis, scale)
            add_curves(axis, [(look[row], values[n]) for row, values in here.items()], marked=longest <= MARKED)
    return save(sheet.figure, folder / "curves")


def line_of(look: Look, *, marked: bool) -> dict[str, Any]:
    """Return the options of `Line2D` for a network's curve."""
    marker = look.marker if marked else ""
    return {"color": look.colour, "linestyle": look.dashes, "marker": marker, "markersize": 4, "linewidth": 1.3}


def add_curves(axis: Axes, curves: Sequence[tuple[Look, Array]], *, marked: bool) -> None:
    """Draw the mean of each network's seeds, and a band over them; the values are seeds x epochs.

    Epochs without a value, where only every nth is validated, are passed over.
    """
    bands: list[tuple[Array, Array, Array, str]] = []
    for look, every in curves:
        known = np.isfinite(every).all(axis=0)
        values, epochs = every[:, known], (np.flatnonzero(known) + 1).astype(np.float64)
        axis.plot(epochs, values.mean(axis=0), scalex=False, scaley=False, **line_of(look, marked=marked))
        if len(values) > 1:
            bands.append((epochs, values.min(axis=0), values.max(axis=0), look.colour))
    add_bands(axis, bands)


def epochs_of(runs: Sequence[Run], key: str) -> Array:
    """Return a column of `metrics.csv` of each run, runs x epochs, up to the last epoch that all of them have."""
    every = [run.epochs for run in runs]
    shared = min(map(len, every), default=0)
    return np.array([[row.get(key, np.nan) for row in rows[:shared]] for rows in every]).reshape(len(every), shared)
