"""Which rows of a column differ: paired tests between all of them, wins over datasets, average ranks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from medseg.reporting.differences import Side, between
from medseg.reporting.layout import Line
from medseg.reporting.measures import Measure
from medseg.reporting.samples import Sample
from medseg.reporting.statistics import (
    ALPHA,
    FEWEST_DATASETS,
    Array,
    average_ranks,
    critical_difference,
    friedman,
    holm,
    wilcoxon_each,
)


@dataclass(frozen=True)
class Pair:
    """Two rows on a dataset."""

    first: Line
    second: Line
    column: Line
    images: int
    units: int
    grouped: bool
    difference: float
    low: float | None
    high: float | None
    confidence: float
    p_interval: float | None
    p_ranks: float | None
    p: float | None
    corrected: float | None
    direction: float
    state: str
    reason: str = ""
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
            state={"better": "worse", "worse": "better"}.get(self.state, self.state),
            superiority=None
            if self.superiority is None
            else (1 - self.superiority[0], 1 - self.superiority[2], 1 - self.superiority[1]),
        )

    def verdict(self, *, higher_is_better: bool) -> int:
        return {"better": 1, "worse": -1}.get(self.state, 0)


def state_of(pair: Pair, measure: Measure) -> str:
    """Return the state of a pair."""
    assert pair.corrected is not None
    assert pair.low is not None
    assert pair.high is not None
    if pair.corrected >= ALPHA or pair.direction * pair.difference <= 0 or pair.low <= 0 <= pair.high:
        return "undecided"
    return "better" if (pair.difference > 0) == measure.higher_is_better else "worse"


def compare_pairs(column: Line, samples: Mapping[Line, Sample], measure: Measure) -> list[Pair]:
    """Test all pairs of rows of a dataset, `column`; `samples`: of the rows, in their order."""
    measured = {row: Measured.of(sample, measure) for row, sample in samples.items()}
    # Paired first, so that the ranks of all pairs can be tested at once.
    sides = {
        (first, second): found
        for first, second in combinations(samples, 2)
        if (found := comparable(measured[first], measured[second], measure)) is not None
    }
    tested: Sequence[tuple[float, float] | None] = [None] * len(sides)
    if measure.convention == "per_image":
        tested = wilcoxon_each([one.scores - other.scores for one, other in sides.values()])
    pairs = [
        compare_two(rows, column, two, measure, test) for (rows, two), test in zip(sides.items(), tested, strict=True)
    ]
    corrected = holm([1.0 if pair.p is None else pair.p for pair in pairs])
    done = []
    for pair, value in zip(pairs, corrected, strict=True):
        pair = replace(pair, corrected=float(value))
        if 1 in (len(samples[pair.first].seeds), len(samples[pair.second].seeds)):
            done.append(
                replace(pair, state="not judged", reason="one seed", low=None, high=None, corrected=None, p=None)
            )
        else:
            done.append(replace(pair, state=state_of(pair, measure)))
    return done


@dataclass(frozen=True)
class Measured:
    """A row under a measure.

    Args:
        sample: what it is made of.
        mean: over seeds; NaN where it was not measured.
        side: of differences, made of the values of each seed and image (`Sample.pseudo_values`).
        scores: of the images, averaged over seeds, N.
    """

    sample: Sample
    mean: float
    side: Side
    scores: Array

    @classmethod
    def of(cls, sample: Sample, measure: Measure) -> Measured:
        mean = float(sample.values(measure).mean())
        return cls(sample, mean, Side.of(sample.pseudo_values(measure)), sample.per_image(measure.score))


def comparable(one: Measured, other: Measured, measure: Measure) -> tuple[Measured, Measured] | None:
    """Return two rows on the images they share; None where these are fewer than two or one has no value."""
    if one.sample.ids != other.sample.ids:
        shared = sorted(set(one.sample.ids) & set(other.sample.ids))
        if not shared:
            return None
        one, other = (Measured.of(side.sample.restricted(shared), measure) for side in (one, other))
    if len(one.sample.ids) < 2 or np.isnan(one.mean - other.mean):
        return None
    return one, other


def compare_two(
    rows: tuple[Line, Line],
    column: Line,
    sides: tuple[Measured, Measured],
    measure: Measure,
    tested: tuple[float, float] | None,
) -> Pair:
    """Compare two rows; `tested`: p and direction of their ranks, None for a measure that no single image has."""
    one, other = sides
    mean = one.mean - other.mean
    found = replace(between(one.side, other.side), mean=mean)
    p, direction = tested or (found.p, float(np.sign(mean)))
    low, high = found.interval()
    if not measure.unit:  # a fraction, whose difference is between -1 and 1
        low, high = max(low, -1.0), min(high, 1.0)
    n = len(one.sample.ids)
    return Pair(*rows, column, n, n, False, mean, low, high, 0.95, found.p, p, p, p, direction, "undecided")


def find_pair(pairs: Sequence[Pair], first: Line, second: Line, column: Line) -> Pair | None:
    """Return the comparison of two rows on a dataset, seen from the first."""
    for pair in pairs:
        if pair.column != column:
            continue
        if pair.first == first and pair.second == second:
            return pair
        if pair.first == second and pair.second == first:
            return pair.reversed()
    return None


def count_wins(pairs: Sequence[Pair], *, higher_is_better: bool) -> dict[tuple[Line, Line], tuple[int, int, int]]:
    """Count for each two rows on how many datasets the first wins, none does, and the first loses."""
    counted: dict[tuple[Line, Line], tuple[int, int, int]] = {}
    for pair in pairs:
        for seen in (pair, pair.reversed()):
            wins, ties, losses = counted.get((seen.first, seen.second), (0, 0, 0))
            verdict = seen.verdict(higher_is_better=higher_is_better)
            after = (wins + (verdict > 0), ties + (verdict == 0), losses + (verdict < 0))
            counted[seen.first, seen.second] = after
    return counted


@dataclass(frozen=True)
class Ranking:
    """The rows by their average rank over datasets.

    Args:
        rows: best first.
        ranks: average rank of each, 1 is the best there can be.
        datasets: how many there were.
        p: of Friedman's test; None where there are too few datasets or rows for one.
        critical: ranks that differ by less are not told apart (Nemenyi); None likewise.
        left_out: rows that lack a dataset.
    """

    rows: tuple[Line, ...]
    ranks: tuple[float, ...]
    datasets: int
    p: float | None
    critical: float | None
    left_out: tuple[Line, ...]

    def groups(self) -> list[tuple[int, int]]:
        """Return the first and last place of each longest group of rows that are not told apart."""
        if self.critical is None:
            return []
        found: list[tuple[int, int]] = []
        for first, rank in enumerate(self.ranks):
            last = max(k for k, other in enumerate(self.ranks) if other - rank <= self.critical)
            if last > first and (not found or last > found[-1][1]):
                found.append((first, last))
        return found


def rank(
    rows: Sequence[Line], columns: Sequence[Line], values: Mapping[tuple[Line, Line], float], *, higher_is_better: bool
) -> Ranking | None:
    """Rank the rows that have a value on every dataset; None with fewer than two of these, or with one dataset."""
    complete = [row for row in rows if all((row, column) in values for column in columns)]
    if len(complete) < 2 or len(columns) < 2:
        return None
    scores = np.array([[values[row, column] for row in complete] for column in columns])
    ranks = average_ranks(scores, higher_is_better=higher_is_better)
    order = np.argsort(ranks, kind="stable")
    tested = len(columns) >= FEWEST_DATASETS and len(complete) >= 3
    return Ranking(
        rows=tuple(complete[k] for k in order),
        ranks=tuple(float(ranks[k]) for k in order),
        datasets=len(columns),
        p=friedman(scores) if tested else None,
        critical=critical_difference(len(complete), len(columns)) if tested else None,
        left_out=tuple(row for row in rows if row not in complete),
    )
