"""The numbers behind the tables, one row per thing, for CSV: full precision, a score as a fraction, seconds, pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from medseg.metrics.measures import MEASURES
from medseg.reporting.ablation import Ablation
from medseg.reporting.comparison import Comparison, Score
from medseg.reporting.pairs import Pair
from medseg.reporting.published_cells import PublishedCell
from medseg.reporting.records import Run
from medseg.reporting.words import last_line

Rows = list[dict[str, Any]]


def comparison_rows(comparison: Comparison, published: Sequence[PublishedCell]) -> Rows:
    """One row per cell: its score, its runs, what it costs, what was published."""
    beside = {(cell.row, cell.column): cell for cell in published}
    rows = []
    for (row, column), cell in comparison.cells.items():
        costs, found = comparison.costs[row], beside.get((row, column))
        rows.append(
            {
                "network": row.label,
                "model": row.name,
                "dataset": column.label,
                "measure": comparison.measure.name,
                **score_values(cell.scores.get(comparison.measure.name)),
                "place": cell.place,
                "like_best": int(cell.like_best),
                "seeds": len(cell.sample.seeds) if cell.sample else 0,
                "images": len(cell.sample.ids) if cell.sample else 0,
                "runs": len(cell.runs),
                "runs_finished": len(cell.runs) - len(cell.unfinished),
                "runs_used": len(cell.runs) - len(cell.unfinished) - len(cell.unused),
                "training_seconds": cell.training_seconds,
                "parameters": costs.parameters,
                "macs": costs.macs,
                "latency_ms": costs.latency_ms,
                "memory_mib": costs.memory_mib,
                "measured_height": costs.size[0] if costs.size else None,
                "measured_width": costs.size[1] if costs.size else None,
                "measured_on": costs.measured_on or None,
                "published": found.published.value if found else None,
                "published_measure": found.measure.name if found else None,
                "ours_in_that_measure": found.ours.mean if found else None,
                "difference": found.difference if found else None,
                "differs_in": "; ".join(found.differs_in) if found else None,
                "source": found.published.source if found else None,
            }
        )
    return rows


def score_rows(comparison: Comparison) -> Rows:
    """One row per cell and measure."""
    return [
        {"network": row.label, "dataset": column.label, "measure": name, **score_values(cell.scores[name])}
        for (row, column), cell in comparison.cells.items()
        for name in MEASURES
        if name in cell.scores
    ]


def score_values(score: Score | None) -> dict[str, float | None]:
    """Return the numbers of a score."""
    if score is None:
        return dict.fromkeys(("mean", "sd_over_seeds", "low", "high"))
    return {"mean": score.mean, "sd_over_seeds": score.sd, "low": score.low, "high": score.high}


def run_rows(runs: Sequence[Run]) -> Rows:
    """One row per run: what it is, how it ended, its scores."""
    rows = []
    for run in runs:
        summary = run.summary if run.finished else {}
        headline = {name: values["mean"] for name, values in summary.get("headline", {}).items()}
        scores = {**headline, **summary.get("conventions", {})}
        rows.append(
            {
                "run": run.name,
                "experiment": run.experiment,
                "state": run.state,
                "error": last_line(run.error) or None,
                "model": run.model,
                "data": run.data,
                "seed": run.seed,
                "fold": run.fold,
                "images": summary.get("images"),
                "epochs": summary.get("epochs"),
                "best_epoch": summary.get("best_epoch"),
                "training_seconds": summary.get("training_seconds"),
                "parameters": summary.get("parameters"),
                **{name: scores.get(name) for name in MEASURES},
            }
        )
    return rows


def pair_rows(comparison: Comparison) -> Rows:
    """One row per pair of rows and dataset."""
    return [pair_values(pair, comparison) for pair in comparison.pairs]


def pair_values(pair: Pair, comparison: Comparison) -> dict[str, Any]:
    """Return the numbers of a pair."""
    measure = comparison.measure
    return {
        "dataset": pair.column.label,
        "network": pair.first.label,
        "against": pair.second.label,
        "measure": measure.name,
        "images": pair.images,
        "difference": pair.difference,
        "low": pair.low,
        "high": pair.high,
        "p": pair.p,
        "p_holm": pair.corrected,
        "rank_biserial": pair.direction if measure.convention == "per_image" else None,
        "verdict": pair.verdict(higher_is_better=measure.higher_is_better),
    }


def ablation_rows(ablations: Sequence[Ablation], comparison: Comparison) -> Rows:
    """One row per value of a factor, other than the default, and dataset."""
    return [
        {
            "factor": ablation.factor,
            "block": block.label,
            "value": block.values[row],
            "default": block.values[block.default],
            **pair_values(pair, comparison),
        }
        for ablation in ablations
        for block in ablation.blocks
        for (row, _), pair in block.pairs.items()
    ]


def rank_rows(comparison: Comparison) -> Rows:
    """One row per ranked network."""
    ranking = comparison.ranking
    if ranking is None:
        return []
    return [
        {
            "network": row.label,
            "measure": comparison.measure.name,
            "average_rank": rank,
            "datasets": ranking.datasets,
            "friedman_p": ranking.p,
            "critical_difference": ranking.critical,
        }
        for row, rank in zip(ranking.rows, ranking.ranks, strict=True)
    ]
