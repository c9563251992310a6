"""How sure the ranks are, as a heat map: the share of bootstrap samples in which a network has a rank."""

from __future__ import annotations

from html import escape
from typing import Any

from medseg.reporting.comparison import Comparison
from medseg.reporting.page.markup import folded
from medseg.reporting.render.html import notes_html, plain
from medseg.reporting.render.table import Table
from medseg.reporting.tables.outlook import stability_tables


def stability_html(comparison: Comparison) -> str:
    """Write a heat map over all datasets, and one for each; nothing where ranks are not known."""
    # The order of networks with one seed is not judged, so it has no colour.
    single = any(cell.sample and len(cell.sample.seeds) == 1 for cell in comparison.cells.values())
    kind = "scroll shares" if single else "scroll shares heat"
    first, *others = [heat_html(table, kind) for table in stability_tables(comparison, len(comparison.rows))] or [""]
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
        f'<h3>{plain(table.title)}</h3>\n<div class="{kind}"><table><thead><tr>{head}</tr></thead>\n'
        f"<tbody>\n{chr(10).join(rows)}\n</tbody></table></div>\n{notes_html(table.notes)}"
    )
