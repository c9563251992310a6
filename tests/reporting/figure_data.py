"""Comparisons as the figures take them, made of numbers: no run folders, no tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from medseg.metrics.measures import MEASURES
from medseg.reporting.cells import Score
from medseg.reporting.costs import Costs
from medseg.reporting.line import Line
from medseg.reporting.pairs import Pair
from medseg.reporting.ranks import Shares, Stability
from medseg.reporting.samples import Sample

LONG = "convunext, base_channels=32, kernel_size=9, lr=0.001, run {:02d}"
"""60 characters and more."""


def pair(
    first: Line, second: Line, column: Line, difference: float, low: float | None, high: float | None, state: str
) -> Pair:
    """Make a pair; the figures do not read what is not given."""
    p = None if low is None else 0.01
    return Pair(
        first, second, column, 12, 12, False, difference=difference, low=low, high=high, p_interval=p, p_ranks=p, p=p,
        corrected=p, p_equivalent=p, state=state,
    )  # fmt: skip


def compared(
    networks: Sequence[str],
    datasets: Sequence[str] = ("kvasir",),
    *,
    seeds: int = 2,
    images: int = 12,
    epochs: int = 4,
    measure: str = "dice",
    scores: Any = None,
    macs: bool = True,
    missing: Sequence[tuple[int, int]] = (),
) -> Any:
    """Make a comparison.

    Args:
        networks, datasets: labels.
        seeds, images, epochs: how many.
        measure: of the report.
        scores: of all images instead of made-up ones; broadcast to seeds x images.
        macs: whether the networks have them.
        missing: (network, dataset) without a finished run.
    """
    rows = tuple(Line(label, f"net{k}", ()) for k, label in enumerate(networks))
    columns = tuple(Line(label, f"data{k}", ()) for k, label in enumerate(datasets))
    cells = {}
    for k, row in enumerate(rows):
        for d, column in enumerate(columns):
            random = np.random.default_rng([k, d])
            made = np.clip(random.normal(0.8 + 0.005 * k, 0.1, (seeds, images)), 0, 1)
            values = made if scores is None else np.broadcast_to(np.float64(scores), made.shape).copy()
            curves = [
                [
                    {"val/dice": 0.8 - 0.5 * 0.8**epoch + random.normal(0, 0.01), "train/loss": 0.3 + 0.8**epoch}
                    for epoch in range(epochs)
                ]
                for _ in range(seeds)
            ]
            cells[row, column] = cell(row, column, None if (k, d) in missing else values, curves, measure)
    costs = {row: Costs(1_300_000 * (k + 1), None, (256, 256), 10**9 * (20 - k)) for k, row in enumerate(rows)}
    if not macs:
        costs = {row: replace(cost, macs=None, size=None) for row, cost in costs.items()}
    return comparison(rows, columns, cells, costs, measure)


def cell(row: Line, column: Line, values: Any, curves: Sequence[Any], measure: str) -> Any:
    """Make a cell; `values`: seeds x images, None for one without a finished run."""
    runs = [
        SimpleNamespace(
            finished=values is not None,
            epochs=epochs,
            seed=seed,
            fold=None,
            predictions=Path("nowhere"),
            summary={},
            status={},
            reliability={},
            confidence={},
        )
        for seed, epochs in enumerate(curves)
    ]
    sample = None
    if values is not None:
        seeds, images = values.shape
        ids = tuple(f"image_{n:04d}" for n in range(images))
        counts, background = np.zeros((seeds, images, 1, 4), dtype=np.int64), np.zeros((seeds, images, 4))
        sample = Sample(tuple(range(seeds)), ids, {measure: values}, counts, background)
    return scored(row, column, runs, sample, measure)


def scored(row: Line, column: Line, runs: Sequence[Any], sample: Sample | None, measure: str) -> Any:
    mean = np.nan if sample is None else float(sample.values(MEASURES[measure]).mean())
    scores = {} if np.isnan(mean) else {measure: Score(mean, 0.01, mean - 0.02, mean + 0.02)}
    return SimpleNamespace(row=row, column=column, runs=tuple(runs), sample=sample, scores=scores)


def comparison(
    rows: Sequence[Line], columns: Sequence[Line], cells: Mapping[Any, Any], costs: Mapping[Line, Costs], measure: str
) -> Any:
    """Put cells together, with pairs that are decided by their difference alone."""
    pairs = []
    for column in columns:
        here = [cells[row, column] for row in rows if (row, column) in cells and cells[row, column].scores]
        for one, other in combinations(here, 2):
            difference = one.scores[measure].mean - other.scores[measure].mean
            judged = len(one.sample.seeds) > 1
            better = (difference > 0) == MEASURES[measure].higher_is_better
            state = "equivalent" if abs(difference) < 0.004 else "undecided"
            state = state if abs(difference) < 0.012 else ("better" if better else "worse")
            ends = (difference - 0.012, difference + 0.012) if judged else (None, None)
            pairs.append(pair(one.row, other.row, column, difference, *ends, state if judged else "not judged"))
    return SimpleNamespace(
        measure=MEASURES[measure],
        measures=MEASURES,
        rows=tuple(rows),
        columns=tuple(columns),
        datasets=tuple(columns),
        cells=cells,
        costs=costs,
        pairs=tuple(pairs),
        stability=stability_of(rows, columns),
    )


def stability_of(rows: Sequence[Line], columns: Sequence[Line]) -> Stability[Line, Line] | None:
    """Make up how often each row is at each rank; the other way round on the first dataset."""
    if len(rows) < 2:
        return None
    at = np.arange(len(rows))
    near = np.exp(-0.5 * (at[:, None] - at[None]) ** 2)
    shares = near / near.sum(axis=1, keepdims=True)
    here = {column: Shares(tuple(rows), shares[::-1] if n == 0 else shares) for n, column in enumerate(columns)}
    return Stability(here, Shares(tuple(rows), shares) if len(columns) > 1 else None)
