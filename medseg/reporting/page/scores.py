"""The comparison under every measure: its tables, and the numbers behind the plot and the matrix of differences."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from medseg.reporting.comparison import Comparison, under
from medseg.reporting.costs import Costs
from medseg.reporting.layout import Line
from medseg.reporting.page.markup import filter_html, select_html
from medseg.reporting.pairs import Pair
from medseg.reporting.render.html import as_html as table_html
from medseg.reporting.tables.scores import COSTS, comparison_table
from medseg.reporting.words import difference, interval, number, p_value, size, spread, verdict


def every_measure(comparison: Comparison) -> dict[str, Comparison]:
    """Return the comparison under each measure that any of its cells has, its own first."""
    own = comparison.measure
    others = [measure for measure in comparison.measures.values() if measure.name != own.name]
    having = [measure for measure in others if any(measure.name in cell.scores for cell in comparison.cells.values())]
    return {own.name: comparison} | {measure.name: under(comparison, measure) for measure in having}


def measure_options(comparisons: Mapping[str, Comparison]) -> list[tuple[str, str]]:
    """Return value and text of each measure, for a select."""
    return [(name, comparison.measure.heading) for name, comparison in comparisons.items()]


def dataset_options(comparison: Comparison) -> list[tuple[str, str]]:
    """Return value and text of each dataset, for a select."""
    return [(str(place), column.label) for place, column in enumerate(comparison.columns)]


def comparison_html(comparisons: Mapping[str, Comparison]) -> str:
    """Write the comparison under every measure; one of the tables is shown at a time."""
    first = next(iter(comparisons.values()))
    names = [f"comparison-{name}" for name in comparisons]
    controls = [
        select_html("comparison-score", "score", measure_options(comparisons)),
        select_html("comparison-dataset", "dataset", [("", "all"), *dataset_options(first)]),
        filter_html(names, f"such as {first.rows[0].name}", "networks with"),
        '<label class="check"><input type="checkbox" id="comparison-costs" checked> costs</label>',
    ]
    shown = []
    for place, (name, comparison) in enumerate(comparisons.items()):
        hidden = " hidden" if place else ""
        written = table_html(comparison_table(comparison), name=names[place])
        shown.append(f'<div class="of-score" data-score="{escape(name)}"{hidden}>\n{written}\n</div>')
    return f'<div class="controls">{"".join(controls)}</div>\n' + "\n".join(shown)


def plot_html(comparisons: Mapping[str, Comparison]) -> str:
    """Write the place of the plot of a score against a cost."""
    first = next(iter(comparisons.values()))
    known = [name for name in COSTS if any(getattr(costs, name) for costs in first.costs.values())]
    controls = [
        select_html("plot-x", "against", [(name, COSTS[name].title) for name in known]),
        select_html("plot-score", "score", measure_options(comparisons)),
        select_html("plot-dataset", "dataset", dataset_options(first)),
    ]
    lacking = [COSTS[name].title.partition(",")[0] for name in ("macs", "latency_ms") if name not in known]
    notes = "Line: 95 % bootstrap interval. Point at a network, or step through them with the Tab key, for its numbers."
    if lacking:
        notes += f" {' and '.join(lacking)} are there once python -m medseg.benchmark has measured them."
    return (
        f'<div class="controls">{"".join(controls)}</div>\n<div class="plot" id="plot"></div>\n'
        '<div class="legend" id="plot-legend" role="group" aria-label="networks in the plot"></div>\n'
        f'<p class="faint">{escape(notes)}</p>'
    )


def matrix_html(comparisons: Mapping[str, Comparison]) -> str:
    """Write the place of the matrix of differences between all pairs of networks."""
    first = next(iter(comparisons.values()))
    controls = [
        select_html("matrix-score", "score", measure_options(comparisons)),
        select_html("matrix-dataset", "dataset", dataset_options(first)),
    ]
    notes = (
        "The network of the row minus that of the column. Point at a cell, or go through them with the arrow keys, for "
        "the interval and p."
    )
    return (
        f'<div class="controls">{"".join(controls)}</div>\n<div class="scroll" id="matrix"></div>\n'
        '<p class="readout" id="matrix-readout" aria-live="polite"></p>\n'
        '<p class="keys"><span class="key better">better</span> <span class="key worse">worse</span> '
        f'<span class="key undecided">undecided</span></p>\n<p class="faint">{escape(notes)}</p>'
    )


def scores_data(comparisons: Mapping[str, Comparison]) -> dict[str, Any]:
    """Return the numbers behind the plot and the matrix."""
    first = next(iter(comparisons.values()))
    return {
        "rows": [{"label": row.label, "costs": costs_data(first.costs[row])} for row in first.rows],
        "columns": [column.label for column in first.columns],
        "costs": {name: cost.title for name, cost in COSTS.items()},
        "measures": {
            name: {
                "title": comparison.measure.title,
                "heading": comparison.measure.heading,
                "digits": comparison.measure.digits,
                "up": comparison.measure.higher_is_better,
                "unit": comparison.measure.point_unit,
                "cells": [[score_data(comparison, row, column) for column in first.columns] for row in first.rows],
                "pairs": pairs_data(comparison),
            }
            for name, comparison in comparisons.items()
        },
    }


def costs_data(costs: Costs) -> dict[str, Any]:
    """Return what a row costs, each as number and text; those that are known."""
    found: dict[str, Any] = {}
    for name, cost in COSTS.items():
        value = getattr(costs, name)
        if value:
            found[name] = [significant(value / cost.unit), number(value / cost.unit, cost.digits)]
    if costs.size:
        found["measured"] = f"{size(costs.size)}; {costs.measured_on}"
    return found


def score_data(comparison: Comparison, row: Line, column: Line) -> list[Any] | None:
    """Return mean, ends of the interval and text of a cell; None where it has no score."""
    cell = comparison.cells.get((row, column))
    score = cell.scores.get(comparison.measure.name) if cell else None
    if score is None:
        return None
    measure = comparison.measure
    text = f"{number(score.mean, measure.digits)}{spread(score, measure)}{interval(score, measure)}"
    ends = [None if end is None else significant(end) for end in (score.low, score.high)]
    return [significant(score.mean), *ends, text]


def pairs_data(comparison: Comparison) -> list[list[list[Any]]]:
    """Return the pairs of each dataset: places of the two rows, difference, p, corrected p, verdict, images."""
    place = {row: k for k, row in enumerate(comparison.rows)}
    measure = comparison.measure

    def entry(pair: Pair) -> list[Any]:
        words = (difference(pair, measure), p_value(pair.p), p_value(pair.corrected), verdict(pair))
        return [place[pair.first], place[pair.second], *words, pair.images]

    return [[entry(pair) for pair in comparison.pairs if pair.column == column] for column in comparison.columns]


def significant(value: float) -> float:
    """Round to what a plot can show; what is beyond may depend on the processor."""
    return float(f"{value:.6g}")
