"""What every network measures in each subgroup of the test images, and how far its best is from its worst."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from medseg.metrics.measures import Measure
from medseg.reporting.cells import Score
from medseg.reporting.comparison import Comparison, samples_under, score_under
from medseg.reporting.contrasts import Contrast, contrast, estimate_contrasts, level_of
from medseg.reporting.divisions import FEWEST, Division, divide
from medseg.reporting.line import Line
from medseg.reporting.samples import Sample
from medseg.reporting.wanted import Wanted


@dataclass(frozen=True)
class Subgroup:
    """A network on a subgroup.

    Args:
        images: of the subgroup that have the score.
        units: groups of images, or images where there are no groups.
        score: None where no image has it.
    """

    images: int
    units: int
    score: Score | None


@dataclass(frozen=True)
class Gap:
    """The best and the worst subgroup of a network.

    Args:
        best, worst: their names.
        difference: of their means, from 0.
        low, high: its interval, which holds for all pairs of subgroups together; None where it is not known.
        remark: why there is no interval; empty otherwise.
        level: of the interval, such as 0.983 so that those of 3 pairs hold together in 95 %.
    """

    best: str
    worst: str
    difference: float
    low: float | None
    high: float | None
    remark: str
    level: float


@dataclass(frozen=True, eq=False)
class Divided:
    """The networks of a dataset on its subgroups.

    Args:
        division: of the test images.
        cells: network -> subgroup -> what it measures.
        gaps: of the networks that have two subgroups to compare.
    """

    division: Division
    cells: Mapping[Line, Mapping[str, Subgroup]]
    gaps: Mapping[Line, Gap]


@dataclass(frozen=True)
class Subgroups:
    """All subgroups of a report; `notes`: what is not divided, and why."""

    divided: tuple[Divided, ...] = ()
    notes: tuple[str, ...] = ()


def find_subgroups(comparison: Comparison, wanted: Wanted | None = None) -> Subgroups:
    """Return the scores of the subgroups under the measure of a comparison.

    Raises `UserError` as `divide`.
    """
    divisions, notes = divide(comparison, wanted or Wanted())
    measure = comparison.measure
    if measure.convention != "per_image":
        return Subgroups(notes=(f"{measure.heading} is of all images together; subgroups are of scores of images.",))
    divided = [
        score_division(division, samples_under(comparison, measure, division.column), measure) for division in divisions
    ]
    return Subgroups(tuple(one for one in divided if any(one.cells.values())), tuple(notes))


def score_division(division: Division, samples: Mapping[Line, Sample], measure: Measure) -> Divided:
    """Score the subgroups of a dataset; `samples`: of its networks."""
    cells: dict[Line, dict[str, Subgroup]] = {row: {} for row in samples}
    for name, ids in division.images.items():
        here = {row: part for row, sample in samples.items() if (part := members(sample, ids, measure)) is not None}
        scores = score_under(here, measure)
        for row, part in here.items():
            score = scores.get(row)
            if score is not None and part.unit_count < 2:
                score = replace(score, remark="one group" if part.groups else "one image")
            cells[row][name] = Subgroup(len(part.ids), part.unit_count, score)
    return Divided(division, cells, find_gaps(division, samples, measure, cells))


def members(sample: Sample, ids: Sequence[str], measure: Measure) -> Sample | None:
    """Return the images of a subgroup that have a score in any seed; None where there is none."""
    chosen = sorted({*ids} & {*sample.ids} - sample.without(measure))
    return sample.restricted(chosen) if chosen else None


def find_gaps(
    division: Division,
    samples: Mapping[Line, Sample],
    measure: Measure,
    cells: Mapping[Line, Mapping[str, Subgroup]],
) -> dict[Line, Gap]:
    """Return how far the best and the worst subgroup of each network are apart.

    Subgroups of fewer than `FEWEST` units are not compared, nor those that the division has apart.
    """
    means = {
        row: {
            name: cell.score.mean
            for name, cell in of.items()
            if cell.score is not None and cell.units >= FEWEST and name not in division.apart
        }
        for row, of in cells.items()
    }
    extremes = {}
    for row, of in means.items():
        if len(of) > 1:
            lowest, highest = min(of, key=of.__getitem__), max(of, key=of.__getitem__)
            extremes[row] = (highest, lowest) if measure.higher_is_better else (lowest, highest)
    gaps: dict[Line, Gap] = {}
    for pair in combinations(division.images, 2):
        between = {
            row: one
            for row, of in means.items()
            if {*pair} <= of.keys() and (one := contrast_of(samples[row], division, pair, measure)) is not None
        }
        asked = [(k, row) for k, row in enumerate(between) if {*extremes.get(row, ())} == {*pair}]
        if asked:
            estimate = estimate_contrasts(list(between.values()))
            for k, row in asked:
                best, worst = extremes[row]
                at = level_of(len(means[row]))
                low, high = (float(end[k]) for end in estimate.interval(at))
                difference = float(estimate.mean[k])
                ends = (low, high) if difference >= 0 else (-high, -low)
                gaps[row] = gap_of(best, worst, abs(difference), ends, at, measure)
    return gaps


def gap_of(best: str, worst: str, difference: float, ends: tuple[float, float], at: float, measure: Measure) -> Gap:
    """Return a gap; a remark replaces an interval that is wider than the score can be."""
    if measure.highest is not None and measure.lowest is not None:
        most = measure.highest - measure.lowest
        if ends[0] < -most or ends[1] > most:
            return Gap(best, worst, difference, None, None, "too few images or seeds", at)
    return Gap(best, worst, difference, *ends, "", at)


def contrast_of(sample: Sample, division: Division, pair: tuple[str, str], measure: Measure) -> Contrast | None:
    """Return the difference between two subgroups of a network; None where it cannot be judged."""
    first, second = (np.isin(sample.ids, division.images[name]) for name in pair)
    return contrast(sample.scores[measure.score], sample.units, first, second)
