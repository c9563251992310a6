"""The figure of learning curves: the score over the number of training images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.collections import LineCollection

from medseg.reporting.figures.content import Content
from medseg.reporting.figures.curves import line_of
from medseg.reporting.figures.scales import linear, logarithmic
from medseg.reporting.figures.scores import title_of
from medseg.reporting.figures.sheet import Sheet, scale_x, scale_y
from medseg.reporting.figures.style import looks, save
from medseg.reporting.figures.text import widest

BESIDE = 1.02
"""How far the points of two networks with as many images are apart, so that both intervals are seen."""


def draw_learning(content: Content, folder: Path) -> list[Path]:
    """Draw a line for each network that was trained on several fractions of a dataset; a panel for each dataset."""
    curves = content.learning
    if not curves:
        return []
    look = looks(list(curves))
    columns = [column for column in content.columns if any(column in of for of in curves.values())]
    points = {column: {row: of[column] for row, of in curves.items() if column in of} for column in columns}
    every = {column: [point for line in of.values() for point in line] for column, of in points.items()}
    ends = {column: [v for p in of for v in (p.mean, p.low, p.high) if v is not None] for column, of in every.items()}
    vertical = {column: linear(of, margin=0.1) for column, of in ends.items()}
    intervals = any(point.low is not None for of in every.values() for point in of)
    sheet = Sheet(
        [column.label for column in columns],
        x_label="training images",
        y_labels=[f"{title_of(content.measure)}{', mean over seeds' if content.several else ''}"],
        legend=[(row.label, line_of(look[row], marked=True)) for row in curves],
        caption="bar: 95 % interval of the mean, over test images and trainings" if intervals else "",
        room=widest(vertical.values()),
    )
    for (axis,), column in zip(sheet.panels, columns, strict=True):
        scale_x(axis, logarithmic([point.images for point in every[column]]))
        scale_y(axis, vertical[column])
        bars: list[Any] = []
        colours = []
        for n, (row, line) in enumerate(points[column].items()):
            shift = BESIDE ** (n - (len(points[column]) - 1) / 2)
            x = [point.images * shift for point in line]
            axis.plot(x, [p.mean for p in line], scalex=False, scaley=False, **line_of(look[row], marked=True))
            for at, point in zip(x, line, strict=True):
                if point.low is not None and point.high is not None:
                    bars.append([(at, point.low), (at, point.high)])
                    colours.append(look[row].colour)
        axis.add_collection(LineCollection(bars, colors=colours, linewidths=1.1, alpha=0.7), autolim=False)
    return save(sheet.figure, folder / "learning_curve")
