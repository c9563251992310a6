"""What the figures show of a comparison: small enough to be sent to the process that draws."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from medseg.errors import UserError
from medseg.metrics.measures import Measure
from medseg.reporting.certainty import Certainty, certainties
from medseg.reporting.comparison import best_row
from medseg.reporting.conclusions import Standing, standings_of
from medseg.reporting.learning import Curves, learning_curves
from medseg.reporting.line import Line
from medseg.reporting.pairs import Pair, pairs_with
from medseg.reporting.pictures import Candidate, prediction_candidates
from medseg.reporting.samples import curves_of
from medseg.reporting.statistics import Array
from medseg.runs.packed.archive import with_files

if TYPE_CHECKING:
    from medseg.reporting.comparison import Comparison
    from medseg.reporting.costs import Costs
    from medseg.reporting.ranks import Stability

log = logging.getLogger("medseg")

CURVES = {"val/dice": "validation Dice", "train/loss": "training loss"}
"""Columns of `metrics.csv`, and what they are called."""

Cells = Mapping[tuple[Line, Line], Array]
"""(row, column) -> what is known of it; cells of which nothing is known are absent."""


@dataclass(frozen=True)
class Content:
    """What the figures of scores, trainings and images show.

    Args:
        rows, columns: of the report.
        several: whether a cell has several seeds.
        measure: of the report.
        costs: of each row.
        means: the score of each seed.
        image_measure: a score of single images: the report's, or Dice where images have none.
        images: that score of the images, averaged over seeds; finite.
        curves: of each of `CURVES`, seeds x epochs.
        candidates: column -> the predictions that can be shown.
        learning: the score over the training images, of networks that were trained on several fractions.
        certainties: how sure the networks are, and whether rightly; of the cells of which it is known.
    """

    rows: Sequence[Line]
    columns: Sequence[Line]
    several: bool
    measure: Measure
    costs: Mapping[Line, Costs]
    means: Cells
    image_measure: Measure
    images: Cells
    curves: Mapping[tuple[Line, Line], Sequence[Array]]
    candidates: Mapping[Line, Sequence[Candidate]]
    learning: Curves
    certainties: Sequence[Certainty]

    def shown(self, cells: Mapping[tuple[Line, Line], object]) -> tuple[list[Line], list[Line]]:
        """Return the rows and the columns of which something is known."""
        rows, columns = {row for row, _ in cells}, {column for _, column in cells}
        return [row for row in self.rows if row in rows], [column for column in self.columns if column in columns]


def content_of(comparison: Comparison) -> Content:
    """Return what the figures show of a comparison, whose tests are not looked at."""
    measure, measures = comparison.measure, comparison.measures
    image_measure = next((one for one in measures.per_image if one.score == measure.score), measures["dice"])
    samples = {cell: content.sample for cell, content in comparison.cells.items() if content.sample is not None}
    means = {cell: sample.values(measure) for cell, sample in samples.items()}
    images = {cell: sample.per_image(image_measure.score) for cell, sample in samples.items()}
    images = {cell: scores[np.isfinite(scores)] for cell, scores in images.items()}
    trained = {cell: content for cell, content in comparison.cells.items() if not cell[1].of}
    curves = {cell: [curves_of(content.runs, key) for key in CURVES] for cell, content in trained.items()}
    candidates = {}
    for column in comparison.columns if samples else ():
        try:
            chosen = prediction_candidates(comparison, column, image_measure.score)
            # The run without all that has been read of it.
            candidates[column] = [replace(one, run=replace(one.run)) for one in chosen]
        except UserError as error:
            log.warning("no grid of %s: %s", column.label, with_files(str(error)))
    return Content(
        rows=comparison.rows,
        columns=comparison.columns,
        several=any(len(sample.seeds) > 1 for sample in samples.values()),
        measure=replace(measure, function=None),
        costs=comparison.costs,
        means={cell: seeds for cell, seeds in means.items() if np.isfinite(seeds).all()},
        image_measure=replace(image_measure, function=None),
        images={cell: scores for cell, scores in images.items() if len(scores)},
        curves={cell: both for cell, both in curves.items() if any(np.isfinite(one).any() for one in both)},
        candidates=candidates,
        learning=learning_curves(comparison),
        certainties=certainties(comparison),
    )


@dataclass(frozen=True)
class Verdicts:
    """What the figures of verdicts and ranks show.

    Args:
        rows: of the report.
        measure: of the report.
        best: column -> the row with the best mean.
        against: column -> row -> its pair with the best one, the row first; without columns that have none.
        shares: title of a panel -> rows x ranks, from 0 to 1: how often a row is at a rank; NaN where it is not ranked.
        standings: column -> the networks that have a score, the best mean first.
    """

    rows: Sequence[Line]
    measure: Measure
    best: Mapping[Line, Line]
    against: Mapping[Line, Mapping[Line, Pair]]
    shares: Mapping[str, Array]
    standings: Mapping[Line, Sequence[Standing]] = field(default_factory=dict)


def verdicts_of(comparison: Comparison) -> Verdicts:
    """Return what the figures show of the tests."""
    columns, rows, cells = comparison.columns, comparison.rows, comparison.cells
    here = {column: [cells[row, column] for row in rows if (row, column) in cells] for column in columns}
    best = {column: row for column, of in here.items() if (row := best_row(of, comparison.measure))}
    pairs = {column: [pair for pair in comparison.pairs if pair.column == column] for column in columns}
    against = {}
    for column, first in best.items():
        others = pairs_with(pairs[column], first)
        against[column] = {row: others[row].reversed() for row in rows if row in others}
    return Verdicts(
        rows=comparison.rows,
        measure=replace(comparison.measure, function=None),
        best=best,
        against={column: of for column, of in against.items() if of},
        shares=shares_of(comparison.rows, comparison.stability),
        standings={column: standings_of(here[column], pairs[column], comparison.measure) for column in columns},
    )


def shares_of(rows: Sequence[Line], stability: Stability[Line, Line] | None) -> dict[str, Array]:
    """Return title -> shares, rows x ranks; NaN in the rows that are not ranked there."""
    if stability is None:
        return {}
    overall = {"all datasets": stability.overall} if stability.overall else {}
    shares = {}
    for title, ranked in {**overall, **{column.label: one for column, one in stability.columns.items()}}.items():
        shares[title] = np.full((len(rows), len(rows)), np.nan)
        for row, values in zip(ranked.rows, ranked.shares, strict=True):
            shares[title][rows.index(row), : len(values)] = values
    return shares
