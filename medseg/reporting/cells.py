"""A cell of the comparison: a network on a dataset, what its runs measured and what the scores come to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from medseg.reporting.line import Line
from medseg.reporting.samples import Sample
from medseg.runs.run import Run


@dataclass(frozen=True)
class Score:
    """A measure of a cell.

    Args:
        mean: over seeds.
        sd: over seeds, sample deviation; None for a single seed.
        low, high: 95 % t interval of the mean, over images (or groups of them) and trainings; with one seed over
            images alone. None where it is not known.
        remark: why there is no interval; empty otherwise.
    """

    mean: float
    sd: float | None
    low: float | None
    high: float | None
    remark: str = ""


@dataclass(frozen=True, eq=False)
class Cell:
    """A row on a dataset.

    Args:
        row, column: where it is.
        runs: all of them, in whatever state.
        sample: what the finished ones measured; None where none is.
        scores: name of the measure -> score; those that were measured.
        rank: 1 for the best of the column, 2 for the second of at least three; equal means share a rank. None where
            a row of the column has one seed.
        like_best: the rule does not tell it from the best one.
        training_seconds: mean over the finished runs.
    """

    row: Line
    column: Line
    runs: tuple[Run, ...]
    sample: Sample | None
    scores: Mapping[str, Score]
    rank: int | None = None
    like_best: bool = False
    training_seconds: float | None = None

    @property
    def unfinished(self) -> list[Run]:
        """The runs that the cell lacks."""
        return [run for run in self.runs if not run.finished]

    @property
    def unused(self) -> list[Run]:
        """Finished runs that are not in the score: another fold of their seed is missing, or the images are others."""
        used = self.sample.seeds if self.sample else ()
        return [run for run in self.runs if run.finished and run.seed not in used]
