"""Controls and sections of the page as HTML; every text is escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from medseg.reporting.render.html import plain


def controls_html(*controls: str) -> str:
    """Write a line of controls."""
    return f'<div class="controls">{"".join(controls)}</div>\n'


def select_html(name: str, label: str, options: Iterable[tuple[str, str]]) -> str:
    """Write a labelled select; with a single option, there is nothing to choose, and it is not shown.

    Args:
        name: id.
        label: what is chosen.
        options: value and text of each; none where a script fills them in.
    """
    written = [f'<option value="{escape(value)}">{plain(text)}</option>' for value, text in options]
    hidden = " hidden" if len(written) == 1 else ""
    return f'<label{hidden}>{escape(label)}<select id="{name}">{"".join(written)}</select></label>'


def filter_html(tables: Sequence[str], placeholder: str, label: str) -> str:
    """Write a field that filters the rows of some tables, by their ids."""
    return (
        f'<label>{escape(label)}<input type="search" data-filter="{" ".join(tables)}" '
        f'placeholder="{plain(placeholder)}"></label>'
    )


def legend_html(name: str, label: str) -> str:
    """Write the frame of the legend of a plot, which a script fills in."""
    return f'<div class="legend" id="{name}-legend" role="group" aria-label="{escape(label)}"></div>\n'


def faint(text: str) -> str:
    """Write an explanation below what it explains."""
    return f'<p class="faint">{escape(text)}</p>'


def folded(summary: str, body: str) -> str:
    """Write what is shown when asked for; nothing where there is nothing."""
    return f"\n<details><summary>{escape(summary)}</summary>\n{body}\n</details>" if body else ""


def section_html(name: str, title: str, body: str) -> str:
    """Write a section of the page."""
    heading = f'<h2 id="{name}-title">{escape(title)}</h2>'
    return f'<section id="{name}" aria-labelledby="{name}-title">\n{heading}\n{body}\n</section>'
