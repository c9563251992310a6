"""The subgroups on the page: a plot of the scores in each, and the table of each way to divide a dataset."""

from __future__ import annotations

from typing import Any

from medseg.reporting.comparison import Comparison
from medseg.reporting.page.markup import controls_html, faint, legend_html, select_html
from medseg.reporting.page.scores import significant
from medseg.reporting.render.html import as_html as table_html
from medseg.reporting.render.html import notes_html
from medseg.reporting.render.table import one_line
from medseg.reporting.subgroups import Divided, Subgroups
from medseg.reporting.tables.subgroups import headings, short, subgroup_tables, text_of


def subgroups_html(subgroups: Subgroups, comparison: Comparison) -> str:
    """Write the plot and the tables, of which one is shown at a time; nothing where there are none."""
    notes = notes_html(subgroups.notes)
    if not subgroups.divided:
        return notes
    titles = [f"{one.division.column.label}, by {one.division.title}" for one in subgroups.divided]
    tables = subgroup_tables(subgroups, comparison.measure)
    parts = [
        f'<div class="of-division" data-division="{index}"{" hidden" * (index > 0)}>\n'
        f"{faint(lines_of(one))}\n{table_html(table)}\n</div>"
        for index, (one, table) in enumerate(zip(subgroups.divided, tables, strict=True))
    ]
    options = [(str(index), title) for index, title in enumerate(titles)]
    return (
        f"{controls_html(select_html('subgroups-shown', 'test images of', options))}"
        f'<div class="plot" id="subgroups-plot"></div>\n{legend_html("subgroups", "networks in the subgroups")}'
        f"{''.join(parts)}\n{notes}"
    )


def lines_of(divided: Divided) -> str:
    """Explain the lines of the plot of a division; where points have none, there is no interval."""
    known = {cell.score.low is not None for of in divided.cells.values() for cell in of.values() if cell.score}
    lines = ["Line: 95 % interval of the mean."] * (True in known)
    lines += ["A point without a line has no interval; the table has the reason."] * (False in known)
    return " ".join(lines)


def subgroups_data(subgroups: Subgroups, comparison: Comparison) -> dict[str, Any]:
    """Return the numbers of the plot."""
    return {
        "title": comparison.measure.title,
        "heading": comparison.measure.heading,
        "rows": [one_line(row.label) for row in comparison.rows],
        "divisions": [division_data(one, comparison) for one in subgroups.divided],
    }


def division_data(divided: Divided, comparison: Comparison) -> dict[str, Any]:
    """Return the names of the subgroups; of each network mean, ends of the interval and text in each, None without."""
    cells: dict[int, list[list[Any] | None]] = {}
    for number, row in enumerate(comparison.rows):
        of = divided.cells.get(row)
        if of:
            cells[number] = [
                [
                    significant(score.mean),
                    *(None if end is None else significant(end) for end in (score.low, score.high)),
                    "".join(text_of(score, comparison.measure)),
                ]
                if (cell := of.get(name)) is not None and (score := cell.score) is not None
                else None
                for name in divided.division.images
            ]
    names = [one_line(name) for name in headings(divided).values()]
    ticks = [one_line(short(name, divided.division)) for name in divided.division.images]
    return {"names": names, "ticks": ticks, "cells": cells}
