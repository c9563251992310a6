"""What the panels of figures are drawn of, one artist for all networks: to make one for each takes twice the time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cbook import boxplot_stats
from matplotlib.collections import LineCollection, PathCollection, PolyCollection
from matplotlib.markers import MarkerStyle
from matplotlib.path import Path
from matplotlib.textpath import TextPath
from matplotlib.transforms import Affine2D, IdentityTransform

from medseg.reporting.figures.style import Look
from medseg.reporting.figures.text import SMALL
from medseg.reporting.statistics import Array

BOX, CAP = 0.3, 0.15
"""Half the height of a box and of the ends of its whiskers; the boxes are 1 apart."""

FEWEST = 5
"""Values that a box needs: fewer are drawn as dots."""

DIAMOND: Any = {"marker": "D", "markerfacecolor": "white", "markeredgecolor": "black", "markersize": 4, "linestyle": ""}
"""The mark of a mean."""


@dataclass(frozen=True)
class Bubble:
    """A network in a plot of a score against a cost.

    Args:
        x: the cost.
        mean: the score.
        spread: above and below it; NaN for none.
        area: square points.
        look: colour and marker.
    """

    x: float
    mean: float
    spread: float
    area: float
    look: Look


def add_bubbles(axis: Axes, bubbles: Sequence[Bubble]) -> None:
    """Draw bubbles, the first at the bottom, and their bars above them all."""
    if not bubbles:
        return
    markers = [MarkerStyle(bubble.look.marker) for bubble in bubbles]
    drawn = PathCollection(
        [marker.get_path().transformed(marker.get_transform()) for marker in markers],
        [bubble.area for bubble in bubbles],
        facecolors=[bubble.look.colour for bubble in bubbles],
        edgecolors="white",
        linewidths=1.0,
        alpha=0.75,
        offsets=[(bubble.x, bubble.mean) for bubble in bubbles],
        offset_transform=axis.transData,
    )
    drawn.set_transform(IdentityTransform())  # the areas are of points, not of the axes' units
    axis.add_collection(drawn, autolim=False)
    for bubble in bubbles:
        if not np.isnan(bubble.spread):
            ends = [bubble.mean - bubble.spread, bubble.mean + bubble.spread]
            axis.plot([bubble.x] * 2, ends, color=bubble.look.colour, linewidth=1, marker="_", markersize=6)


def add_boxes(axis: Axes, boxes: Sequence[tuple[float, Array, str]]) -> None:
    """Draw lying boxes as `Axes.boxplot` does, with means: (y, values, colour) of each; few values as dots."""
    dots: Any = {"marker": "o", "markersize": 4, "alpha": 0.75, "linestyle": ""}
    whiskers, rectangles, medians, colours, beyond = [], [], [], [], []
    for y, values, colour in boxes:
        if len(values) < FEWEST:
            axis.plot(values, np.full(len(values), y), color=colour, **dots)
            continue
        one = boxplot_stats(values)[0]
        for start, end in ((one["q1"], one["whislo"]), (one["q3"], one["whishi"])):
            whiskers += [[(start, y), (end, y)], [(end, y - CAP), (end, y + CAP)]]
        low, high = y - BOX, y + BOX
        rectangles.append([(one["q1"], low), (one["q1"], high), (one["q3"], high), (one["q3"], low)])
        medians.append([(one["med"], low), (one["med"], high)])
        colours.append(colour)
        beyond += [(x, y) for x in one["fliers"]]
    style: Any = {"linewidths": 1.0, "joinstyle": "miter", "zorder": 2}
    for drawn in (
        PolyCollection(rectangles, facecolors=colours, edgecolors="black", alpha=0.55, **style),
        LineCollection(whiskers, colors="black", capstyle="projecting", **style),
        LineCollection(medians, colors="black", linewidths=1.4, capstyle="butt", zorder=2.1),
    ):
        axis.add_collection(drawn, autolim=False)
    if beyond:
        small: Any = {"marker": ".", "markersize": 3, "markerfacecolor": "none", "markeredgecolor": "0.5"}
        axis.plot(*zip(*beyond, strict=True), linestyle="", **small)
    axis.plot([values.mean() for _, values, _ in boxes], [y for y, _, _ in boxes], zorder=2.1, **DIAMOND)


def add_bands(axis: Axes, bands: Sequence[tuple[Array, Array, Array, str]]) -> None:
    """Fill between lines, as `Axes.fill_between` does: (x, low, high, colour) of each; nothing at NaN."""
    shapes, colours = [], []
    for x, low, high, colour in bands:
        for some in np.ma.clump_unmasked(np.ma.masked_invalid(low + high)):  # type: ignore[no-untyped-call]
            upper = np.column_stack([x[some], high[some]])[::-1]
            shapes.append(np.concatenate([np.column_stack([x[some], low[some]]), upper]))
            colours.append(colour)
    if shapes:
        axis.add_collection(PolyCollection(shapes, facecolors=colours, alpha=0.18, linewidths=0), autolim=False)


def add_numbers(axis: Axes, x: Array, y: Array, numbers: Sequence[str], colours: Sequence[str]) -> None:
    """Write numbers, their middles at (x, y), as outlines in one artist: hundreds of texts would take a second."""
    if not numbers:
        return
    drawn = PathCollection(
        [outline(number) for number in numbers],
        [1.0],
        facecolors=list(colours),
        linewidths=0,
        offsets=np.column_stack([x, y]),
        offset_transform=axis.transData,
    )
    drawn.set_transform(IdentityTransform())  # the outlines are in points
    axis.add_collection(drawn, autolim=False)


@cache
def outline(number: str) -> Path:
    """Return the outline of a number, its middle at 0."""
    path = TextPath((0, 0), number, size=SMALL - 0.5)
    ends = path.vertices.min(axis=0) + path.vertices.max(axis=0)
    return path.transformed(Affine2D().translate(*(-ends / 2)))
