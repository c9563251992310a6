"""The comparison of a report as plain data: what every cell measured, which is best, who differs from whom."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace

import numpy as np

from medseg.metrics.measures import MEASURES, Measure, Measures
from medseg.reporting.cells import Cell, Score
from medseg.reporting.costs import Costs, Size, costs_of, read_benchmarks
from medseg.reporting.evaluation_columns import Evaluated
from medseg.reporting.layout import Layout, lay_out
from medseg.reporting.line import Line
from medseg.reporting.names import Names
from medseg.reporting.pairs import NOT_SHOWN_TO_DIFFER, Family, Pair, compare_pairs, count_wins, sides_of
from medseg.reporting.planning import Plan, Variances, plan
from medseg.reporting.ranks import Ranking, Stability, rank, rank_stability
from medseg.reporting.samples import Sample, gather, groups_of
from medseg.reporting.statistics import Array, Side, TrainingVariance, estimate_means
from medseg.reporting.tuning import check_tuning
from medseg.reporting.warnings import check_column, check_evaluated, check_measures
from medseg.runs.run import Run

CUT = 0.1
"""Half the width up to which the interval of a fraction is cut at 0 and 1; a wider one beyond them shows little."""

FEW_SEEDS = 5
"""Seeds below which an interval that is too wide is put down to them; with more, it is the images."""


@dataclass(frozen=True, eq=False)
class Comparison:
    """Rows against datasets under one measure.

    Args:
        measure: what ranks and verdicts are about.
        measures: all scores that the runs have.
        rows, columns: in their order; a dataset is followed by the columns of its runs' evaluations.
        cells: by row and column; a cell without a run is absent.
        costs: of each row.
        pairs: all pairs of rows of each column, as the rule judges them.
        wins: (row, other row) -> datasets on which the first is better, not shown to differ, worse.
        ranking: of the rows over the datasets; None with one dataset or one row.
        stability: how sure the ranks are; None with one row.
        plans: of each dataset, how many seeds and images it would take to tell 1 and 2 points.
        warnings: what makes rows of a column hard to compare.
        at: the size that the scores are taken at, such as `256 x 256`; empty for native size.
    """

    measure: Measure
    measures: Measures
    rows: tuple[Line, ...]
    columns: tuple[Line, ...]
    cells: Mapping[tuple[Line, Line], Cell]
    costs: Mapping[Line, Costs]
    pairs: tuple[Pair, ...]
    wins: Mapping[tuple[Line, Line], tuple[int, int, int]]
    ranking: Ranking[Line] | None
    stability: Stability[Line, Line] | None
    plans: tuple[tuple[Line, Plan], ...]
    warnings: tuple[str, ...]
    at: str = ""

    @property
    def datasets(self) -> tuple[Line, ...]:
        """The columns of the internal tests, which ranks over datasets are of."""
        return tuple(column for column in self.columns if column.of is None)

    def column_cells(self, column: Line) -> list[Cell]:
        """Return the cells of a dataset in the order of the rows."""
        return [self.cells[row, column] for row in self.rows if (row, column) in self.cells]


def measures_of(runs: Sequence[Run], at: str = "") -> Measures:
    """Return the table of scores as the first run was scored by it, with the custom metrics of all runs.

    `at`: the size that they are taken at, which their titles have then.
    """
    measures = MEASURES
    for run in runs:
        if run.finished:
            measures = measures.as_measured(run.summary)
    return Measures(replace(of, title=f"{of.title} at {at}") for of in measures.values()) if at else measures


def compare_runs(
    runs: Sequence[Run], measure: Measure, size: Size | None = None, names: Names | None = None
) -> Comparison:
    """Compare runs under a measure; arguments as of `score_runs`."""
    return with_verdicts(score_runs(runs, measure, size, names))


def score_runs(
    runs: Sequence[Run],
    measure: Measure,
    size: Size | None = None,
    names: Names | None = None,
    evaluated: Evaluated = (),
    at: str = "",
) -> Comparison:
    """Return what the cells of runs measured, without verdicts and ranks.

    Args:
        runs: in whatever state.
        measure: what ranks and verdicts are about.
        size: (height, width) of the benchmarks to show.
        names: what rows and columns are printed as.
        evaluated: some of the runs with their evaluations.
        at: the size that the scores are taken at, in words; empty for native size.
    """
    layout = lay_out(runs, names, evaluated)
    measures = measures_of([*runs, *(view for _, view in evaluated)], at)
    measure = measures.get(measure.name, measure)
    cells = {(cell.row, column): cell for column in layout.columns for cell in measure_column(layout, column, measures)}
    measured = read_benchmarks(runs)
    costs = {
        row: costs_of(
            [run for (r, column), several in layout.cells.items() if r == row and not column.of for run in several],
            measured,
            size,
        )
        for row in layout.rows
    }
    warnings = check_measures(runs)
    warnings += [warning for column in layout.columns for warning in check_column(cells, column)]
    warnings += [warning for column in layout.columns if column.of for warning in check_evaluated(layout, column)]
    warnings += check_tuning(list(cells.values()))
    return Comparison(
        measure, measures, layout.rows, layout.columns, cells, costs, (), {}, None, None, (), tuple(warnings), at
    )


def with_verdicts(comparison: Comparison) -> Comparison:
    """Return a comparison with all that the rule, the ranks and the plans add to it."""
    measure = comparison.measure
    values: dict[tuple[Line, Line], Array] = {}
    plans: list[tuple[Line, Plan]] = []
    for column in comparison.datasets:
        samples = on_shared_images(samples_under(comparison, measure, column), measure)
        several = {row: sample for row, sample in samples.items() if sample.unit_count > 1}
        values |= {(row, column): sample.pseudo_values(measure) for row, sample in several.items()}
        sides = [sample.side(measure) for sample in samples.values()]
        known = Variances.typical([side for side in sides if not np.isnan(side.seed_means).any()])
        if known is not None:  # what it would take to tell 1 and 2 points
            plans += [(column, plan(known, points / measure.points)) for points in (1, 2)]
    columns = [column for column in comparison.datasets if any(of == column for _, of in values)]
    stability = rank_stability(comparison.rows, columns, values, higher_is_better=measure.higher_is_better)
    return replace(under(comparison, measure), stability=stability if stability.columns else None, plans=tuple(plans))


def measure_column(layout: Layout, column: Line, measures: Measures) -> list[Cell]:
    """Measure the cells of a dataset."""
    here = {row: layout.cells[row, column] for row in layout.rows if (row, column) in layout.cells}
    groups = groups_of(run for runs in here.values() for run in runs)
    samples = {row: sample for row, runs in here.items() if (sample := gather(runs, groups)) is not None}
    scores = score_samples(samples, measures)
    cells = []
    for row, runs in here.items():
        seconds = [run.training_seconds for run in runs if run.finished and run.training_seconds is not None]
        mean = float(np.mean(seconds)) if seconds else None
        cells.append(Cell(row, column, runs, samples.get(row), scores.get(row, {}), training_seconds=mean))
    return cells


def score_samples(samples: Mapping[Line, Sample], measures: Measures) -> dict[Line, dict[str, Score]]:
    """Return the scores of the rows of a dataset; the variance between trainings is estimated from all of them."""
    scores: dict[Line, dict[str, Score]] = {row: {} for row in samples}
    for name, measure in measures.items():
        for row, score in score_under(samples, measure).items():
            scores[row][name] = score
    return scores


def score_under(samples: Mapping[Line, Sample], measure: Measure) -> dict[Line, Score]:
    """Return a measure of the rows of a dataset that have it."""
    sides = sides_of(samples, measure)
    if not sides:
        return {}
    trainings = TrainingVariance.of([side.seed_means for side in sides.values()])
    ends = estimate_means(list(sides.values()), trainings).interval()
    return {
        row: score_of(side, low, high, measure)
        for (row, side), low, high in zip(sides.items(), *(end.tolist() for end in ends), strict=True)
    }


def score_of(side: Side, low: float, high: float, measure: Measure) -> Score:
    """Return a measure of a row; a remark replaces an interval that leaves the range of the score."""
    sd = float(side.seed_means.std(ddof=1)) if side.seeds > 1 else None
    if len(side.per_unit) < 2:
        return Score(side.mean, sd, None, None)
    lowest = -np.inf if measure.lowest is None else measure.lowest
    highest = np.inf if measure.highest is None else measure.highest
    if (low < lowest or high > highest) and not (measure.highest is not None and high - low < 2 * CUT):
        few = "seeds" if 1 < side.seeds < FEW_SEEDS else "images"
        return Score(side.mean, sd, None, None, f"too few {few}")
    return Score(side.mean, sd, max(low, lowest), min(high, highest))


def under(comparison: Comparison, measure: Measure) -> Comparison:
    """Return the same comparison under another measure: other verdicts and ranks, the same scores.

    Without stability and plans, which take longer.
    """
    pairs = pairs_under(comparison, measure)
    cells = {
        (cell.row, column): cell
        for column in comparison.columns
        for cell in rank_cells(comparison.column_cells(column), measure, [p for p in pairs if p.column == column])
    }
    values = {key: cell.scores[measure.name].mean for key, cell in cells.items() if measure.name in cell.scores}
    return replace(
        comparison,
        measure=measure,
        cells=cells,
        pairs=tuple(pairs),
        wins=count_wins([pair for pair in pairs if pair.column.of is None]),
        ranking=rank(comparison.rows, comparison.datasets, values, higher_is_better=measure.higher_is_better),
        stability=None,
        plans=(),
    )


def pairs_under(
    comparison: Comparison, measure: Measure, images: Mapping[Line, Sequence[str]] | None = None
) -> list[Pair]:
    """Judge all pairs of a comparison under a measure; `images`: column -> ids of the test images, None for all."""
    pairs: list[Pair] = []
    for column in comparison.columns:
        samples = samples_under(comparison, measure, column)
        if images is not None:
            samples = restricted(samples, {*images.get(column, ())})
        pairs += compare_pairs(column, samples, measure)
    return pairs


def family_under(comparison: Comparison, measure: Measure, column: Line, images: Sequence[str] | None = None) -> Family:
    """Return the pairs of a column before they are judged; `images`: ids of the test images, None for all."""
    samples = samples_under(comparison, measure, column)
    return Family.of(samples if images is None else restricted(samples, {*images}), measure)


def samples_under(comparison: Comparison, measure: Measure, column: Line) -> dict[Line, Sample]:
    """Return the samples of a dataset that have a measure, in the order of the rows."""
    cells = comparison.column_cells(column)
    return {cell.row: cell.sample for cell in cells if cell.sample is not None and measure.name in cell.scores}


def on_shared_images(samples: Mapping[Line, Sample], measure: Measure) -> dict[Line, Sample]:
    """Return samples on the images of all of them that have a score in one; none where there are fewer than two."""
    if not samples:
        return {}
    shared = set.intersection(*({*sample.ids} for sample in samples.values()))
    shared -= frozenset.intersection(*(sample.without(measure) for sample in samples.values()))
    return restricted(samples, shared) if len(shared) > 1 else {}


def restricted(samples: Mapping[Line, Sample], images: Set[str]) -> dict[Line, Sample]:
    """Return samples on some images, without those that have none of them."""
    there = {row: [image for image in sample.ids if image in images] for row, sample in samples.items()}
    return {
        row: samples[row] if len(ids) == len(samples[row].ids) else samples[row].restricted(ids)
        for row, ids in there.items()
        if ids
    }


def means_of(cells: Iterable[Cell], measure: Measure) -> dict[Line, float]:
    """Return the mean of each row of a column that has the measure, the lower the better."""
    sign = -1 if measure.higher_is_better else 1
    return {cell.row: sign * cell.scores[measure.name].mean for cell in cells if measure.name in cell.scores}


def best_row(cells: Iterable[Cell], measure: Measure) -> Line | None:
    """Return the row with the best mean of a column, the first of equal ones; None where none has the measure."""
    means = means_of(cells, measure)
    return min(means, key=lambda row: means[row], default=None)


def ranks_of(cells: Sequence[Cell], measure: Measure) -> dict[Line, int]:
    """Return 1 for the best rows of a column, and 2 for the second of at least three; equal means share a rank.

    Nothing where a row has one seed: its mean is that of one training.
    """
    means = means_of(cells, measure)
    one_seed = any(cell.sample is None or len(cell.sample.seeds) < 2 for cell in cells if cell.row in means)
    if len(means) < 2 or one_seed:
        return {}
    ranks = dict(zip(sorted(set(means.values())), (1, 2) if len(means) > 2 else (1,), strict=False))
    return {row: ranks[mean] for row, mean in means.items() if mean in ranks}


def rank_cells(cells: Sequence[Cell], measure: Measure, pairs: Sequence[Pair]) -> list[Cell]:
    """Mark the best cells of a column, the second, and those not shown to differ from the best; `pairs`: of it."""
    ranks, best = ranks_of(cells, measure), best_row(cells, measure)
    alike = {
        row
        for pair in pairs
        if ranks and pair.state in NOT_SHOWN_TO_DIFFER and best in (pair.first, pair.second)
        for row in (pair.first, pair.second)
        if ranks.get(row) != 1
    }
    return [replace(cell, rank=ranks.get(cell.row), like_best=cell.row in alike) for cell in cells]
