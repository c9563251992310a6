"""What all figures have in common: colours, sizes, how they are saved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from medseg.metrics.measures import MEASURES
from medseg.reporting.layout import Line
from medseg.runs.files import replacing

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#000000")
"""Okabe and Ito's, which the colour-blind can tell apart; without yellow, which is faint on white."""

MARKERS = ("o", "s", "D", "^", "v", "P", "X")
"""With their own number of steps, so that two of the same colour have another marker."""

DASHES = ("-", "--", ":", "-.")

STYLE: Any = {
    "backend": "agg",  # else matplotlib looks for a screen
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.alpha": 0.3,
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
}

DPI = 150

PANEL = 3.4
"""Width of a dataset's panel in inches."""

BESIDE = 4
"""Panels in a row."""


@dataclass(frozen=True)
class Look:
    """How a network is drawn in every figure."""

    colour: str
    marker: str
    dashes: str


def looks(rows: Sequence[Line]) -> dict[Line, Look]:
    """Give each row of the report a look of its own."""
    steps = len(COLOURS)
    return {
        row: Look(COLOURS[n % steps], MARKERS[(n + n // steps) % steps], DASHES[n // steps % len(DASHES)])
        for n, row in enumerate(rows)
    }


def title_of(score: str) -> str:
    """Name a score on an axis, with its unit."""
    measure = MEASURES[score]
    return f"{measure.title}, {measure.unit}" if measure.unit else measure.title


def panels(
    count: int, height: float, *, rows: int = 1, beside: int = BESIDE, **options: Any
) -> tuple[Figure, list[Axes]]:
    """Make a figure of `count` panels, `beside` one another at most, and `rows` such sets below one another."""
    wide = min(count, beside)
    lines = -(-count // wide) * rows
    figure = Figure(figsize=(PANEL * wide + 0.4, height * lines))
    axes = figure.subplots(lines, wide, squeeze=False, **options)
    for axis in axes.flat[count * rows :]:
        axis.set_visible(False)
    return figure, list(axes.flat[: count * rows])


def set_title(axis: Axes, text: str) -> None:
    """Put a title above a panel."""
    # Where it is put anyway; told so, matplotlib does not measure what else lies there, again and again.
    axis.set_title(text, y=1.0)


def legend_below(figure: Figure, handles: Sequence[Any], labels: Sequence[str], title: str) -> None:
    """Put a legend below all panels, and make the figure higher by that."""
    widest = max(map(len, labels))
    fitting = min(len(labels), max(1, int(figure.get_figwidth() * 10 / (widest + 6))))
    figure.set_figheight(figure.get_figheight() + 0.19 * (1 + -(-len(labels) // fitting)))
    figure.legend(handles, labels, loc="outside lower center", ncols=fitting, title=title)


def save(figure: Figure, file: Path) -> Path:
    """Write a figure as PNG, without what changes from one time or version to the next."""
    # Not savefig: for the layout it draws everything a second time.
    figure.set_dpi(DPI)
    canvas: Any = FigureCanvasAgg(figure)
    canvas.draw()
    with replacing(file) as partial:
        Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB").save(partial, format="PNG", dpi=(DPI, DPI))
    return file
