"""Tables as HTML; every text is escaped."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from medseg.reporting.render.markdown import superscript
from medseg.reporting.render.table import Shown, Table, one_line

LONG = 40
"""Characters from which on a cell is a sentence, which must not be made too narrow."""

SHORT = 20
"""Characters up to which a cell beside sentences stays in one line."""

VERDICTS = {
    "better": "good", "supported": "good", "worse": "bad", "contradicted": "bad", "failed": "bad", "equivalent": "same",
}  # fmt: skip
"""Words that are shown in colour -> class."""


def as_html(table: Table[Any], *, name: str = "") -> str:
    """Write a table whose columns can be sorted (`pages/tables.js`), and its notes; `name`: id of the element."""
    grid = table.grid
    numeric = [grid.numeric(column) for column in range(len(grid.headings))]
    headings = []
    for heading, numbers in zip(grid.headings, numeric, strict=True):
        kind = ' class="number"' if numbers else ""
        order = f' data-first="{heading.order}"' if heading.order else ""
        headings.append(f'<th scope="col"{kind}{order}>{escape(heading.text)}</th>')
    # Cells of sentences are shown below one another on a narrow screen, each with the heading of its column.
    wordy = any(len(row[k].text) > LONG for row in grid.rows for k in range(1, len(row)) if not numeric[k])
    labels = [heading.text if wordy else "" for heading in grid.headings]
    rows = []
    for row in grid.rows:
        cells = [
            cell_html(cell, numbers, label, header=k == 0)
            for k, (cell, numbers, label) in enumerate(zip(row, numeric, labels, strict=True))
        ]
        rows.append(f"<tr>{''.join(cells)}</tr>")
    identity = f' id="{escape(name)}"' if name else ""
    kind = "sortable wordy" if wordy else "sortable"
    notes = [*table.notes, *(f"{superscript(mark)} {note}" for mark, note in enumerate(grid.footnotes, start=1))]
    return (
        f'<div class="scroll"><table class="{kind}"{identity}><thead><tr>{"".join(headings)}</tr></thead>\n'
        f"<tbody>\n{chr(10).join(rows)}\n</tbody></table></div>\n{notes_html(notes)}"
    )


def cell_html(cell: Shown, numeric: bool, label: str, *, header: bool) -> str:
    """Write a cell.

    Args:
        cell: what it holds.
        numeric: the column is sorted by numbers.
        label: heading of the column in a table of sentences.
        header: it names the row.
    """
    length = len(cell.text)
    kind = "number" if numeric else "long" if length > LONG else "short" if label and length <= SHORT else ""
    kind = f' class="{kind}"' if kind else ""
    order = ""
    if numeric:
        order = ' data-value=""' if cell.value is None else f' data-value="{cell.value:.12g}"'
    if header:
        return f'<th scope="row"{kind}{order}>{entry_html(cell)}</th>'
    named = f' data-label="{escape(label)}"' if label else ""
    return f"<td{kind}{order}{named}>{entry_html(cell)}</td>"


def entry_html(cell: Shown) -> str:
    """Write the content of a cell: what is emphasised, what follows, the marks of its footnotes."""
    text = escape(cell.entry.text).replace("\n", "<br>")
    if cell.entry.text in VERDICTS:
        text = f'<span class="{VERDICTS[cell.entry.text]}">{text}</span>'
    emphasis = {1: "strong", 2: "u"}.get(cell.entry.place or 0)
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
