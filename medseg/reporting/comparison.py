"""The comparison of a report as plain data: what every cell measured, which is best, who differs from whom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from medseg.reporting.costs import Costs, Size, costs_of
from medseg.reporting.layout import Layout, Line, lay_out
from medseg.reporting.measures import MEASURES, Measure
from medseg.reporting.pairs import Pair, Ranking, compare_pairs, count_wins, find_pair, rank
from medseg.reporting.records import Run
from medseg.reporting.samples import Array, Sample, gather
from medseg.reporting.statistics import bootstrap


@dataclass(frozen=True)
class Score:
    """A measure of a cell.

    Args:
        mean: over seeds.
        sd: over seeds, sample deviation; None for a single seed.
        low, high: 95 % bootstrap interval of the mean, over images and seeds; None where it cannot be drawn.
    """

    mean: float
    sd: float | None
    low: float | None
    high: float | None
    remark: str = ""


@dataclass(frozen=True)
class Cell:
    """A row on a dataset.

    Args:
        row, column: where it is.
        runs: all of them, in whatever state.
        sample: what the finished ones measured; None where none is.
        scores: name of the measure -> score; those that were measured.
        place: 1 for the best of the column, 2 for the second; equal means share a place.
        like_best: the test does not tell it from the best one.
        training_seconds: mean over the finished runs.
    """

    row: Line
    column: Line
    runs: tuple[Run, ...]
    sample: Sample | None
    scores: Mapping[str, Score]
    place: int | None = None
    like_best: bool = False
    training_seconds: float | None = None

    @property
    def unfinished(self) -> list[Run]:
        """The runs that the cell lacks."""
        return [run for run in self.runs if not run.finished]

    @property
    def unused(self) -> list[Run]:
        """Finished runs that are not in the cell's score, since another fold of their seed is missing."""
        used = self.sample.seeds if self.sample else ()
        return [run for run in self.runs if run.finished and run.seed not in used]


@dataclass(frozen=True)
class Comparison:
    """Rows against datasets under one measure.

    Args:
        measure: what the places and the tests are about.
        rows, columns: in their order.
        cells: by row and column; a cell without a run is not there.
        costs: of each row.
        pairs: the tests between all rows of each column.
        wins: (row, other row) -> datasets on which the first is better, undecided, worse.
        ranking: of the rows over the datasets; None with one dataset or one row.
        warnings: what makes rows of a column hard to compare.
    """

    measure: Measure
    rows: tuple[Line, ...]
    columns: tuple[Line, ...]
    cells: Mapping[tuple[Line, Line], Cell]
    costs: Mapping[Line, Costs]
    pairs: tuple[Pair, ...]
    wins: Mapping[tuple[Line, Line], tuple[int, int, int]]
    ranking: Ranking | None
    warnings: tuple[str, ...]
    measures: Mapping[str, Measure] = field(default_factory=lambda: MEASURES)
    stability: Any = None
    plans: tuple[Any, ...] = ()


def compare(runs: Sequence[Run], measure: Measure, size: Size | None = None) -> Comparison:
    """Compare runs under a measure; `size`: (height, width) of the benchmarks to show."""
    layout = lay_out(runs)
    cells: dict[tuple[Line, Line], Cell] = {}
    pairs: list[Pair] = []
    for column in layout.columns:
        found, tested = compare_column(layout, column, measure)
        cells |= {(cell.row, column): cell for cell in found}
        pairs += tested
    up = measure.higher_is_better
    values = {place: cell.scores[measure.name].mean for place, cell in cells.items() if measure.name in cell.scores}
    return Comparison(
        measure=measure,
        rows=layout.rows,
        columns=layout.columns,
        cells=cells,
        costs={
            row: costs_of([run for (r, _), of in layout.cells.items() if r == row for run in of], size)
            for row in layout.rows
        },
        pairs=tuple(pairs),
        wins=count_wins(pairs, higher_is_better=up),
        ranking=rank(layout.rows, layout.columns, values, higher_is_better=up),
        warnings=tuple(warning for column in layout.columns for warning in check_column(cells, column)),
    )


def compare_column(layout: Layout, column: Line, measure: Measure) -> tuple[list[Cell], list[Pair]]:
    """Measure the cells of a dataset and test all pairs of them."""
    cells = {}
    for row in layout.rows:
        runs = layout.cells.get((row, column))
        if runs:
            seconds = [run.training_seconds for run in runs if run.finished and run.training_seconds is not None]
            mean = float(np.mean(seconds)) if seconds else None
            cells[row] = Cell(row, column, runs, gather(runs), {}, training_seconds=mean)
    samples = {row: cell.sample for row, cell in cells.items() if cell.sample is not None}
    for group in same_images(samples):
        for row, ends in zip(group, intervals([samples[row] for row in group]), strict=True):
            cells[row] = replace(cells[row], scores=score_all(samples[row], ends))
    measured = {row: sample for row, sample in samples.items() if measure.name in cells[row].scores}
    pairs = compare_pairs(column, measured, measure)
    return place_cells(list(cells.values()), measure, pairs), pairs


def same_images(samples: Mapping[Line, Sample]) -> list[list[Line]]:
    """Group the rows that were tested on the same images: mostly all of them."""
    groups: dict[tuple[str, ...], list[Line]] = {}
    for row, sample in samples.items():
        groups.setdefault(sample.ids, []).append(row)
    return list(groups.values())


def intervals(samples: Sequence[Sample]) -> Array:
    """Return the bootstrap interval of each measure of samples on the same images, K x M x 2; NaN for a single one."""
    images = len(samples[0].ids)
    if images < 2:
        return np.full((len(samples), len(MEASURES), 2), np.nan)
    means = [sample.means(list(MEASURES.values())) for sample in samples]
    return np.stack(bootstrap(means, [len(sample.seeds) for sample in samples], images), axis=-1)


def score_all(sample: Sample, ends: Array) -> dict[str, Score]:
    """Return every measure that a sample has; `ends`: of the interval of each measure, NaN where there is none."""
    scores = {}
    for (low, high), measure in zip(ends, MEASURES.values(), strict=True):
        values = sample.values(measure)
        if np.isnan(values).any():
            continue
        scores[measure.name] = Score(
            mean=float(values.mean()),
            sd=float(values.std(ddof=1)) if len(values) > 1 else None,
            low=None if np.isnan(low) else float(low),
            high=None if np.isnan(high) else float(high),
        )
    return scores


def place_cells(cells: Sequence[Cell], measure: Measure, pairs: Sequence[Pair]) -> list[Cell]:
    """Mark the best cells of a column, the second ones, and those that are not told from the best."""
    sign = -1 if measure.higher_is_better else 1
    measured = [cell for cell in cells if measure.name in cell.scores]
    order = sorted({sign * cell.scores[measure.name].mean for cell in measured})
    placed = []
    for cell in cells:
        if cell not in measured or len(measured) < 2:
            placed.append(cell)
            continue
        place = order.index(sign * cell.scores[measure.name].mean) + 1
        best = next(other for other in measured if sign * other.scores[measure.name].mean == order[0])
        pair = find_pair(pairs, best.row, cell.row, cell.column)
        like = place > 1 and pair is not None and pair.state in ("undecided", "equivalent")
        judged = all(len(other.sample.seeds) > 1 for other in measured if other.sample)
        shown = place if judged and (place == 1 or (place == 2 and len(measured) > 2)) else None
        placed.append(replace(cell, place=shown, like_best=like))
    return placed


def check_column(cells: Mapping[tuple[Line, Line], Cell], column: Line) -> list[str]:
    """Say what makes the rows of a dataset hard to compare: other images, other sizes, other data."""
    here = [cell for (_, of), cell in cells.items() if of == column and cell.sample is not None]
    used = [run for cell in here for run in cell.runs if run.finished]
    warnings = []
    if len({cell.sample.ids for cell in here if cell.sample}) > 1:
        warnings.append(
            f"{column.label}: not all rows were tested on the same images; two rows are compared on those they share"
        )
    sizes = {tuple(run.summary.get("evaluation_size", ())) for run in used}
    if len(sizes) > 1:
        shown = ", ".join(" x ".join(map(str, size)) for size in sorted(sizes))
        warnings.append(f"{column.label}: the runs were tested at different sizes ({shown}); distances are in pixels")
    elif len({run.summary.get("data_identity") for run in used if run.fold is None}) > 1:
        warnings.append(f"{column.label}: the runs were tested on data that were prepared differently")
    return warnings
