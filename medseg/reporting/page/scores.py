"""The comparison under every measure: its tables, its ranks, and the numbers of its plots."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

from medseg.reporting.comparison import Comparison, under
from medseg.reporting.costs import Costs
from medseg.reporting.formatting import chance, count, level, margin, number, p_value, point_digits, size
from medseg.reporting.line import Line
from medseg.reporting.page.markup import controls_html, faint, filter_html, folded, legend_html, select_html
from medseg.reporting.pairs import MOST_NETWORKS, opposite_of
from medseg.reporting.render.html import as_html as table_html
from medseg.reporting.render.html import notes_html, plain
from medseg.reporting.render.table import Table, one_line
from medseg.reporting.rule import BETTER, EQUIVALENT, NOT_JUDGED, UNDECIDED, WORSE
from medseg.reporting.tables.costs import COSTS
from medseg.reporting.tables.outlook import stability_tables
from medseg.reporting.tables.scores import ONE_SEED, ScoreRow, cell_entry, comparison_table

Comparisons = Mapping[str, Comparison]
"""Name of a measure -> the comparison under it, that of the report first."""

STATES = (BETTER, WORSE, EQUIVALENT, UNDECIDED, NOT_JUDGED)
"""Of a pair, in the order of the keys below the matrix."""


def every_measure(comparison: Comparison) -> Comparisons:
    """Return the comparison under each measure that any of its cells has; of very many networks, under one."""
    own = comparison.measure.name
    if len(comparison.rows) > MOST_NETWORKS:
        return {own: comparison}
    having = {name for cell in comparison.cells.values() for name in cell.scores}
    others = {name: measure for name, measure in comparison.measures.items() if name in having and name != own}
    return {own: comparison} | {name: under(comparison, measure) for name, measure in others.items()}


def score_select(section: str, comparisons: Comparisons) -> str:
    """Write the select of a section for the measure."""
    options = [(name, comparison.measure.heading) for name, comparison in comparisons.items()]
    return select_html(f"{section}-score", "score", options)


def dataset_options(comparison: Comparison, *, trained: bool = False) -> list[tuple[str, str]]:
    """Return value and text of each column, for a select; `trained`: of those that runs were trained on."""
    columns = enumerate(comparison.columns)
    return [(str(index), column.label) for index, column in columns if not (trained and column.of)]


def comparison_html(comparisons: Comparisons) -> str:
    """Write the comparison under every measure; one of the tables is shown at a time."""
    first = next(iter(comparisons.values()))
    datasets = dataset_options(first)
    names = [f"comparison-{index}" for index in range(len(comparisons))]  # a custom metric may be called anything
    controls = controls_html(
        score_select("comparison", comparisons),
        select_html("comparison-dataset", "dataset", [("", "all"), *(datasets if len(datasets) > 1 else ())]),
        filter_html(names, f"such as {first.rows[0].label}", "networks with") if len(first.rows) > 1 else "",
        '<label class="check"><input type="checkbox" id="comparison-costs" checked> costs</label>',
    )
    tables = [
        f'<div class="of-score" data-score="{escape(measure)}"{"" if comparison is first else " hidden"}>\n'
        f"{table_html(comparison_table(comparison), name=name)}\n</div>"
        for name, (measure, comparison) in zip(names, comparisons.items(), strict=True)
    ]
    if len(first.rows) > MOST_NETWORKS:
        tables.append(faint(f"Of more than {MOST_NETWORKS} networks under this score alone; score=iou takes another."))
    return controls + "\n".join(tables)


def plot_html(comparisons: Comparisons) -> str:
    """Write the frame of the plot of a score against a cost; nothing where no cost of two networks is known."""
    first = next(iter(comparisons.values()))
    known = [name for name in COSTS if sum(bool(getattr(costs, name)) for costs in first.costs.values()) > 1]
    if not known:
        return ""
    controls = controls_html(
        select_html("plot-x", "against", [(name, COSTS[name].title) for name in known]),
        score_select("plot", comparisons),
        select_html("plot-dataset", "dataset", dataset_options(first)),
    )
    notes = (
        "Line: the interval of the comparison. Point at a network, or step through them with the Tab key, for its "
        "numbers."
    )
    lacking = [COSTS[name].title.partition(",")[0] for name in ("macs", "latency_ms") if name not in known]
    if lacking:
        verb, what = ("is", "it") if len(lacking) == 1 else ("are", "them")
        named = " and ".join(lacking)
        notes += f" {named[:1].upper()}{named[1:]} {verb} shown once medseg benchmark has measured {what}."
    return f'{controls}<div class="plot" id="plot"></div>\n{legend_html("plot", "networks in the plot")}{faint(notes)}'


def matrix_html(comparisons: Comparisons) -> str:
    """Write the frame of the matrix of differences between all pairs of networks; nothing without a pair."""
    states: dict[str, set[str]] = {}
    margins = []
    for comparison in comparisons.values():
        for pair in comparison.pairs:
            states.setdefault(pair.state, set()).add(pair.reason)
        if any(pair.state == EQUIVALENT for pair in comparison.pairs):
            margins.append(margin(comparison.measure))
    if not states:
        return ""
    if states.keys() & {BETTER, WORSE}:
        states |= {BETTER: set(), WORSE: set()}  # one is the other, seen from the other network
    first = next(iter(comparisons.values()))
    dataset = select_html("matrix-dataset", "dataset", dataset_options(first))
    controls = controls_html(score_select("matrix", comparisons), dataset)
    notes = (
        "The network of the row minus that of the column. Point at a cell, or go through them with the arrow keys, for "
        "the interval and p."
    )
    if margins:
        by_score = ", depending on the score" if len(set(margins)) > 1 else ""
        notes += f" Equivalent: shown to differ by less than {' or '.join(dict.fromkeys(margins))}{by_score}."
    if len(first.rows) > MOST_NETWORKS:
        notes += f" The {MOST_NETWORKS} networks with the best mean on the dataset; all pairs are in pairs.csv."
    keys = " ".join(key_html(state, states[state]) for state in STATES if state in states)
    return (
        f'{controls}<div class="scroll" id="matrix"></div>\n'
        f'<p class="readout" id="matrix-readout" aria-live="polite"></p>\n<p class="keys">{keys}</p>\n{faint(notes)}\n'
    )


def key_html(state: str, reasons: Iterable[str]) -> str:
    """Write the key of a state, whose class gives it its colour and its mark (`report.css`)."""
    why = f" ({', '.join(sorted(reasons))})" if state == NOT_JUDGED else ""
    return f'<span class="key {state.replace(" ", "-")}">{escape(state + why)}</span>'


def stability_html(comparison: Comparison) -> str:
    """Write a heat map over all datasets, and one for each; nothing where ranks are not known."""
    # The order of networks with one seed is not judged, so it has no colour.
    single = any(cell.sample and len(cell.sample.seeds) == 1 for cell in comparison.cells.values())
    kind = "scroll shares" if single else "scroll shares heat"
    first, *others = [
        heat_html(table, kind) for table in stability_tables(comparison, min(len(comparison.rows), MOST_NETWORKS))
    ] or [""]
    return first + folded("On each dataset", "\n".join(others))


def heat_html(table: Table[Any], kind: str) -> str:
    """Write a table of shares, each cell as dark as its share where the class `kind` holds `heat`."""
    grid = table.grid
    head = "".join(f'<th scope="col">{escape(heading.text)}</th>' for heading in grid.headings)
    rows = []
    for name, *cells in grid.rows:
        written = [
            f'<td style="--share: {cell.value:.3f}">{escape(cell.text) if cell.value else ""}</td>' for cell in cells
        ]
        rows.append(f'<tr><th scope="row">{escape(name.text)}</th>{"".join(written)}</tr>')
    return (
        f"<h3>{plain(table.title)}</h3>\n"
        f'<div class="{kind}" tabindex="0" role="region" aria-label="{plain(table.title)}">'
        f"<table><thead><tr>{head}</tr></thead>\n"
        f"<tbody>\n{chr(10).join(rows)}\n</tbody></table></div>\n{notes_html(table.notes)}"
    )


def scores_data(comparisons: Comparisons) -> dict[str, Any]:
    """Return the numbers behind the plot and the matrix."""
    first = next(iter(comparisons.values()))
    return {
        "rows": [{"label": one_line(row.label), "costs": costs_data(first.costs[row])} for row in first.rows],
        "columns": [one_line(column.label) for column in first.columns],
        "costs": {name: cost.title for name, cost in COSTS.items()},
        "measures": {name: measure_data(comparison) for name, comparison in comparisons.items()},
    }


def costs_data(costs: Costs) -> dict[str, Any]:
    """Return what a row costs, each as number and text; those that are known."""
    known = {name: getattr(costs, name) / cost.unit for name, cost in COSTS.items() if getattr(costs, name)}
    data: dict[str, Any] = {
        name: [significant(value), number(value, COSTS[name].digits)] for name, value in known.items()
    }
    return data | ({"measured": "; ".join(filter(None, (size(costs.size), costs.measured_on)))} if costs.size else {})


def measure_data(comparison: Comparison) -> dict[str, Any]:
    """Return a measure; the score of each row on each column, None where there is none; the pairs of each column."""
    measure = comparison.measure
    cells = {(record.cell.row, record.cell.column): record for record in comparison_table(comparison).records}
    return {
        "title": measure.title,
        "heading": measure.heading,
        "digits": measure.digits,
        "up": measure.higher_is_better,
        "unit": measure.point_unit,
        "unit_digits": point_digits(measure),
        "cells": [[score_data(cells.get((row, column))) for column in comparison.columns] for row in comparison.rows],
        "pairs": pairs_data(comparison),
    }


def score_data(record: ScoreRow | None) -> list[Any] | None:
    """Return mean, ends of the interval, text of a cell, and how it compares with the others of its dataset."""
    if record is None or record.score is None:
        return None
    score, entry = record.score, cell_entry(record)
    standing = "the best mean of the dataset" if record.rank == 1 else ""
    if ONE_SEED in entry.notes:
        standing = "not judged (one seed)"
    elif record.cell.like_best:
        standing = "not shown to differ from the best"
    ends = [None if end is None else significant(end) for end in (score.low, score.high)]
    return [significant(score.mean), *ends, entry.text + entry.after.removesuffix(" ≈"), standing]


def best_rows(comparison: Comparison, column: Line) -> set[Line]:
    """Return the networks of a dataset that the matrix has: all, or those with the best means."""
    measure = comparison.measure
    means = {
        cell.row: cell.scores[measure.name].mean
        for cell in comparison.column_cells(column)
        if measure.name in cell.scores
    }
    return {*sorted(means, key=means.__getitem__, reverse=measure.higher_is_better)[:MOST_NETWORKS]}


def pairs_data(comparison: Comparison) -> list[list[list[Any]]]:
    """Return the pairs of each dataset, each as `matrix.js` takes it apart."""
    index = {row: k for k, row in enumerate(comparison.rows)}
    shown = {column: best_rows(comparison, column) for column in comparison.columns}
    measure = comparison.measure
    data: dict[Line, list[list[Any]]] = {column: [] for column in comparison.columns}
    for pair in comparison.pairs:
        if not {pair.first, pair.second} <= shown[pair.column]:
            continue
        points = [
            None if value is None else round(value * measure.points, point_digits(measure)) + 0.0
            for value in (pair.difference, pair.low, pair.high)
        ]
        tests = [level(pair.confidence), p_value(pair.p), p_value(pair.corrected)]
        units = count(pair.images, "image") + (f" in {count(pair.units, 'group')}" if pair.grouped else "")
        chances = [chance(one) for one in (pair.superiority, opposite_of(pair.superiority)) if one]
        rows = [index[pair.first], index[pair.second]]
        data[pair.column].append([*rows, *points, *tests, units, pair.state, pair.reason, *chances])
    return list(data.values())


def significant(value: float) -> float:
    """Round to what a plot can show; what is beyond may depend on the processor."""
    return float(f"{value:.6g}")
