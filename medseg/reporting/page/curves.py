"""What changed over the epochs, for each network and dataset: mean over the runs, band from lowest to highest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from medseg.reporting.comparison import Comparison
from medseg.reporting.page.markup import controls_html, legend_html, select_html
from medseg.reporting.page.scores import dataset_options, significant
from medseg.reporting.samples import curves_of
from medseg.runs.run import Run

KEYS = {
    "val/dice": "validation Dice",
    "val/iou": "validation IoU",
    "train/loss": "training loss",
    "val/loss": "validation loss",
    "lr": "learning rate",
}
"""Columns of `metrics.csv` -> title."""

MOST_POINTS = 300
"""Of a longer curve, every n-th epoch is shown."""


def curves_data(comparison: Comparison) -> dict[str, Any]:
    """Return the curves of each key, row and column: epochs, mean, lowest, highest; None where there is none."""
    cells = comparison.cells
    curves_of: dict[str, Any] = {}
    for key in KEYS:
        curves = [
            [
                curve(cells[row, column].runs if (row, column) in cells and not column.of else (), key)
                for column in comparison.columns
            ]
            for row in comparison.rows
        ]
        if any(one is not None for row in curves for one in row):
            curves_of[key] = {"title": KEYS[key], "cells": curves}
    return curves_of


def curve(runs: Sequence[Run], key: str) -> dict[str, Any] | None:
    """Return the curve of a cell's finished runs, of the epochs in which all of them have a finite value."""
    every = curves_of(runs, key)
    known = np.flatnonzero(np.isfinite(every).all(axis=0)).tolist()
    if not known:
        return None
    step = -(-len(known) // MOST_POINTS)
    shown = sorted({*known[::step], known[-1]})  # the last one is what the run ended with
    values = every[:, shown]
    lines = {"mean": values.mean(axis=0), "low": values.min(axis=0), "high": values.max(axis=0)}
    written = {name: [significant(value) for value in line.tolist()] for name, line in lines.items()}
    return {"epochs": [epoch + 1 for epoch in shown], "runs": len(every), **written}


def curves_html(comparison: Comparison, data: dict[str, Any]) -> str:
    """Write the frame of the curves; nothing where there are none."""
    if not data:
        return ""
    controls = controls_html(
        select_html("curves-key", "curve", [(key, curves["title"]) for key, curves in data.items()]),
        select_html("curves-dataset", "dataset", dataset_options(comparison, trained=True)),
        '<label>epoch<input type="range" id="curves-epoch" min="1" value="1"></label>',
    )
    return (
        f'{controls}<div class="plot" id="curves"></div>\n{legend_html("curves", "networks in the curves")}'
        '<p class="readout" id="curves-readout" aria-live="polite"></p>\n'
        '<p class="faint">Mean over the finished runs; band: from the lowest to the highest of them.</p>'
    )
