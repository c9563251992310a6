"""Comparisons made by hand, without runs: what tables show is set here, not measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np

from medseg.metrics.measures import MEASURES
from medseg.reporting.ablation import Ablation, Block
from medseg.reporting.cells import Cell, Score
from medseg.reporting.comparison import Comparison
from medseg.reporting.costs import Costs
from medseg.reporting.line import Line
from medseg.reporting.pairs import Pair
from medseg.reporting.planning import Plan
from medseg.reporting.ranks import Ranking, Shares, Stability
from medseg.reporting.samples import Sample
from medseg.runs.run import Run

IMAGES = 120


def make_run(name: str, data: str, seed: int, state: str = "finished", **more) -> Run:
    summary = {"headline": {"dice": {"mean": 0.8}}, "images": IMAGES, "training_seconds": 90.0, "epochs": 5}
    made = Run(Path("runs", f"{name}-{data}-seed{seed}"), f"{name}-{data}-seed{seed}", state, None, "made", name, data,
               seed, None, name, **more)  # fmt: skip
    for key, value in (("summary", summary), ("environment", {"device": "cpu"}), ("config", {}), ("epochs", [])):
        made.__dict__[key] = value
    return made


def make_sample(seeds: int, groups: int | None = None) -> Sample:
    ids = tuple(f"image{n:03d}" for n in range(IMAGES))
    of = None if groups is None else tuple(f"video{n % groups}" for n in range(IMAGES))
    counts = np.zeros((seeds, IMAGES, 1, 4), dtype=np.int64)
    # Images of a group are alike, so that groups count, not images.
    dice = np.tile(0.8 + 0.1 * np.sin(np.arange(IMAGES) % (groups or IMAGES)), (seeds, 1))
    return Sample(tuple(range(seeds)), ids, {"dice": dice}, counts, np.zeros((seeds, IMAGES, 4)), of)


def make_pair(first: Line, second: Line, column: Line, difference: float, **more) -> Pair:
    """A pair that is decided by the sign of a difference of more than a point."""
    state = "undecided" if abs(difference) < 0.01 else "better" if difference > 0 else "worse"
    given = {
        "images": IMAGES, "units": IMAGES, "grouped": False, "difference": difference, "low": difference - 0.01,
        "high": difference + 0.01, "confidence": 0.983, "p_interval": 0.012, "p_ranks": 0.0004, "p": 0.012,
        "corrected": 0.4 if state == "undecided" else 0.036, "p_equivalent": 0.5, "state": state,
        "direction": float(np.sign(difference)), "superiority": (0.83, 0.61, 0.95),
    }  # fmt: skip
    return Pair(first, second, column, **{**given, **more})


def make_comparison(
    networks: int | Sequence[str] = 3,
    datasets: int | Sequence[str] = 2,
    *,
    seeds: int = 3,
    groups: int | None = None,
    measured: bool = False,
) -> Comparison:
    """Compare networks, the first best, each a point and a half below the one before.

    Args:
        networks, datasets: names, or how many.
        seeds: of each cell.
        groups: of the images; None where these are independent.
        measured: whether MACs, latency and memory are known.
    """
    rows = lines("network", networks)
    columns = lines("data", datasets)
    cells, pairs = {}, []
    for column in columns:
        for k, row in enumerate(rows):
            mean = 0.9 - 0.015 * k
            runs = tuple(make_run(row.name, column.name, seed) for seed in range(seeds))
            sd = 0.0123 if seeds > 1 else None
            scores = {
                m.name: Score(30.0 + k, 2.5, 25.0, 35.0) if m.unit else Score(mean, sd, mean - 0.02, mean + 0.02)
                for m in MEASURES.values()
            }
            place = (k + 1 if k < 1 + (len(rows) > 2) else None) if seeds > 1 and len(rows) > 1 else None
            sample = make_sample(seeds, groups)
            like = k == 1 and seeds > 1
            cells[row, column] = Cell(row, column, runs, sample, scores, place, like_best=like, training_seconds=90.0)
        for (k, first), (m, second) in combinations(enumerate(rows), 2):
            pair = make_pair(first, second, column, 0.015 * (m - k) - 0.01 * (m - k == 1))
            if groups:
                pair = replace(pair, units=groups, grouped=True)
            if seeds == 1:
                pair = replace(pair, state="not judged", reason="one seed", low=None, high=None, p=None, corrected=None,
                               p_interval=None, superiority=None)  # fmt: skip
            pairs.append(pair)
    costs = Costs(4_320_000, 90.0)
    if measured:
        costs = Costs(4_320_000, 90.0, (256, 256), 1_234_000_000, 12.5, 1300.0, "NVIDIA A100, bf16-mixed, batch 8")
    wins = dict.fromkeys(((a, b) for a in rows for b in rows if a != b), (1, 1, 0))
    many = len(rows) > 1 and len(columns) > 1
    ranking = Ranking(rows, tuple(map(float, range(1, len(rows) + 1))), len(columns), None, None, ()) if many else None
    shares = Shares(rows, np.full((len(rows), len(rows)), 1 / len(rows)))
    return Comparison(
        measure=MEASURES["dice"],
        measures=MEASURES,
        rows=rows,
        columns=columns,
        cells=cells,
        costs=dict.fromkeys(rows, costs),
        pairs=tuple(pairs),
        wins=wins if pairs else {},
        ranking=ranking,
        warnings=(),
        stability=Stability({columns[0]: shares}, shares),
        plans=tuple(
            (column, Plan(size, 3, seeds, IMAGES, 0.4, 7, None)) for column in columns for size in (0.01, 0.02)
        ),
    )


def lines(prefix: str, names: int | Sequence[str]) -> tuple[Line, ...]:
    given = [f"{prefix}{k + 1}" for k in range(names)] if isinstance(names, int) else names
    return tuple(Line(name, name, ()) for name in given)


def make_ablation(comparison: Comparison) -> Ablation:
    """A factor whose values are the rows."""
    default, *others = comparison.rows
    pairs = {(pair.second, pair.column): pair.reversed() for pair in comparison.pairs if pair.first == default}
    values = {row: str(k) for k, row in enumerate((default, *others))}
    return Ablation("model.kernel_size", (Block(default.name, default, True, values, pairs),))
