"""Calibration and confidence on the page: reliability diagram and error detection, and their table."""

from __future__ import annotations

from typing import Any

from medseg.reporting.certainty import Certainty, certainties
from medseg.reporting.comparison import Comparison
from medseg.reporting.page.markup import controls_html, faint, legend_html, select_html
from medseg.reporting.page.scores import dataset_options

MOST_POINTS = 100
"""Of an error-detection curve of more images, every n-th is shown."""


def certainty_data(comparison: Comparison) -> list[list[dict[str, Any] | None]]:
    """Return what is drawn of each row and column; None where nothing is known, and empty where nothing is at all."""
    known = {(one.row, one.column): drawn_of(one) for one in certainties(comparison)}
    if not known:
        return []
    return [[known.get((row, column)) for column in comparison.columns] for row in comparison.rows]


def drawn_of(certainty: Certainty) -> dict[str, Any]:
    """Return the points of both diagrams: probability and share of each bin; share of the images and their Dice."""
    curve = [] if certainty.rejection is None else certainty.rejection.tolist()
    step = -(-len(curve) // MOST_POINTS) or 1
    kept = [*range(len(curve) - 1, -1, -step)][::-1]  # with all images, where the curve ends
    return {
        "bins": [[round(value, 4) for value in (x, y)] for x, y, _ in certainty.reliability.tolist()],
        "curve": [[round((k + 1) / len(curve), 4), round(curve[k], 4)] for k in kept],
    }


def certainty_html(comparison: Comparison, data: list[list[dict[str, Any] | None]], table: str) -> str:
    """Write the frame of both diagrams above the table; nothing where nothing is known."""
    if not data:
        return ""
    controls = controls_html(select_html("certainty-dataset", "dataset", dataset_options(comparison)))
    about = (
        "Reliability: of the pixels with a predicted probability, how many are of the class. Below the dashed line, "
        "the class is given too much probability; flatter than it, the network is too sure of itself. Error detection: "
        "the mean Dice of the images that remain when the least certain ones are left out; a level line: the "
        "confidence tells nothing."
    )
    return (
        f'{controls}<div class="beside"><div class="plot" id="reliability"></div>'
        f'<div class="plot" id="error-detection"></div></div>\n{legend_html("certainty", "networks in the diagrams")}'
        f"{faint(about)}\n{table}"
    )
