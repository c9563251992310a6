"""Figures of the tests: how far each network is from the best one, and how sure the ranks are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection

from medseg.reporting.figures.artists import add_numbers
from medseg.reporting.figures.content import Verdicts
from medseg.reporting.figures.scales import linear, whole
from medseg.reporting.figures.sheet import Sheet, scale_x
from medseg.reporting.figures.style import save
from medseg.reporting.pairs import MOST_NETWORKS
from medseg.reporting.statistics import Array

if TYPE_CHECKING:
    from medseg.reporting.line import Line
    from medseg.reporting.pairs import Pair

STATES: Mapping[str, dict[str, Any]] = {
    "better": {"color": "#009E73", "marker": "^"},
    "worse": {"color": "#D55E00", "marker": "v"},
    "equivalent": {"color": "#0072B2", "marker": "s"},
    "undecided": {"color": "black", "marker": "o", "markerfacecolor": "white"},
    "not judged": {"color": "0.6", "marker": "x"},
}
"""Colour and marker of each verdict."""

BEST: dict[str, Any] = {"color": "black", "marker": "*", "markersize": 9, "linestyle": ""}
"""The mark of the network that the others are compared with."""

LEAST = 0.05
"""Smallest share that is written."""

FAINTEST = 0.004
"""Smallest share that is drawn: its shade is that of white but for a hundredth."""

DARKEST = np.array([0.03, 0.25, 0.5])
"""Colour of a share of 1; smaller ones are lighter."""


def draw_differences(verdicts: Verdicts, folder: Path) -> list[Path]:
    """Draw how far each network is from the best one of a dataset, with the interval that the verdict is made of.

    Nothing where no network is compared with the best one.
    """
    against, best, measure = verdicts.against, verdicts.best, verdicts.measure
    if not against:
        return []
    rows = [row for row in verdicts.rows if any(row in pairs or row == best[of] for of, pairs in against.items())]
    states = {pair.state for pairs in against.values() for pair in pairs.values()}
    remarks = [f"{'higher' if measure.higher_is_better else 'lower'} is better"]
    remarks += ["bar: the interval that the verdict is made of"] if states - {"not judged"} else []
    marks = {state: {**mark, "linestyle": ""} for state, mark in STATES.items() if state in states}
    sheet = Sheet(
        [column.label for column in against],
        names=[row.label for row in rows],
        x_label=f"{measure.title} against the best, {measure.point_unit}",
        caption="; ".join(remarks),
        legend=[("best of the dataset", BEST), *marks.items()],
    )
    for (axis,), (column, pairs) in zip(sheet.panels, against.items(), strict=True):
        add_differences(axis, pairs, best[column], rows, measure.points)
    return save(sheet.figure, folder / "differences")


def add_differences(axis: Axes, pairs: Mapping[Line, Pair], best: Line, rows: Sequence[Line], points: float) -> None:
    """Draw a mark and an interval for each network that is compared with the best one; `points`: per difference."""
    bars, colours = [], []
    marks: dict[str, list[tuple[float, int]]] = {}
    for row, pair in pairs.items():
        y = rows.index(row)
        marks.setdefault(pair.state, []).append((points * pair.difference, y))
        if pair.low is not None and pair.high is not None:
            bars.append([(points * pair.low, y), (points * pair.high, y)])
            colours.append(STATES[pair.state]["color"])
    scale_x(axis, linear([0.0, *(x for one in (*bars, *marks.values()) for x, _ in one)]))
    axis.axvline(0, color="0.6", linewidth=1, zorder=1)
    axis.add_collection(LineCollection(bars, colors=colours, linewidths=1.6), autolim=False)
    for state, ends in marks.items():
        axis.plot(*zip(*ends, strict=True), **{"markersize": 6, "linestyle": "", "zorder": 3, **STATES[state]})
    axis.plot([0], [rows.index(best)], zorder=3, **BEST)


def draw_ranks(verdicts: Verdicts, folder: Path) -> list[Path]:
    """Draw how often each network is at each rank; nothing of a single network.

    The networks are sorted by their mean rank in the first panel, of very many the best alone.
    """
    networks, shares = len(verdicts.rows), verdicts.shares
    if networks < 2 or not shares:
        return []
    first, count = next(iter(shares.values())), min(networks, MOST_NETWORKS)
    mean = np.nansum(first * np.arange(networks), axis=1)
    order = np.argsort(np.where(np.isnan(first).all(axis=1), networks, mean), kind="stable")  # the unranked last
    order = order[:count]
    width = max(1.9, max(0.3, min(0.42, 2.6 / count)) * count)
    sheet = Sheet(
        list(shares),
        names=[verdicts.rows[k].label for k in order],
        x_label="rank",
        caption=f"percent of bootstrap samples in which a network is at a rank; no number below {100 * LEAST:.0f}"
        + (f"; the best {count} of {networks} networks" if count < networks else ""),
        width=width,
        beside=max(1, min(4, int(13 / width))),
    )
    scale = whole(count, most=20)
    for (axis,), share in zip(sheet.panels, shares.values(), strict=True):
        scale_x(axis, scale, grid=False)
        axis.set_xlim(0.5, count + 0.5)
        add_shares(axis, share[order, :count])
    return save(sheet.figure, folder / "ranks")


def add_shares(axis: Axes, shares: Array) -> None:
    """Draw shares, K x K, as shades of blue with their numbers."""
    shown = np.nan_to_num(shares) >= FAINTEST
    y, x = (line.astype(np.float64) for line in np.nonzero(shown))
    values = shares[shown]
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
