"""What the panels of figures are drawn of, one artist for all networks: to make one for each takes twice the time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cbook import boxplot_stats
from matplotlib.collections import LineCollection, PathCollection, PolyCollection
from matplotlib.markers import MarkerStyle
from matplotlib.transforms import IdentityTransform
from numpy.typing import NDArray

from medseg.reporting.figures_style import Look

Array = NDArray[np.float64]

BOX, CAP = 0.3, 0.15
"""Half the height of a box and of the ends of its whiskers; the boxes are 1 apart."""


@dataclass(frozen=True)
class Bubble:
    """A network in a plot of a score against a cost.

    Args:
        place: on the horizontal axis.
        mean: on the vertical axis.
        spread: above and below it; NaN for none.
        area: square points.
        look: colour and marker.
    """

    place: float
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
        offsets=[(bubble.place, bubble.mean) for bubble in bubbles],
        offset_transform=axis.transData,
    )
    drawn.set_transform(IdentityTransform())  # the areas are of points, not of the axes' units
    axis.add_collection(drawn)
    for bubble in bubbles:
        if not np.isnan(bubble.spread):
            ends = [bubble.mean - bubble.spread, bubble.mean + bubble.spread]
            axis.plot([bubble.place] * 2, ends, color=bubble.look.colour, linewidth=1, marker="_", markersize=6)


def add_boxes(axis: Axes, boxes: Sequence[tuple[float, Array, str]]) -> None:
    """Draw lying boxes as `Axes.boxplot` does, with means: (place on the vertical axis, values, colour) of each."""
    if not boxes:
        return
    found: list[dict[str, Any]] = [boxplot_stats(values)[0] for _, values, _ in boxes]
    places = [place for place, _, _ in boxes]
    whiskers, rectangles, medians = [], [], []
    for place, one in zip(places, found, strict=True):
        for start, end in ((one["q1"], one["whislo"]), (one["q3"], one["whishi"])):
            whiskers += [[(start, place), (end, place)], [(end, place - CAP), (end, place + CAP)]]
        low, high = place - BOX, place + BOX
        rectangles.append([(one["q1"], low), (one["q1"], high), (one["q3"], high), (one["q3"], low)])
        medians.append([(one["med"], low), (one["med"], high)])
    colours = [colour for _, _, colour in boxes]
    style: Any = {"linewidths": 1.0, "joinstyle": "miter", "zorder": 2}
    axis.add_collection(PolyCollection(rectangles, facecolors=colours, edgecolors="black", alpha=0.55, **style))
    axis.add_collection(LineCollection(whiskers, colors="black", capstyle="projecting", **style))
    beyond = [one["fliers"] for one in found]
    heights = np.repeat(places, [len(values) for values in beyond])
    dots: Any = {"marker": ".", "markersize": 3, "markerfacecolor": "none", "markeredgecolor": "0.5"}
    axis.plot(np.concatenate(beyond), heights, linestyle="", **dots)
    axis.add_collection(LineCollection(medians, colors="black", linewidths=1.4, capstyle="butt", zorder=2.1))
    diamonds: Any = {"marker": "D", "markerfacecolor": "white", "markeredgecolor": "black", "markersize": 4}
    axis.plot([one["mean"] for one in found], places, linestyle="", zorder=2.1, **diamonds)


def add_bands(axis: Axes, bands: Sequence[tuple[Array, Array, Array, str]]) -> None:
    """Fill between lines, as `Axes.fill_between` does: (places, low, high, colour) of each; nothing at NaN."""
    shapes, colours = [], []
    for places, low, high, colour in bands:
        for some in np.ma.clump_unmasked(np.ma.masked_invalid(low + high)):  # type: ignore[no-untyped-call]
            upper = np.column_stack([places[some], high[some]])[::-1]
            shapes.append(np.concatenate([np.column_stack([places[some], low[some]]), upper]))
            colours.append(colour)
    if shapes:
        axis.add_collection(PolyCollection(shapes, facecolors=colours, alpha=0.18, linewidths=0))
