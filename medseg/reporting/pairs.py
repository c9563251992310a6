"""Which rows of a column differ: every pair judged by the one rule (`medseg.reporting.rule`), wins over datasets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from medseg.metrics.measures import Measure
from medseg.reporting.line import Line
from medseg.reporting.planning import Variances
from medseg.reporting.rule import BETTER, EQUIVALENT, UNDECIDED, WORSE, Judgement, PairInput, judge, superiority
from medseg.reporting.samples import Sample
from medseg.reporting.statistics import Side, TrainingVariance

OPPOSITE = {BETTER: WORSE, WORSE: BETTER}
NOT_SHOWN_TO_DIFFER = (UNDECIDED, EQUIVALENT)

MOST_NETWORKS = 40
"""That a picture shows against each other; 300 have 45,000 pairs, which no one can look at. The tables have all."""


@dataclass(frozen=True)
class Pair(Judgement):
    """Two rows on a dataset, as the rule judges them among all pairs of the dataset; equivalent: within 1 point.

    Args:
        first, second: the rows.
        column: the dataset.
        images: that both were tested on and that have the score.
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


def sides_of(samples: Mapping[Line, Sample], measure: Measure) -> dict[Line, Side]:
    """Return what the rows of a dataset that have a measure bring under it, each on its images with the score."""
    sides = {row: sample.with_score(measure).side(measure) for row, sample in samples.items()}
    return {row: side for row, side in sides.items() if not np.isnan(side.seed_means).any()}


@dataclass(frozen=True)
class Family:
    """All pairs of rows of a dataset, which are judged together.

    Args:
        rows: that have the measure.
        inputs: of the rule, for each pair with images that both were tested on.
        samples: the first row of each on these images.
        trainings: of all rows.
        networks: rows with several seeds.
    """

    rows: tuple[Line, ...]
    inputs: tuple[PairInput, ...]
    samples: tuple[Sample, ...]
    trainings: TrainingVariance
    networks: int

    @classmethod
    def of(cls, samples: Mapping[Line, Sample], measure: Measure) -> Family:
        """Make the pairs of the rows of a dataset, each on the images of both that have the score in one of them."""
        sides = sides_of(samples, measure)
        scored = {row: samples[row].with_score(measure) for row in sides}
        bare = {row: samples[row].of_measure(measure) for row in sides}
        inputs: list[PairInput] = []
        shared: list[Sample] = []
        for (first, one), (second, other) in combinations(enumerate(sides), 2):
            both, sample = (sides[one], sides[other]), scored[one]
            if sample.ids != scored[other].ids:
                lacking = samples[one].without(measure) & samples[other].without(measure)
                ids = sorted({*samples[one].ids} & {*samples[other].ids} - lacking)
                if not ids:
                    continue
                sample = bare[one].restricted(ids)
                both = sample.side(measure), bare[other].restricted(ids).side(measure)
            ranked = None if both[0].ranked is None or both[1].ranked is None else both[0].ranked - both[1].ranked
            inputs.append(PairInput(first, second, both, ranked, "groups" if sample.groups else "images"))
            shared.append(sample)
        trainings = TrainingVariance.of([side.seed_means for side in sides.values()])
        several = sum(side.seeds > 1 for side in sides.values())
        return cls(tuple(sides), tuple(inputs), tuple(shared), trainings, several)

    def variances(self, first: Line, second: Line) -> Variances | None:
        """Return what planning knows of two rows; None where it knows nothing, since they cannot be judged."""
        judged = sum(not given.why_not for given in self.inputs)
        for given in self.inputs:
            if {self.rows[given.first], self.rows[given.second]} == {first, second}:
                return Variances.of_pair(given, self.trainings, self.networks, judged)
        return None


def compare_pairs(column: Line, samples: Mapping[Line, Sample], measure: Measure) -> list[Pair]:
    """Judge all pairs of rows of a dataset, `column`."""
    family = Family.of(samples, measure)
    up = measure.higher_is_better
    judged = judge(family.inputs, family.trainings, higher_is_better=up, margin=1 / measure.points)
    chances = superiority(family.inputs, family.trainings, higher_is_better=up)
    return [
        Pair(
            first=family.rows[given.first],
            second=family.rows[given.second],
            column=column,
            images=len(sample.ids),
            units=given.units,
            grouped=sample.groups is not None,
            superiority=chance if judgement.p is not None else None,
            **vars(judgement),
        )
        for given, sample, judgement, chance in zip(family.inputs, family.samples, judged, chances, strict=True)
    ]


def pairs_with(pairs: Sequence[Pair], row: Line) -> dict[Line, Pair]:
    """Return each other row -> its pair with `row`, seen from `row`; `pairs` are of one dataset."""
    seen = (pair if pair.first == row else pair.reversed() for pair in pairs if row in (pair.first, pair.second))
    return {pair.second: pair for pair in seen}


def find_pair(pairs: Sequence[Pair], first: Line, second: Line, column: Line) -> Pair | None:
    """Return the comparison of two rows on a dataset, seen from the first."""
    for pair in pairs:
        if pair.column == column and (pair.first, pair.second) in ((first, second), (second, first)):
            return pair if pair.first == first else pair.reversed()
    return None


def count_wins(pairs: Sequence[Pair]) -> dict[tuple[Line, Line], tuple[int, int, int]]:
    """Count for each two rows on how many datasets the first is better, not shown to differ, worse."""
    counted: dict[tuple[Line, Line], tuple[int, int, int]] = {}
    for pair in pairs:
        for rows, better, worse in (
            ((pair.first, pair.second), BETTER, WORSE),
            ((pair.second, pair.first), WORSE, BETTER),
        ):
            wins, ties, losses = counted.get(rows, (0, 0, 0))
            state = pair.state
            counted[rows] = (wins + (state == better), ties + (state in NOT_SHOWN_TO_DIFFER), losses + (state == worse))
    return counted
