"""Learning curves: the score of each network over the number of images that it was trained on (`data.fraction`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from medseg.reporting.cells import Cell
from medseg.reporting.comparison import Comparison
from medseg.reporting.labels import label_groups
from medseg.reporting.line import Facts, Line

FRACTION = "data.fraction"


@dataclass(frozen=True)
class Point:
    """The score of a network that was trained on some images.

    Args:
        images: of the training.
        mean: over seeds.
        low, high: 95 % interval of it, where it is known.
    """

    images: float
    mean: float
    low: float | None
    high: float | None


Curves = Mapping[Line, Mapping[Line, tuple[Point, ...]]]
"""Network -> dataset -> points, the fewest images first."""


def learning_curves(comparison: Comparison) -> Curves:
    """Return the curves of the networks that were trained on several fractions of a dataset; usually none."""
    networks: dict[tuple[str, Facts], list[Line]] = {}
    for row in comparison.rows:
        networks.setdefault((row.name, tuple(fact for fact in row.facts if fact[0] != FRACTION)), []).append(row)
    several = {key: rows for key, rows in networks.items() if len(rows) > 1}
    curves = {}
    for label, ((name, facts), rows) in zip(label_groups(several), several.items(), strict=True):
        found = {}
        for column in comparison.datasets:
            cells = [comparison.cells[row, column] for row in rows if (row, column) in comparison.cells]
            points = [point for cell in cells if (point := point_of(cell, comparison.measure.name)) is not None]
            if len({point.images for point in points}) > 1:
                found[column] = tuple(sorted(points, key=lambda point: point.images))
        if found:
            curves[Line(label, name, facts)] = found
    return curves


def point_of(cell: Cell, measure: str) -> Point | None:
    """Return what a cell is in a learning curve; None where its score or its training images are not known."""
    score = cell.scores.get(measure)
    counts = [run.dataset.get("counts", {}).get("train") for run in cell.runs if run.finished]
    known = [count for count in counts if count]
    if score is None or not known:
        return None
    return Point(sum(known) / len(known), score.mean, score.low, score.high)
