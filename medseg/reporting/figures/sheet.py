"""Panels, legend and caption on a sheet, all at positions in inches that follow from the widths of the texts.

The layouts of matplotlib draw everything several times to learn the widths, and put long legends outside of the canvas.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.transforms import ScaledTranslation, Transform

from medseg.reporting.figures.style import LABEL, SMALL, TITLE, Look, Scale
from medseg.reporting.figures.text import text_height, text_width, wrap

WIDTH, ALONE, HEIGHT = 2.7, 4.2, 1.9
"""Of a panel, in inches; `ALONE`: the width of a single one."""

BESIDE = 4
"""Panels in a row, at most."""

EDGE, GAP = 0.12, 0.12
"""Between the rim of the canvas and what is drawn, and between things, in inches."""

NARROWEST = 5.0
"""Width of a sheet, in inches: what a caption needs."""

BETWEEN = 0.2
"""Between two panels, beside the labels of the second, in inches."""

HANDLE = 0.34
"""Width of the marks in a legend, in inches."""

PAD = 0.05
"""Between an axis and the labels of its ticks, in inches."""

TICKS = SMALL * 1.25 / 72 + 0.06
"""Height of the labels below an axis, in inches."""


@dataclass(frozen=True)
class Entry:
    """A line of a legend: its text, and the options of `Line2D` that draw its mark."""

    label: str
    mark: Mapping[str, Any]

    @classmethod
    def of(cls, look: Look, label: str) -> Entry:
        """Return the entry of a network whose mark is a marker."""
        return cls(label, {"color": look.colour, "marker": look.marker, "linestyle": "", "markersize": 6.5})


@dataclass(frozen=True)
class Plan:
    """What a sheet has beside the contents of its panels.

    Args:
        titles: of the panels; each is a column of as many axes as there are `heights`.
        heights: of the axes of a panel, from the top, in inches.
        x_label: below each panel.
        y_labels: left of the first panel of each row, one for each of `heights`.
        legend: its entries.
        caption: sentences above the legend.
        width: of a panel, in inches; None for the usual one.
        first: room for the labels of the ticks left of the first panel of each row, in inches.
        others: the same for the other panels; 0 where they share those of the first.
        beside: most panels in a row.
    """

    titles: Sequence[str]
    heights: Sequence[float] = (HEIGHT,)
    x_label: str = ""
    y_labels: Sequence[str] = ()
    legend: Sequence[Entry] = ()
    caption: str = ""
    width: float | None = None
    first: float = 0.0
    others: float = 0.0
    beside: int = BESIDE


@dataclass
class Sheet:
    """A figure and its axes: for each panel, from the top.

    Args:
        plan: what it is made of.
    """

    plan: Plan
    figure: Figure = field(init=False)
    panels: list[list[Axes]] = field(init=False)

    @property
    def panel_width(self) -> float:
        """Width of a panel, in inches."""
        return self.plan.width or (WIDTH if len(self.plan.titles) > 1 else ALONE)

    @property
    def columns(self) -> int:
        """Panels in a row: as even as possible."""
        count = len(self.plan.titles)
        return -(-count // -(-count // self.plan.beside))

    def is_first(self, panel: int) -> bool:
        """Tell whether a panel is the first of its row."""
        return panel % self.columns == 0

    def __post_init__(self) -> None:
        plan, panel = self.plan, self.panel_width
        columns = self.columns
        lines = -(-len(plan.titles) // columns)
        beside_axis = 0.26 if any(plan.y_labels) else 0.0
        left = EDGE + beside_axis + plan.first + 0.06
        step = panel + plan.others + BETWEEN
        right = EDGE + 0.08
        used = left + panel + step * (columns - 1) + right
        width = max(used, NARROWEST)
        left += (width - used) / 2
        titles = [wrap(title, panel + 0.1, TITLE) for title in plan.titles]
        caption = wrap(plan.caption, width - 2 * EDGE, SMALL, lines=6) if plan.caption else ""
        legend = Legend.fit(plan.legend, width - 2 * EDGE)
        heads = [
            max(text_height(title, TITLE) for title in titles[line * columns : (line + 1) * columns])
            for line in range(lines)
        ]
        stack = sum(plan.heights) + 0.12 * (len(plan.heights) - 1)
        foot = TICKS + (text_height(plan.x_label, LABEL) + 0.02 if plan.x_label else 0)
        below = (text_height(caption, SMALL) + GAP / 2 if caption else 0) + legend.height
        height = EDGE + sum(head + 0.06 + stack + foot + GAP for head in heads) + below + EDGE
        self.figure = Figure(figsize=(width, height))
        self.panels = []
        top = height - EDGE
        for line, head in enumerate(heads):
            top -= head + 0.06
            for n, title in enumerate(titles[line * columns : (line + 1) * columns]):
                x = left + step * n
                write(self.figure, x + panel / 2, top + 0.06, title, size=TITLE, va="bottom")
                self.panels.append(self.stacked(x, top, first=n == 0, label_at=x - plan.first - 0.1))
                if plan.x_label:
                    write(self.figure, x + panel / 2, top - stack - TICKS, plan.x_label, va="top")
            top -= stack + foot + GAP
        if caption:
            write(self.figure, width / 2, top, caption, size=SMALL, va="top", color="0.25")
            top -= text_height(caption, SMALL) + GAP / 2
        legend.draw(self.figure, (width - legend.width) / 2, top)

    def stacked(self, x: float, top: float, *, first: bool, label_at: float) -> list[Axes]:
        """Add the axes of a panel below one another; the first panel of a row has labels at its left."""
        width, height = self.figure.get_size_inches()
        axes = []
        for n, high in enumerate(self.plan.heights):
            top -= high + (0.12 if n else 0.0)
            axis = self.figure.add_axes((x / width, top / height, self.panel_width / width, high / height))
            axis.xaxis.set_visible(False)  # `ticks_x` and `ticks_y` draw what is to be seen of them
            axis.yaxis.set_visible(False)
            axes.append(axis)
            if first and n < len(self.plan.y_labels):
                label = wrap(self.plan.y_labels[n], high + 0.2, LABEL, lines=2)
                write(self.figure, label_at, top + high / 2, label, rotation=90, ha="right", va="center")
        return axes


def write(
    figure: Figure, x: float, y: float, text: str, *, size: float = LABEL, ha: str = "center", **options: Any
) -> None:
    """Write a text at a position in inches from the lower left."""
    options = {"fontsize": size, "ha": ha, "linespacing": 1.1, **options}
    figure.text(x, y, text, transform=figure.dpi_scale_trans, **options)


@dataclass(frozen=True)
class Legend:
    """The entries of a legend in columns, filled column by column.

    Args:
        columns: entries of each, their labels wrapped.
        widths: of the columns, in inches.
        heights: of the lines, in inches.
    """

    columns: Sequence[Sequence[Entry]]
    widths: Sequence[float]
    heights: Sequence[float]

    @property
    def width(self) -> float:
        """Of all columns, in inches."""
        return sum(self.widths)

    @property
    def height(self) -> float:
        """Of all lines, in inches."""
        return sum(self.heights)

    @classmethod
    def fit(cls, entries: Sequence[Entry], width: float) -> Legend:
        """Set entries into as many columns as fit into a width."""
        if not entries:
            return cls((), (), ())
        wrapped = [Entry(wrap(one.label, width - HANDLE - 0.1, LABEL, lines=3), one.mark) for one in entries]
        for count in range(len(wrapped), 0, -1):
            lines = -(-len(wrapped) // count)
            columns = [wrapped[n : n + lines] for n in range(0, len(wrapped), lines)]
            widths = [HANDLE + max(text_width(one.label, LABEL) for one in column) + 0.2 for column in columns]
            if sum(widths) <= width + 0.2:
                break
        heights = [
            max(text_height(column[n].label, LABEL) for column in columns if n < len(column)) + 0.03
            for n in range(lines)
        ]
        return cls(columns, [*widths[:-1], widths[-1] - 0.2], heights)

    def draw(self, figure: Figure, x: float, top: float) -> None:
        """Draw the legend with its upper left corner at a position in inches."""
        for column, width in zip(self.columns, self.widths, strict=True):
            y = top
            for entry, height in zip(column, self.heights, strict=False):
                middle = y - height / 2
                ends = [x + 0.02, x + HANDLE - 0.08] if entry.mark.get("linestyle") else [x + HANDLE / 2 - 0.03]
                options: Any = {"transform": figure.dpi_scale_trans, **entry.mark}
                figure.add_artist(Line2D(ends, [middle] * len(ends), **options))
                write(figure, x + HANDLE, middle, entry.label, ha="left", va="center_baseline")
                y -= height
            x += width


def scale_x(axis: Axes, scale: Scale, *, labels: bool = True, kind: str = "linear") -> None:
    """Give the horizontal axis a scale; `labels`: whether the ticks have labels; `kind`: linear or log."""
    axis.set_xscale(kind)
    axis.set_xlim(scale.low, scale.high)
    ticks_x(axis, scale.ticks, scale.labels if labels else ())
    axis.add_collection(grid([[(x, 0), (x, 1)] for x in scale.ticks], axis.get_xaxis_transform()), autolim=False)


def scale_y(axis: Axes, scale: Scale) -> None:
    """Give the vertical axis a scale."""
    axis.set_ylim(scale.low, scale.high)
    ticks_y(axis, scale.ticks, scale.labels)
    axis.add_collection(grid([[(0, y), (1, y)] for y in scale.ticks], axis.get_yaxis_transform()), autolim=False)


def grid(lines: Sequence[Any], transform: Transform) -> LineCollection:
    """Return grid lines, below everything else."""
    return LineCollection(lines, colors="0.9", linewidths=0.8, zorder=0.5, transform=transform)


def ticks_x(axis: Axes, ticks: Sequence[float], labels: Sequence[str]) -> None:
    """Write labels below the horizontal axis; as texts, since matplotlib's ticks take half of the time of a figure.

    A label that would reach to the next panel or over the one before is left out.
    """
    figure: Any = axis.figure
    below = axis.get_xaxis_transform() + ScaledTranslation(0, -PAD, figure.dpi_scale_trans)
    inches = axis.get_position().width * figure.get_figwidth()
    at = axis.transData.transform([(x, 0) for x in ticks])[:, 0] if ticks else ()
    before = -BETWEEN / 2
    for x, label, pixels in zip(ticks, labels, at, strict=False):
        middle = axis.transAxes.inverted().transform((pixels, 0))[0] * inches
        half = text_width(label, SMALL) / 2
        if middle - half >= before and middle + half <= inches + BETWEEN / 2:
            figure.text(x, 0, label, transform=below, ha="center", va="top", fontsize=SMALL)
            before = middle + half + 0.03


def ticks_y(axis: Axes, ticks: Sequence[float], labels: Sequence[str]) -> None:
    """Write labels left of the vertical axis."""
    figure: Any = axis.figure
    left = axis.get_yaxis_transform() + ScaledTranslation(-PAD, 0, figure.dpi_scale_trans)
    options: Any = {"ha": "right", "va": "center_baseline", "fontsize": SMALL, "linespacing": 1.05}
    for y, label in zip(ticks, labels, strict=False):
        figure.text(0, y, label, transform=left, **options)


def names_left(axis: Axes, names: Sequence[str], *, labels: bool) -> None:
    """Give the vertical axis a step for each name, from the top; `labels`: whether the names are written."""
    axis.set_ylim(len(names) - 0.5, -0.5)
    if labels:
        ticks_y(axis, range(len(names)), names)


NAMES = 2.3
"""Widest names beside an axis, in inches."""


def fit_names(labels: Sequence[str]) -> tuple[list[str], float, float]:
    """Break names for the ticks of a vertical axis; return them, their width and the step that they need, in inches."""
    names = [wrap(label, NAMES, SMALL) for label in labels]
    widest = max(text_width(name, SMALL) for name in names)
    return names, widest, max(0.26, max(text_height(name, SMALL) for name in names) + 0.06)
