"""Which rows of a column differ: every pair judged by the one rule (`medseg.reporting.rule`), wins over datasets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from medseg.metrics.measures import Measure
from medseg.reporting.layout import Line
from medseg.reporting.rule import Judgement, PairInput, judge, superiority
from medseg.reporting.samples import Array, Sample
from medseg.reporting.statistics import Side, TrainingVariance

OPPOSITE = {"better": "worse", "worse": "better"}


@dataclass(frozen=True)
class Pair(Judgement):
    """Two rows on a dataset, as the rule judges them among all pairs of the dataset; equivalent: within 1 point.

    Args:
        first, second: the rows.
        column: the dataset.
        images: that both were tested on.
        units: what the tests are over: groups of images, or images where there are no groups.
        grouped: whether units are groups.
        superiority: probability that a new training of the first beats a new one of the second, and its 95 %
            interval; None where not judged.
    """

    first: Line
    second: Line
    column: Line
    images: int
    units: int
    grouped: bool
    superiority: tuple[float, float, float] | None = None

    def reversed(self) -> Pair:
        """Return the same, seen from the other row."""
        return replace(
            self,
            first=self.second,
            second=self.first,
            difference=-self.difference,
            low=None if self.high is None else -self.high,
            high=None if self.low is None else -self.low,
            direction=-self.direction,
            state=OPPOSITE.get(self.state, self.state),
            superiority=opposite_of(self.superiority),
        )


def opposite_of(superiority: tuple[float, float, float] | None) -> tuple[float, float, float] | None:
    """Return the probability that the other one beats this one, with its interval."""
    if superiority is None:
        return None
    p, low, high = superiority
    return 1 - p, 1 - high, 1 - low


@dataclass(frozen=True, eq=False)
class Measured:
    """A row under a measure.

    Args:
        sample: what it is made of.
        side: what it brings into means and differences.
        ranked: scores of the units, averaged over their images and seeds, U; None for a pooled measure.
    """

    sample: Sample
    side: Side
    ranked: Array | None

    @classmethod
    def of(cls, sample: Sample, measure: Measure) -> Measured:
        single = measure.convention == "per_image"
        side = replace(Side.of(sample.pseudo_values(measure)), seed_means=sample.values(measure))
        return cls(sample, side, sample.ranked(measure.score) if single else None)

    def on(self, ids: Sequence[str], measure: Measure) -> Measured:
        """Return the same on some of the images."""
        return self if list(self.sample.ids) == list(ids) else Measured.of(self.sample.restricted(ids), measure)


def measure_rows(samples: Mapping[Line, Sample], measure: Measure) -> dict[Line, Measured]:
    """Return the rows of a dataset under a measure, without those that do not have it."""
    measured = {row: Measured.of(sample, measure) for row, sample in samples.items()}
    return {row: one for row, one in measured.items() if not np.isnan(one.side.seed_means).any()}


def compare_pairs(column: Line, rows: Mapping[Line, Measured], measure: Measure) -> list[Pair]:
    """Judge all pairs of rows of a dataset, `column`."""
    names = list(rows)
    inputs: list[PairInput] = []
    samples: list[Sample] = []
    for first, second in combinations(range(len(names)), 2):
        one, other = rows[names[first]], rows[names[second]]
        if one.sample.ids != other.sample.ids:  # each pair on the images that both were tested on
            ids = sorted(set(one.sample.ids) & set(other.sample.ids))
            if not ids:
                continue
            one, other = one.on(ids, measure), other.on(ids, measure)
        ranked = None if one.ranked is None or other.ranked is None else one.ranked - other.ranked
        unit = "groups" if one.sample.groups else "images"
        inputs.append(PairInput(first, second, (one.side, other.side), ranked, unit))
        samples.append(one.sample)
    trainings = TrainingVariance.of([row.side.seed_means for row in rows.values()])
    up = measure.higher_is_better
    judged = judge(inputs, trainings, higher_is_better=up, margin=1 / measure.points)
    chances = superiority(inputs, trainings, higher_is_better=up)
    return [
        Pair(
            first=names[given.first],
            second=names[given.second],
            column=column,
            images=len(sample.ids),
            units=given.units,
            grouped=sample.groups is not None,
            superiority=chance if found.p is not None else None,
            **vars(found),
        )
        for given, sample, found, chance in zip(inputs, samples, judged, chances, strict=True)
    ]


def find_pair(pairs: Sequence[Pair], first: Line, second: Line, column: Line) -> Pair | None:
    """Return the comparison of two rows on a dataset, seen from the first."""
    for pair in pairs:
        if pair.column == column and (pair.first, pair.second) in ((first, second), (second, first)):
            return pair if pair.first == first else pair.reversed()
    return None


def count_wins(pairs: Sequence[Pair]) -> dict[tuple[Line, Line], tuple[int, int, int]]:
    """Count for each two rows on how many datasets the first is better, not told apart, worse; not judged: none."""
    counted: dict[tuple[Line, Line], tuple[int, int, int]] = {}
    for pair in pairs:
        tie = pair.state in ("undecided", "equivalent")
        seen = ((pair.first, pair.second), pair.state), ((pair.second, pair.first), OPPOSITE.get(pair.state))
        for rows, state in seen:
            wins, ties, losses = counted.get(rows, (0, 0, 0))
            counted[rows] = (wins + (state == "better"), ties + tie, losses + (state == "worse"))
    return counted
