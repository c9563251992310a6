"""What changed over the epochs of runs, as arrays."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from medseg.reporting.statistics import Array
from medseg.runs.run import Run


def curves_of(runs: Sequence[Run], key: str) -> Array:
    """Return a column of `metrics.csv` of each finished run, runs x epochs, up to the last epoch that all have."""
    every = [run.epochs for run in runs if run.finished]
    shared = min(map(len, every), default=0)
    return np.array([[row.get(key, np.nan) for row in rows[:shared]] for rows in every]).reshape(len(every), shared)
