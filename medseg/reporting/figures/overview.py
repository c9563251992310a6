"""The figure at the start of a report: the score of every network with its interval, and how it stands to the best."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.collections import LineCollection

from medseg.reporting.conclusions import Standing, kind_of, kinds_of
from medseg.reporting.figures.content import Verdicts
from medseg.reporting.figures.scales import linear
from medseg.reporting.figures.scores import title_of
from medseg.reporting.figures.sheet import Sheet, scale_x
from medseg.reporting.figures.style import save
from medseg.reporting.line import Line
from medseg.reporting.pairs import MOST_NETWORKS

KINDS: Mapping[str, dict[str, Any]] = {
    "best": {"color": "#0072B2", "marker": "D", "markersize": 6.5},
    "alike": {"color": "#0072B2", "marker": "o", "markersize": 6},
    "behind": {"color": "0.45", "marker": "o", "markersize": 5.5, "markerfacecolor": "white"},
    "ahead": {"color": "black", "marker": "^", "markersize": 6},
    "unjudged": {"color": "black", "marker": "x", "markersize": 6},
}
"""How a network is drawn: the best one, one not shown to differ from it, a worse one, a better one, any other."""


def draw_overview(verdicts: Verdicts, folder: Path) -> list[Path]:
    """Draw mean and interval of the networks on each dataset, of very many networks the best ones.

    The networks are sorted by their mean rank on the datasets of the internal tests. Nothing where no dataset has two
    networks.
    """
    standings = {column: shown for column, shown in verdicts.standings.items() if len(shown) > 1}
    if not standings:
        return []
    internal = {column: shown for column, shown in standings.items() if column.of is None} or standings
    rows = sorted_rows(verdicts.rows, internal)
    measure, count = verdicts.measure, len(rows)
    rows = rows[:MOST_NETWORKS]
    kinds = kinds_of([one for shown in standings.values() for one in shown], measure)
    sheet = Sheet(
        [column.label for column in standings],
        names=[row.label for row in rows],
        x_label=title_of(measure),
        caption="mean over test images and seeds; line: its 95 % interval; the colour is the verdict on the difference"
        + ("; networks by their mean rank" if len(internal) > 1 else "")
        + (f"; the best {len(rows)} of {count} networks" if len(rows) < count else ""),
        legend=[(word, {**KINDS[kind], "linestyle": ""}) for kind, word in kinds.items()],
    )
    for (axis,), shown in zip(sheet.panels, standings.values(), strict=True):
        add_standings(axis, shown, rows)
    return save(sheet.figure, folder / "overview")


def sorted_rows(rows: Sequence[Line], standings: Mapping[Line, Sequence[Standing]]) -> list[Line]:
    """Sort the networks that have a score by their mean rank on the datasets that have them, the best first."""
    ranks: dict[Line, list[float]] = {}
    for shown in standings.values():
        for rank, one in enumerate(shown):
            ranks.setdefault(one.row, []).append(rank / (len(shown) - 1))
    there = [row for row in rows if row in ranks]
    return sorted(there, key=lambda row: sum(ranks[row]) / len(ranks[row]))


def add_standings(axis: Axes, standings: Sequence[Standing], rows: Sequence[Line]) -> None:
    """Draw the networks of a dataset, each at the height of its row."""
    bars, colours, ends = [], [], []
    for one in standings:
        if one.row in rows:
            look, y, score = KINDS[kind_of(one)], rows.index(one.row), one.score
            axis.plot([score.mean], [y], linestyle="", zorder=3, **look)
            ends.append(score.mean)
            if score.low is not None and score.high is not None:
                ends += [score.low, score.high]
                bars.append([(score.low, y), (score.high, y)])
                colours.append(look["color"])
    scale_x(axis, linear(ends))
    axis.add_collection(LineCollection(bars, colors=colours, linewidths=1.6), autolim=False)
