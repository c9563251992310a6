"""Which rows of a column differ: every pair judged by the one rule (`medseg.reporting.rule`), wins over datasets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from medseg.metrics.measures import Measure
from medseg.reporting.layout import Line
from medseg.reporting.rule import PairInput, judge
from medseg.reporting.samples import Array, Sample

OPPOSITE = {"better": "worse", "worse": "better"}


@dataclass(frozen=True)
class Pair:
    """Two rows on a dataset, as the rule judges them.

    Args:
        first, second: the rows.
        column: the dataset.
        images: that both were tested on.
        units: what the tests are over: groups of images, or images where there are no groups.
        grouped: whether units are groups.
        difference: of the means, first - second, in the unit of the score.
        low, high: the interval that the verdict was made of, simultaneous over the pairs; None where not judged.
        confidence: level of the interval: 0.95 for a single pair, more where there are several.
        p_interval: p of that interval, which carries the trainings; None where not judged.
        p_ranks: p of Wilcoxon's signed-rank test over units; None for pooled measures, which no unit has.
        p: the larger of both.
        corrected: p after Holm's correction for all pairs of the column.
        direction: rank-biserial correlation of the units, above 0 where the first is higher.
        state: of the first: better, worse, equivalent (within 1 point), undecided, not judged.
        reason: why a pair is not judged or cannot be decided; empty otherwise.
        superiority: probability that a new training of the first beats a new one of the second, and its 95 %
            interval; None where not judged.
    """

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
            state=OPPOSITE.get(self.state, self.state),
            superiority=opposite_of(self.superiority),
        )


def opposite_of(superiority: tuple[float, float, float] | None) -> tuple[float, float, float] | None:
    """Return the probability that the other one beats this one, with its interval."""
    if superiority is None:
        return None
    p, low, high = superiority
    return 1 - p, 1 - high, 1 - low
