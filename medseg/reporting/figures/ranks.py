"""Figures of the tests: how sure the ranks are, and how far each network is from the best one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection

from medseg.metrics.measures import Measure
from medseg.reporting.figures.artists import Array, add_numbers
from medseg.reporting.figures.sheet import Entry, Plan, Sheet, fit_names, names_left, scale_x, ticks_x
from medseg.reporting.figures.style import linear, save, whole

if TYPE_CHECKING:
    from medseg.reporting.layout import Line
    from medseg.reporting.pairs import Pair

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


def draw_differences(
    pairs: Sequence[Pair], best: Mapping[Line, Line], rows: Sequence[Line], measure: Measure, stem: Path
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
            x_label=f"{measure.title} against the best, {measure.point_unit}",
            caption=describe(measure, states),
            legend=[
                Entry("best of the dataset", {**BEST, "linestyle": ""}),
                *(Entry(state, {**mark, "linestyle": ""}) for state, mark in STATES.items() if state in states),
            ],
            first=widest,
        )
    )
    for n, ((axis,), (column, by_row)) in enumerate(zip(sheet.panels, against.items(), strict=True)):
        names_left(axis, names, labels=sheet.is_first(n))
        add_differences(axis, by_row, best[column], shown, measure.points)
    return save(sheet.figure, stem)


def describe(measure: Measure, states: set[str]) -> str:
    """Say what the bars are, and on which side a network is better."""
    bars = ["bar: the interval that the verdict is made of"] if states - {"not judged"} else []
    return "; ".join([f"{'higher' if measure.higher_is_better else 'lower'} is better", *bars])


def against_best(pairs: Sequence[Pair], column: Line, best: Line) -> dict[Line, Pair]:
    """Return network -> its pair with the best one of a dataset, the network first."""
    here = [pair for pair in pairs if pair.column == column and best in (pair.first, pair.second)]
    turned = [pair if pair.second == best else pair.reversed() for pair in here]
    return {pair.first: pair for pair in turned}


def add_differences(axis: Axes, pairs: Mapping[Line, Pair], best: Line, rows: Sequence[Line], points: float) -> None:
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
    first = next(iter(shares.values()))
    mean = np.nansum(first * np.arange(count), axis=1)
    order = np.argsort(np.where(np.isnan(first).all(axis=1), count, mean), kind="stable")  # the unranked last
    names, widest, step = fit_names([labels[k] for k in order])
    side = max(0.3, min(0.42, 2.6 / count))
    width = max(1.9, side * count)
    sheet = Sheet(
        Plan(
            list(shares),
            heights=(step * count,),
            x_label="rank",
            caption=f"percent of bootstrap samples in which a network is at a rank; no number below {100 * LEAST:.0f}",
            width=width,
            first=widest,
            beside=max(1, min(4, int(13 / width))),
        )
    )
    for n, ((axis,), share) in enumerate(zip(sheet.panels, shares.values(), strict=True)):
        names_left(axis, names, labels=sheet.is_first(n))
        scale = whole(count, most=20)
        axis.set_xlim(0.5, count + 0.5)
        ticks_x(axis, scale.ticks, scale.labels)
        add_shares(axis, share[order])
    return save(sheet.figure, stem)


LEAST = 0.05
"""Smallest share that is written."""

DARKEST = np.array([0.03, 0.25, 0.5])
"""Colour of a share of 1; smaller ones are lighter."""


def add_shares(axis: Axes, shares: Array) -> None:
    """Draw shares, K x K, as shades of blue with their numbers."""
    y, x = (line.astype(np.float64) for line in np.nonzero(np.nan_to_num(shares) >= 0.002))
    values = shares[np.nan_to_num(shares) >= 0.002]
    corners = np.array([(0.5, -0.5), (1.5, -0.5), (1.5, 0.5), (0.5, 0.5)])
    squares = np.stack([x, y], axis=1)[:, None] + corners
    colours = 1 - (1 - DARKEST) * values[:, None]
    axis.add_collection(PolyCollection(squares, facecolors=colours, edgecolors="white", linewidths=0.6), autolim=False)
    written = values >= LEAST
    numbers = [f"{100 * value:.0f}" for value in values[written]]
    inks = ["white" if value > 0.5 else "black" for value in values[written]]
    add_numbers(axis, x[written] + 1, y[written], numbers, inks)
    for spine in axis.spines.values():
        spine.set_visible(False)
