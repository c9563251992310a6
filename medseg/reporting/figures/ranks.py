"""Figures of what the tests say: how sure the ranks are, and how far each network is from the best one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection

from medseg.metrics.measures import Measure
from medseg.reporting.figures.artists import Array
from medseg.reporting.figures.sheet import Entry, Plan, Sheet, fit_names, names_left, scale_x
from medseg.reporting.figures.style import SMALL, linear, save, whole
from medseg.reporting.layout import Line

STATES: Mapping[str, dict[str, Any]] = {
    "better": {"color": "#009E73", "marker": "^"},
    "worse": {"color": "#D55E00", "marker": "v"},
    "equivalent": {"color": "#0072B2", "marker": "s"},
    "undecided": {"color": "black", "marker": "o", "markerfacecolor": "white"},
    "not judged": {"color": "0.6", "marker": "x"},
}
"""Colour and marker of each verdict."""

BEST: dict[str, Any] = {"color": "black", "marker": "*", "markersize": 9}
"""The mark of the network that the others are compared with."""


class Difference(Protocol):
    """What is drawn of a `Pair`: first - second on a dataset, and the verdict on the first."""

    @property
    def first(self) -> Line: ...
    @property
    def second(self) -> Line: ...
    @property
    def column(self) -> Line: ...
    @property
    def difference(self) -> float: ...
    @property
    def low(self) -> float | None: ...
    @property
    def high(self) -> float | None: ...
    @property
    def state(self) -> str: ...
    def reversed(self) -> Difference:
        """Return the same, seen from the second."""
        ...


def draw_differences(
    pairs: Sequence[Difference], best: Mapping[Line, Line], rows: Sequence[Line], measure: Measure, stem: Path
) -> Path | None:
    """Draw how far each network is from the best one of a dataset, with the interval that the verdict is made of.

    Args:
        pairs: of all datasets; those without the best network are passed over.
        best: dataset -> its best network; a panel for each, in this order.
        rows: networks, from the top.
        measure: that the differences are of.
        stem: of the files.

    Nothing where no network is compared with the best one.
    """
    against = {column: against_best(pairs, column, row) for column, row in best.items()}
    against = {column: by_row for column, by_row in against.items() if by_row}
    if not against:
        return None
    shown = [row for row in rows if any(row in by_row or row == best[column] for column, by_row in against.items())]
    states = {pair.state for by_row in against.values() for pair in by_row.values()}
    names, widest, step = fit_names([row.label for row in shown])
    sheet = Sheet(
        Plan(
            [column.label for column in against],
            heights=(step * len(shown) + 0.1,),
            x_label=f"difference from the best in {measure.title}, {measure.point_unit}",
            caption=describe(measure, states),
            legend=[
                Entry("best of the dataset", {**BEST, "linestyle": ""}),
                *(Entry(state, {**mark, "linestyle": ""}) for state, mark in STATES.items() if state in states),
            ],
            first=widest,
        )
    )
    for n, ((axis,), (column, by_row)) in enumerate(zip(sheet.panels, against.items(), strict=True)):
        names_left(axis, names, len(shown), labels=sheet.is_first(n))
        add_differences(axis, by_row, best[column], shown, measure.points)
    return save(sheet.figure, stem)


def describe(measure: Measure, states: set[str]) -> str:
    """Say what the bars are, and on which side a network is better."""
    bars = ["bar: the interval that the verdict is made of"] if states - {"not judged"} else []
    return "; ".join([f"mean difference, {'higher' if measure.higher_is_better else 'lower'} is better", *bars])


def against_best(pairs: Sequence[Difference], column: Line, best: Line) -> dict[Line, Difference]:
    """Return network -> its pair with the best one of a dataset, the network first."""
    here = [pair for pair in pairs if pair.column == column and best in (pair.first, pair.second)]
    turned = [pair if pair.second == best else pair.reversed() for pair in here]
    return {pair.first: pair for pair in turned}


def add_differences(
    axis: Axes, pairs: Mapping[Line, Difference], best: Line, rows: Sequence[Line], points: float
) -> None:
    """Draw a mark and an interval for each network that is compared with the best one; `points`: per difference."""
    heights = {row: y for y, row in enumerate(rows)}
    drawn = [(heights[row], pair) for row, pair in pairs.items()]
    bars = [(y, pair, pair.low, pair.high) for y, pair in drawn if pair.low is not None and pair.high is not None]
    ends = [value for _, _, low, high in bars for value in (low, high)]
    scale_x(axis, linear([points * value for value in [0.0, *ends, *(pair.difference for _, pair in drawn)]]))
    axis.axvline(0, color="0.6", linewidth=1, zorder=1)
    segments = [[(points * low, y), (points * high, y)] for y, _, low, high in bars]
    colours = [STATES[pair.state]["color"] for _, pair, _, _ in bars]
    axis.add_collection(LineCollection(segments, colors=colours, linewidths=1.6), autolim=False)
    for state, mark in STATES.items():
        marks = [(points * pair.difference, y) for y, pair in drawn if pair.state == state]
        if marks:
            axis.plot(*zip(*marks, strict=True), **{"markersize": 6, "linestyle": "", "zorder": 3, **mark})
    axis.plot([0], [heights[best]], **{"linestyle": "", "zorder": 3, **BEST})


def draw_ranks(labels: Sequence[str], shares: Mapping[str, Array], stem: Path) -> Path | None:
    """Draw how often each network is at each rank.

    Args:
        labels: of K networks.
        shares: title of a panel -> K x K, network x rank from the best, from 0 to 1; NaN where it is not known.
        stem: of the files.

    The networks are sorted by their mean rank in the first panel. Nothing is drawn of a single network.
    """
    count = len(labels)
    if count < 2 or not shares:
        return None
    first = np.nan_to_num(next(iter(shares.values())))
    order = np.argsort(first @ np.arange(count), kind="stable")
    names, widest, step = fit_names([labels[k] for k in order])
    side = max(0.3, min(0.42, 2.6 / count))
    width = max(1.9, side * count)
    sheet = Sheet(
        Plan(
            list(shares),
            heights=(step * count,),
            x_label="rank",
            caption=f"share of bootstrap samples in which a network is at a rank, in percent; below {LEAST:.0%}: empty",
            width=width,
            first=widest,
            beside=max(1, min(4, int(13 / width))),
        )
    )
    for n, ((axis,), share) in enumerate(zip(sheet.panels, shares.values(), strict=True)):
        names_left(axis, names, count, labels=sheet.is_first(n))
        scale = whole(count, most=20)
        axis.set_xticks(scale.ticks, scale.labels)
        add_shares(axis, share[order])
        axis.set_xlim(0.5, count + 0.5)
    return save(sheet.figure, stem)


LEAST = 0.01
"""Smallest share that is written."""


def add_shares(axis: Axes, shares: Array) -> None:
    """Draw shares as shades of blue with their numbers; K x K."""
    edges = np.arange(len(shares) + 1.0)
    options: Any = {"cmap": "Blues", "vmin": 0.0, "vmax": 1.15, "edgecolors": "white", "linewidth": 0.6}
    axis.pcolormesh(edges + 0.5, edges - 0.5, np.ma.masked_invalid(shares), **options)  # type: ignore[no-untyped-call]
    axis.grid(visible=False)
    for y, line in enumerate(shares):
        for x, share in enumerate(line):
            if share >= LEAST:
                colour = "white" if share > 0.6 else "black"
                text = f"{100 * share:.0f}"
                axis.text(x + 1, y, text, ha="center", va="center_baseline", color=colour, fontsize=SMALL - 0.5)
    for spine in axis.spines.values():
        spine.set_visible(False)
