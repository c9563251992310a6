"""The figure of the trainings: validation Dice and training loss over the epochs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from medseg.reporting.figures.artists import add_bands
from medseg.reporting.figures.content import CURVES, Content
from medseg.reporting.figures.scales import linear, whole
from medseg.reporting.figures.sheet import Sheet, scale_x, scale_y
from medseg.reporting.figures.style import Look, looks, save
from medseg.reporting.figures.text import widest
from medseg.reporting.statistics import Array

MARKED = 12
"""Most epochs that get a marker each."""


def draw_curves(content: Content, folder: Path) -> list[Path]:
    """Draw both over the epochs, in a panel for each dataset: mean over seeds, band from the lowest to the highest."""
    rows, columns = content.shown(content.curves)
    if not rows:
        return []
    look = looks(content.rows)
    every = [values for both in content.curves.values() for values in both]
    marked = max(values.shape[1] for values in every) <= MARKED
    several = any(len(values) > 1 for values in every)
    here = {column: [row for row in rows if (row, column) in content.curves] for column in columns}
    panels = {
        column: [[(look[row], content.curves[row, column][n]) for row in of] for n in range(len(CURVES))]
        for column, of in here.items()
    }
    scales = [
        [linear(np.concatenate([values.ravel() for _, values in curves])) for curves in both]
        for both in panels.values()
    ]
    sheet = Sheet(
        [column.label for column in columns],
        heights=(1.7, 1.7),
        x_label="epoch",
        y_labels=list(CURVES.values()),
        legend=[(row.label, line_of(look[row], marked=marked)) for row in rows],
        caption="line: mean over seeds; band: from the lowest to the highest seed" if several else "",
        room=widest(scale for both in scales for scale in both),
    )
    for axes, both, vertical in zip(sheet.panels, panels.values(), scales, strict=True):
        epochs = whole(max(values.shape[1] for curves in both for _, values in curves))
        for axis, curves, scale in zip(axes, both, vertical, strict=True):
            scale_x(axis, epochs, labels=axis is axes[-1])
            scale_y(axis, scale)
            add_curves(axis, curves, marked=marked)
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
