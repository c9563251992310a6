"""Panels, legend and caption on a sheet, all at positions in inches that follow from the widths of the texts.

The layouts of matplotlib draw everything several times to learn the widths, and put long legends outside of the canvas.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.transforms import ScaledTranslation

from medseg.reporting.figures.scales import Scale
from medseg.reporting.figures.text import LABEL, SMALL, TITLE, text_height, text_width, wrap

WIDTH, ALONE, HEIGHT = 2.7, 4.2, 1.9
"""Of a panel, in inches; `ALONE`: the width of a single one."""

EDGE, GAP = 0.12, 0.12
"""Between the rim of the canvas and what is drawn, and between things, in inches."""

NARROWEST = 5.0
"""Width of a sheet, in inches: what a caption needs."""

NAMES = 2.3
"""Widest names beside an axis, in inches."""

BETWEEN = 0.2
"""Between two panels, beside the labels of the second, in inches."""

HANDLE = 0.34
"""Width of the marks in a legend, in inches."""

PAD = 0.05
"""Between an axis and the labels of its ticks, in inches."""

TICKS = SMALL * 1.25 / 72 + 0.06
"""Height of the labels below an axis, in inches."""

Entry = tuple[str, Mapping[str, Any]]
"""A line of a legend: its text, and the options of `Line2D` that draw its mark."""


class Sheet:
    """A figure and its panels, each a column of axes from the top.

    Args:
        titles: of the panels.
        x_label: below each panel.
        y_labels: left of the first panel of each row, one for each axis.
        heights: of the axes of a panel, in inches.
        names: left of the first panel of each row, from the top, instead of ticks; the height follows from them.
        room: for the labels of the ticks left of each panel, in inches.
        legend: its entries.
        caption: sentences above the legend.
        width: of a panel, in inches; None for the usual one.
        beside: most panels in a row.
    """

    def __init__(
        self,
        titles: Sequence[str],
        *,
        x_label: str,
        y_labels: Sequence[str] = (),
        heights: Sequence[float] = (HEIGHT,),
        names: Sequence[str] = (),
        room: float = 0.0,
        legend: Sequence[Entry] = (),
        caption: str = "",
        width: float | None = None,
        beside: int = 4,
    ) -> None:
        self.x_label, self.y_labels = x_label, y_labels
        self.names = [wrap(name, NAMES, SMALL) for name in names]
        self.room = max((text_width(name, SMALL) for name in self.names), default=room)
        step = max(0.26, max((text_height(name, SMALL) for name in self.names), default=0) + 0.06)
        self.heights = [step * len(names) + 0.1] if names else heights
        self.width = width or (WIDTH if len(titles) > 1 else ALONE)
        columns = -(-len(titles) // -(-len(titles) // beside))  # as even as possible
        left = EDGE + (0.26 if y_labels else 0.0) + self.room + 0.06
        across = self.width + (0.0 if names else self.room) + BETWEEN
        used = left + self.width + across * (columns - 1) + EDGE + 0.08
        whole = max(used, NARROWEST)
        left += (whole - used) / 2
        wrapped = [wrap(title, self.width + 0.1, TITLE) for title in titles]
        lines = [wrapped[n : n + columns] for n in range(0, len(wrapped), columns)]
        heads = [max(text_height(title, TITLE) for title in line) + 0.06 for line in lines]
        caption = wrap(caption, whole - 2 * EDGE, SMALL, lines=6)
        below = text_height(caption, SMALL) + (GAP / 2 if caption else 0)
        entries = Legend(legend, whole - 2 * EDGE)
        foot = TICKS + text_height(x_label, LABEL) + 0.02 + GAP
        stack = sum(self.heights) + GAP * (len(self.heights) - 1)
        height = EDGE + sum(head + stack + foot for head in heads) + below + entries.height + EDGE
        self.figure = Figure(figsize=(whole, height))
        self.panels: list[list[Axes]] = []
        top = height - EDGE
        for line, head in zip(lines, heads, strict=True):
            top -= head
            for n, title in enumerate(line):
                self.add_panel(left + across * n, top, title, first=n == 0)
            top -= stack + foot
        write(self.figure, whole / 2, top, caption, size=SMALL, va="top", color="0.25")
        entries.draw(self.figure, (whole - entries.width) / 2, top - below)

    def add_panel(self, x: float, top: float, title: str, *, first: bool) -> None:
        """Add the axes of a panel below one another; the first panel of a row has labels at its left."""
        middle, axes = x + self.width / 2, []
        write(self.figure, middle, top + 0.06, title, size=TITLE, va="bottom")
        for n, height in enumerate(self.heights):
            top -= height + (GAP if n else 0.0)
            axis = self.figure.add_axes(inches(self.figure, x, top, self.width, height))
            axis.xaxis.set_visible(False)  # `scale_x` and `scale_y` draw what is to be seen of them
            axis.yaxis.set_visible(False)
            axes.append(axis)
            if first and self.y_labels:
                label, at = wrap(self.y_labels[n], height + 0.2, LABEL, lines=2), x - self.room - 0.1
                write(self.figure, at, top + height / 2, label, rotation=90, ha="right", va="center")
        if self.names:
            axes[0].set_ylim(len(self.names) - 0.5, -0.5)
            ticks_y(axes[0], range(len(self.names)), self.names if first else ())
        write(self.figure, middle, top - TICKS, self.x_label, va="top")
        self.panels.append(axes)


def inches(figure: Figure, x: float, y: float, width: float, height: float) -> tuple[float, float, float, float]:
    """Return a rectangle, given in inches, as matplotlib takes it."""
    whole, high = figure.get_size_inches()
    return x / whole, y / high, width / whole, height / high


def write(
    figure: Figure, x: float, y: float, text: str, *, size: float = LABEL, ha: str = "center", **options: Any
) -> None:
    """Write a text at a position in inches from the lower left."""
    options = {"fontsize": size, "ha": ha, "linespacing": 1.1, **options}
    figure.text(x, y, text, transform=figure.dpi_scale_trans, **options)


class Legend:
    """The entries of a legend in as many columns as fit, filled column by column.

    Args:
        entries: from the top.
        width: that there is, in inches.
    """

    def __init__(self, entries: Sequence[Entry], width: float) -> None:
        wrapped = [(wrap(label, width - HANDLE - 0.1, LABEL, lines=3), mark) for label, mark in entries]
        for lines in range(1, len(wrapped) + 1):
            self.columns = [wrapped[n : n + lines] for n in range(0, len(wrapped), lines)]
            self.widths = [HANDLE + max(text_width(label, LABEL) for label, _ in one) + 0.2 for one in self.columns]
            self.width = sum(self.widths) - 0.2
            if self.width <= width:
                break
        else:
            self.columns, self.widths, self.width = [], [], 0.0
        highest = max((text_height(label, LABEL) for label, _ in wrapped), default=0.0)
        self.step = highest + 0.03
        self.height = self.step * max(map(len, self.columns), default=0)

    def draw(self, figure: Figure, x: float, top: float) -> None:
        """Draw the legend with its upper left corner at a position in inches."""
        for column, width in zip(self.columns, self.widths, strict=True):
            for n, (label, mark) in enumerate(column):
                y = top - (n + 0.5) * self.step
                ends = [x + 0.02, x + HANDLE - 0.08] if mark.get("linestyle") else [x + HANDLE / 2 - 0.03]
                options: Any = {"transform": figure.dpi_scale_trans, **mark}
                figure.add_artist(Line2D(ends, [y] * len(ends), **options))
                write(figure, x + HANDLE, y, label, ha="left", va="center_baseline")
            x += width


def scale_x(axis: Axes, scale: Scale, *, labels: bool = True, grid: bool = True) -> None:
    """Give the horizontal axis a scale; `labels`: whether its ticks have labels.

    They are texts, since matplotlib's ticks take half of the time of a figure. A label that would reach to the next
    panel or over the one before is left out.
    """
    axis.set_xscale(scale.kind)
    axis.set_xlim(scale.low, scale.high)
    if grid:
        add_grid(axis, [[(x, 0), (x, 1)] for x in scale.ticks], axis.get_xaxis_transform())
    figure: Any = axis.figure
    below = axis.get_xaxis_transform() + ScaledTranslation(0, -PAD, figure.dpi_scale_trans)
    pixels = axis.transData.transform([(x, 0) for x in scale.ticks])[:, 0] if labels and scale.ticks else ()
    before, after = -BETWEEN / 2, (axis.bbox.width / figure.dpi) + BETWEEN / 2
    for x, label, pixel in zip(scale.ticks, scale.labels, pixels, strict=False):
        middle, half = (pixel - axis.bbox.x0) / figure.dpi, text_width(label, SMALL) / 2
        if before <= middle - half and middle + half <= after:
            figure.text(x, 0, label, transform=below, ha="center", va="top", fontsize=SMALL)
            before = middle + half + 0.03


def scale_y(axis: Axes, scale: Scale) -> None:
    """Give the vertical axis a scale."""
    axis.set_ylim(scale.low, scale.high)
    ticks_y(axis, scale.ticks, scale.labels)
    add_grid(axis, [[(0, y), (1, y)] for y in scale.ticks], axis.get_yaxis_transform())


def ticks_y(axis: Axes, ticks: Sequence[float], labels: Sequence[str]) -> None:
    """Write labels left of the vertical axis."""
    figure: Any = axis.figure
    left = axis.get_yaxis_transform() + ScaledTranslation(-PAD, 0, figure.dpi_scale_trans)
    options: Any = {"ha": "right", "va": "center_baseline", "fontsize": SMALL, "linespacing": 1.05}
    for y, label in zip(ticks, labels, strict=False):
        figure.text(0, y, label, transform=left, **options)


def add_grid(axis: Axes, lines: Sequence[Any], transform: Any) -> None:
    """Draw grid lines, below everything else."""
    drawn = LineCollection(lines, colors="0.9", linewidths=0.8, zorder=0.5, transform=transform)
    axis.add_collection(drawn, autolim=False)
