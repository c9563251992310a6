"""Tables and controls as HTML; every text is escaped."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape

from medseg.reporting.render import Entry, Table

NUMBER = re.compile(r"<?([+-]?\d+(?:\.\d+)?)(?=$| [\[±(%≈]| of \d)")
"""A number at the start of a cell, such as `0.81 [0.79, 0.83]`; one that is below a bound counts as the bound."""

EMPTY = ("", "-")

LONG = 40
"""Characters from which on a cell is a sentence, which must not be made too narrow."""

SHORT = 20
"""Characters up to which a cell beside sentences stays in one line."""

VERDICTS = {"better": "good", "supported": "good", "worse": "bad", "contradicted": "bad", "failed": "bad"}
"""Words that are shown in colour -> class."""

Values = Mapping[tuple[int, int], float]
"""(row, column) of a table -> what the cell is sorted by."""


def table_html(
    table: Table, *, name: str = "", values: Values | None = None, first: Mapping[int, str] | None = None
) -> str:
    """Write a table whose columns can be sorted, and its notes.

    Args:
        table: of words.
        name: id of the element.
        values: what cells are sorted by; the other cells of numbers by the number that they start with.
        first: column -> how it is sorted at first, `ascending` or `descending`; the others by what they hold.
    """
    given = values or {}
    numeric = [is_numeric(table, column) for column in range(len(table.headings))]
    numeric = [found or any(place[1] == column for place in given) for column, found in enumerate(numeric)]
    headings = []
    for column, heading in enumerate(table.headings):
        kind = ' class="number"' if numeric[column] else ""
        order = f' data-first="{first[column]}"' if first and column in first else ""
        headings.append(f'<th scope="col"{kind}{order}>{escape(heading.text)}</th>')
    wordy = any(len(text_of(entry)) > LONG and not numeric[k] for row in table.rows for k, entry in enumerate(row) if k)
    rows = []
    for line, row in enumerate(table.rows):
        cells = []
        for column, entry in enumerate(row):
            label = table.headings[column].text if wordy else ""
            cells.append(cell_html(entry, numeric[column], given.get((line, column)), header=column == 0, label=label))
        rows.append(f"<tr>{''.join(cells)}</tr>")
    identity = f' id="{escape(name)}"' if name else ""
    kind = "sortable wordy" if wordy else "sortable"
    return (
        f'<div class="scroll"><table class="{kind}"{identity}><thead><tr>{"".join(headings)}</tr></thead>\n'
        f"<tbody>\n{chr(10).join(rows)}\n</tbody></table></div>\n{notes_html(table.notes)}"
    )


def is_numeric(table: Table, column: int) -> bool:
    """Tell whether all cells of a column start with a number or are empty; of an empty one, what its heading says."""
    texts = [text_of(row[column]) for row in table.rows]
    numbers = all(text in EMPTY or (len(text) <= LONG and NUMBER.match(text)) for text in texts)
    return numbers and (table.headings[column].number or not all(text in EMPTY for text in texts))


def text_of(entry: str | Entry) -> str:
    """Return all that a cell says."""
    return entry if isinstance(entry, str) else entry.text + entry.after


def cell_html(entry: str | Entry, numeric: bool, value: float | None, *, header: bool, label: str = "") -> str:
    """Write a cell: what is emphasised, and what follows.

    Args:
        entry: what it says.
        numeric: whether the column is sorted by numbers.
        value: number to sort by; None for the one that the cell starts with.
        header: whether it names the row.
        label: heading of the column, for a narrow screen that shows the cells of a row below one another.
    """
    text = text_of(entry)
    found = NUMBER.match(text)
    if value is None and numeric and found:
        value = float(found[1])
    kind = ' class="number"' if numeric else ' class="long"' if len(text) > LONG else ""
    kind = ' class="short"' if not kind and label and len(text) <= SHORT else kind
    order = "" if not numeric else ' data-value=""' if value is None else f' data-value="{value:.12g}"'
    if header:
        return f'<th scope="row"{kind}{order}>{entry_html(entry)}</th>'
    named = f' data-label="{escape(label)}"' if label else ""
    return f"<td{kind}{order}{named}>{entry_html(entry)}</td>"


def entry_html(entry: str | Entry) -> str:
    """Write what a cell says."""
    if isinstance(entry, str):
        return word_html(entry)
    text = word_html(entry.text)
    emphasis = {1: "strong", 2: "u"}.get(entry.place or 0)
    text = f"<{emphasis}>{text}</{emphasis}>" if emphasis else text
    like = '<abbr title="not distinguishable from the best">≈</abbr>'
    after = escape(entry.after.strip()).replace("≈", like)
    return f'{text}<span class="after"> {after}</span>' if after else text


def word_html(text: str) -> str:
    """Write a text, in colour where it is a verdict."""
    kind = VERDICTS.get(text)
    return f'<span class="{kind}">{escape(text)}</span>' if kind else escape(text)


def notes_html(notes: Sequence[str]) -> str:
    """Write notes below a table."""
    lines = "".join(f"<li>{escape(note)}</li>" for note in notes)
    return f'<ul class="notes">{lines}</ul>' if lines else ""


def select_html(name: str, label: str, options: Iterable[tuple[str, str]], chosen: str = "") -> str:
    """Write a labelled select; `options`: value and text of each."""
    written = "".join(
        f'<option value="{escape(value)}"{" selected" if value == chosen else ""}>{escape(text)}</option>'
        for value, text in options
    )
    return f'<label>{escape(label)}<select id="{escape(name)}">{written}</select></label>'


def filter_html(tables: Sequence[str], placeholder: str, label: str = "rows with") -> str:
    """Write a field that filters the rows of some tables, by their ids."""
    return (
        f'<label>{escape(label)}<input type="search" data-filter="{escape(" ".join(tables))}" '
        f'placeholder="{escape(placeholder)}"></label>'
    )


def section_html(name: str, title: str, body: str) -> str:
    """Write a section of the page."""
    heading = f'<h2 id="{name}-title">{escape(title)}</h2>'
    return f'<section id="{name}" aria-labelledby="{name}-title">\n{heading}\n{body}\n</section>'
