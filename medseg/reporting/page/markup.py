"""Controls and sections of the page as HTML; every text is escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape


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
