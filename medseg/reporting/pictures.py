"""Which predictions a report can show: of which runs and which test images, and the prepared data they are of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from medseg.errors import UserError
from medseg.runs.folder import UNPACKED
from medseg.runs.run import Run

if TYPE_CHECKING:
    from medseg.data.prepared.dataset import PreparedDataset
    from medseg.reporting.comparison import Comparison
    from medseg.reporting.line import Line

IMAGES = 5
"""Most disputed images, by default."""


NOT_STORED = "no run has its predictions stored (test/predictions.npz)"
NOT_PACKED = "no predictions: they were not packed (medseg pack predictions=true packs them)"
"""Why there are no pictures."""


@dataclass(frozen=True)
class Candidate:
    """A network's run whose predictions can be shown, and the score of each of its images."""

    row: Line
    run: Run
    scores: Mapping[str, float]


def prediction_candidates(comparison: Comparison, column: Line, score: str) -> list[Candidate]:
    """Choose a run of each row: of the first seed (and fold) that most of the rows have predictions of.

    Args:
        comparison: of which the rows and the runs are looked at.
        column: the dataset.
        score: of single images.

    Raises `UserError` where there is none.
    """
    stored: dict[tuple[int, int], dict[Line, Run]] = {}
    here = [(row, cell) for row in comparison.rows if (cell := comparison.cells.get((row, column))) is not None]
    for row, cell in here:
        for run in cell.runs:
            if run.finished and run.predictions.exists() and score in run.per_image.scores:
                stored.setdefault((run.seed, run.fold or 0), {}).setdefault(row, run)
    if not stored:
        raise UserError(NOT_PACKED if all(is_unpacked(run) for _, cell in here for run in cell.runs) else NOT_STORED)
    first = max(stored, key=lambda seed: (len(stored[seed]), [-number for number in seed]))
    return [
        Candidate(row, run, dict(zip(run.per_image.ids, run.per_image.scores[score].tolist(), strict=True)))
        for row, run in stored[first].items()
    ]


def open_prepared(runs: Sequence[Run]) -> PreparedDataset:
    """Open the prepared data that runs were tested on.

    Raises `UserError` where they are gone or not the same any more.
    """
    folder, identity = runs[0].summary.get("prepared"), runs[0].summary.get("data_identity")
    if not folder or not Path(folder).is_dir():
        raise UserError(f"the prepared data are not at {folder} any more; prepare them again to see images")
    from medseg.data.prepared.dataset import (
        PreparedDataset,  # not above: it takes 0.1 s, which runs without images save
    )

    prepared = PreparedDataset(folder)
    if prepared.identity != identity or any(run.summary.get("data_identity") != identity for run in runs):
        raise UserError(f"the prepared data at {folder} are not those of the test")
    return prepared


def is_unpacked(run: Run) -> bool:
    """Tell whether a run is from a file of `medseg pack`."""
    return bool(run.status.get(UNPACKED))


def most_disputed(candidates: Sequence[Candidate], count: int = IMAGES, *, higher_is_better: bool = True) -> list[str]:
    """Return the images whose scores differ most between the networks, by their deviation, the most disputed first.

    Of a single network, which nothing can differ from, those with the worst scores. NaN comes last.
    """
    shared = sorted(set.intersection(*(set(candidate.scores) for candidate in candidates)))
    scores = np.array([[candidate.scores[image] for image in shared] for candidate in candidates])
    if len(candidates) == 1:
        order = scores[0] if higher_is_better else -scores[0]
    else:
        order = -np.nan_to_num(scores.std(axis=0))
    return [shared[n] for n in np.argsort(order, kind="stable")[:count]]
