"""What networks lose on other data: the score of the internal test against that of an external one.

The images of the two tests are independent of each other, so the variances over them add up. The trainings are the same
ones: the difference is taken for each seed, and its variance between seeds counts, pooled over the networks of a column
as that of the scores is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from medseg.metrics.measures import Measure
from medseg.reporting.cells import Cell
from medseg.reporting.comparison import FEW_SEEDS, Comparison
from medseg.reporting.evaluation_columns import command_line
from medseg.reporting.line import Line
from medseg.reporting.samples import Sample
from medseg.reporting.statistics import Estimate, Side, TrainingVariance, of_units
from medseg.runs.packed.archive import shown


@dataclass(frozen=True, eq=False)
class Drop:
    """A network on the internal test, that of its run, and on an external one, with the seeds that have both.

    Args:
        row, column: the network, and the external test.
        own, external: mean scores of the internal and the external test; None where it has no seed with both, as all
            below.
        drop: how much worse the external one is, in the unit of the score; below 0 where it is better.
        low, high: 95 % t interval of it; None where a test has one image or group alone, or with a remark.
        seeds: how many have both.
        cells: of the internal and of the external test.
        remark: why there is no interval; empty otherwise.
    """

    row: Line
    column: Line
    own: float | None
    external: float | None
    drop: float | None
    low: float | None
    high: float | None
    seeds: int
    cells: tuple[Cell, Cell]
    remark: str = ""


def find_drops(comparison: Comparison, column: Line) -> list[Drop]:
    """Return the drop of each network in the column of an external test, in the order of the rows.

    A network whose internal test has not measured the score is left out (`check_drops` reports it).
    """
    measure, own_column = comparison.measure, own_test(comparison, column)
    pairs: dict[Line, tuple[Cell, Cell]] = {}
    sides: dict[Line, tuple[Side, Side]] = {}
    for row in comparison.rows:
        own = comparison.cells.get((row, own_column)) if own_column else None
        external = comparison.cells.get((row, column))
        if own is None or external is None or lacks(own, measure):
            continue
        pairs[row] = own, external
        if own.sample is not None and external.sample is not None:
            both = sides_on_shared_seeds(own.sample, external.sample, measure)
            if both is not None:
                sides[row] = both
    estimate = estimate_differences(list(sides.values())) if sides else Estimate(np.empty(0), ())
    low, high = estimate.interval() if sides else (np.empty(0), np.empty(0))
    sign = 1 if measure.higher_is_better else -1
    drops = []
    number = {row: k for k, row in enumerate(sides)}
    for row, cells_of_row in pairs.items():
        if row not in number:
            drops.append(Drop(row, column, None, None, None, None, None, 0, cells_of_row))
            continue
        k, (one, other) = number[row], sides[row]
        ends = sorted((sign * float(low[k]), sign * float(high[k])))
        known = min(len(one.per_unit), len(other.per_unit)) > 1
        remark = too_wide(ends[0], ends[1], one.seeds, measure) if known else ""
        known &= not remark
        drops.append(
            Drop(
                row,
                column,
                one.mean,
                other.mean,
                sign * float(estimate.mean[k]),
                ends[0] if known else None,
                ends[1] if known else None,
                one.seeds,
                cells_of_row,
                remark,
            )
        )
    return drops


def lacks(cell: Cell, measure: Measure) -> bool:
    """Whether the finished runs of a cell have not measured a score."""
    return cell.sample is not None and measure.name not in cell.scores


def too_wide(low: float, high: float, seeds: int, measure: Measure) -> str:
    """Say what there is too little of where an interval leaves what a drop of the score can be; empty otherwise."""
    if measure.lowest is None or measure.highest is None:
        return ""
    most = measure.highest - measure.lowest
    return f"too few {'seeds' if 1 < seeds < FEW_SEEDS else 'images'}" if low < -most or high > most else ""


def check_drops(comparison: Comparison) -> list[str]:
    """Return a line for each external test that has a score which the internal tests of its networks lack."""
    measure, warnings = comparison.measure, []
    for column in comparison.columns:
        own = own_test(comparison, column) if column.external else None
        pairs = [
            (comparison.cells.get((row, own)), comparison.cells.get((row, column))) for row in comparison.rows if own
        ]
        here = [one for one, other in pairs if one and other and lacks(one, measure) and not lacks(other, measure)]
        if not here:
            continue
        folders = sorted({str(shown(run.folder.parent)) for cell in here for run in cell.runs})
        advice = f": {command_line('medseg score', *folders, f'scores=[{measure.score}]')}" if measure.optional else ""
        rows = "; ".join(cell.row.label for cell in here)
        warnings.append(f"{column.label}: no drop of {measure.title}, which the internal tests lack, of {rows}{advice}")
    return warnings


def own_test(comparison: Comparison, column: Line) -> Line | None:
    """Return the internal test that an external one is compared with; of one with flips, that with flips."""
    tta = ("tta", "true")
    if tta not in column.facts:
        return column.of
    return next((one for one in comparison.columns if one.of == column.of and not one.external), None)


def sides_on_shared_seeds(own: Sample, external: Sample, measure: Measure) -> tuple[Side, Side] | None:
    """Return both tests of the trainings that have both, as sides with the same seeds; None where none has."""
    seeds = [seed for seed in own.seeds if seed in external.seeds]
    if not seeds:
        return None
    made = []
    for sample in (own, external):
        values = sample.values(measure)
        if np.isnan(values).any():
            return None
        chosen = [sample.seeds.index(seed) for seed in seeds]
        side = Side.of(sample.with_score(measure).pseudo_values(measure)[chosen])
        made.append(Side(side.per_unit, values[chosen], side.residual))
    return made[0], made[1]


def estimate_differences(sides: list[tuple[Side, Side]]) -> Estimate:
    """Return internal - external of K networks, over the images of both tests and over the trainings."""
    differences = [own.seed_means - external.seed_means for own, external in sides]
    trainings = TrainingVariance.of(differences).of_means(np.array([len(of) for of in differences], dtype=np.float64))
    units = [of_units([pair[k].per_unit for pair in sides]) for k in (0, 1)]
    return Estimate(np.array([of.mean() for of in differences]), (*units, trainings))
