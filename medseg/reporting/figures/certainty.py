"""The figures of certainty: the reliability diagram, and the Dice when the least certain images are left out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from medseg.reporting.certainty import Certainty
from medseg.reporting.figures.content import Content
from medseg.reporting.figures.curves import line_of
from medseg.reporting.figures.scales import Scale, linear
from medseg.reporting.figures.sheet import Sheet, scale_x, scale_y
from medseg.reporting.figures.style import looks, save
from medseg.reporting.figures.text import widest
from medseg.reporting.line import Line

SIDE = 2.7
"""Of a reliability diagram, in inches."""

SHARE = Scale(-0.03, 1.03, [0, 0.25, 0.5, 0.75, 1], ["0", "0.25", "0.5", "0.75", "1"])

Panels = Mapping[Line, list[Certainty]]


def draw_reliability(content: Content, folder: Path) -> list[Path]:
    """Draw the share of true pixels over the predicted probability; a panel for each dataset."""
    panels = panels_of(content, "reliability")
    if not panels:
        return []
    look = looks(list(content.rows))
    sheet = Sheet(
        [column.label for column in panels],
        heights=(SIDE,),
        width=SIDE,
        x_label="predicted probability",
        y_labels=["share of pixels of the class"],
        legend=[(row.label, line_of(look[row], marked=True)) for row in shown(content, panels)],
        caption="dashed: perfectly calibrated; below it: too much probability; flatter: too sure of itself",
        room=widest([SHARE]),
    )
    for (axis,), certain in zip(sheet.panels, panels.values(), strict=True):
        scale_x(axis, SHARE)
        scale_y(axis, SHARE)
        axis.plot([0, 1], [0, 1], color="0.5", linestyle="--", linewidth=1, scalex=False, scaley=False)
        for one in certain:
            x, y, _ = one.reliability.T
            axis.plot(x, y, scalex=False, scaley=False, **line_of(look[one.row], marked=True))
    return save(sheet.figure, folder / "reliability")


def draw_error_detection(content: Content, folder: Path) -> list[Path]:
    """Draw the mean Dice of the most certain images over their share; a panel for each dataset."""
    panels = panels_of(content, "rejection")
    if not panels:
        return []
    look = looks(list(content.rows))
    # The first few images show little and would stretch the axis.
    curves = {one: tail_of(one) for several in panels.values() for one in several}
    scales = {
        column: linear(np.concatenate([curves[one][1] for one in several]), margin=0.1)
        for column, several in panels.items()
    }
    sheet = Sheet(
        [column.label for column in panels],
        x_label="share of the images that remain",
        y_labels=["Dice of the rest"],
        legend=[(row.label, line_of(look[row], marked=False)) for row in shown(content, panels)],
        caption="the least certain images are left out first; a level line: the confidence tells nothing",
        room=widest(scales.values()),
    )
    for (axis,), (column, several) in zip(sheet.panels, panels.items(), strict=True):
        scale_x(axis, SHARE)
        scale_y(axis, scales[column])
        for one in several:
            axis.plot(*curves[one], scalex=False, scaley=False, **line_of(look[one.row], marked=False))
    return save(sheet.figure, folder / "error_detection")


FEWEST = 0.1
"""Least share of the images that an error-detection curve is drawn of."""


def tail_of(certainty: Certainty) -> tuple[np.ndarray, np.ndarray]:
    """Return shares of the images that remain, and the mean Dice of these."""
    assert certainty.rejection is not None
    shares = np.arange(1, len(certainty.rejection) + 1) / len(certainty.rejection)
    some = shares >= FEWEST
    return shares[some], certainty.rejection[some]


def panels_of(content: Content, what: str) -> Panels:
    """Return dataset -> what is known of its networks and can be drawn."""
    drawn = [one for one in content.certainties if (values := getattr(one, what)) is not None and len(values) > 1]
    by_column = {column: [one for one in drawn if one.column == column] for column in content.columns}
    return {column: several for column, several in by_column.items() if several}


def shown(content: Content, panels: Panels) -> list[Line]:
    """Return the rows that are drawn in any panel."""
    there = {one.row for several in panels.values() for one in several}
    return [row for row in content.rows if row in there]
