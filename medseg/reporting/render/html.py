"""Tables as HTML; every text is escaped."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from medseg.reporting.render.table import GridCell, Table, one_line, superscript

LONG = 40
"""Characters from which on a cell is a sentence, which must not be made too narrow."""

SHORT = 20
"""Characters up to which the name of a row, and a cell beside sentences, stays in one line."""

VERDICTS = {
    "better": "good", "supported": "good", "worse": "bad", "contradicted": "bad", "failed": "bad", "equivalent": "same",
}  # fmt: skip
"""Words that are shown in colour -> class."""


def as_html(table: Table[Any], *, name: str = "") -> str:
    """Write a table whose columns can be sorted (`pages/tables.js`), and its notes; `name`: id of the element."""
    grid = table.grid
    numeric = [grid.numeric(column) for column in range(len(grid.headings))]
    # Cells of sentences are shown below one another on a narrow screen, each with the heading of its column.
    wordy = any(len(row[k].text) > LONG for row in grid.rows for k in range(1, len(row)) if not numeric[k])
    labels = [title if wordy else "" for title in grid.titles]
    rows = ["".join(map(cell_html, row, numeric, labels, [True] + [False] * len(row))) for row in grid.rows]
    headings = [
        f'<th scope="col"{attribute("class", "number" * numbers)}{attribute("data-first", heading.column.order)}>'
        f"{escape(heading.text)}</th>"
        for heading, numbers in zip(grid.headings, numeric, strict=True)
    ]
    return (
        f'<div class="scroll"><table class="sortable{" wordy" * wordy}"{attribute("id", name)}><thead>'
        f"<tr>{''.join(headings)}</tr></thead>\n<tbody>\n{chr(10).join(f'<tr>{row}</tr>' for row in rows)}\n"
        f"</tbody></table></div>\n{notes_html(table.all_notes)}"
    )


def attribute(name: str, value: str) -> str:
    """Write an attribute; nothing without a value."""
    return f' {name}="{escape(value)}"' if value else ""


def cell_html(cell: GridCell, numeric: bool, label: str, header: bool) -> str:
    """Write a cell of a column that is sorted by numbers or not; `label`: its heading in a table of sentences."""
    length = len(cell.text)
    in_one_line = length <= SHORT and (header or label)
    kind = "number" if numeric else "long" if length > LONG else "short" if in_one_line else ""
    order = f' data-value="{"" if cell.value is None else format(cell.value, ".12g")}"' if numeric else ""
    tag, more = ("th", ' scope="row"') if header else ("td", "")
    named = "" if header else attribute("data-label", label)
    return f"<{tag}{more}{attribute('class', kind)}{order}{named}>{entry_html(cell)}</{tag}>"


def entry_html(cell: GridCell) -> str:
    """Write the content of a cell: what is emphasised, what follows, the marks of its footnotes."""
    text = escape(cell.entry.text).replace("\n", "<br>")
    if cell.entry.text in VERDICTS:
        text = f'<span class="{VERDICTS[cell.entry.text]}">{text}</span>'
    emphasis = {1: "strong", 2: "u"}.get(cell.entry.rank or 0)
    text = f"<{emphasis}>{text}</{emphasis}>" if emphasis else text
    like = '<abbr title="not shown to differ from the best">≈</abbr>'
    after = escape(cell.entry.after.strip()).replace("≈", like) + superscript(*cell.marks)
    return f'{text}<span class="after"> {after}</span>' if after else text


def plain(text: str) -> str:
    """Escape a text that may come from a file."""
    return escape(one_line(text))


def notes_html(notes: Sequence[str]) -> str:
    """Write notes below a table."""
    lines = "".join(f"<li>{plain(note)}</li>" for note in notes)
    return f'<ul class="notes">{lines}</ul>' if lines else ""
