"""Tables for people and for programs: aligned text, Markdown and CSV from the same rows."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

FORMATS = ("table", "markdown", "csv")
"""Text for a terminal, Markdown, CSV."""


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Args:
        key: its name in CSV.
        title: its heading in text and Markdown, with the unit; without one it is in CSV alone.
        show: how text and Markdown write a value; CSV has it as it is.
        number: aligned to the right.
    """

    key: str
    title: str = ""
    show: Callable[[Any], str] = str
    number: bool = False


def write_table(columns: Sequence[Column], rows: Sequence[Sequence[Any]], form: str) -> str:
    """Write a table in one of `FORMATS`.

    A row has a value for each column. None is a dash, in CSV nothing; a tuple of words is a cell of several lines, in
    CSV `one; another`.
    """
    if form == "csv":
        stream = io.StringIO()
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow([column.key for column in columns])
        writer.writerows([["; ".join(value) if isinstance(value, tuple) else value for value in row] for row in rows])
        return stream.getvalue().rstrip("\n")
    shown = [column for column in columns if column.title]
    cells = [[lines(column, value) for column, value in zip(columns, row, strict=True) if column.title] for row in rows]
    return as_markdown(shown, cells) if form == "markdown" else as_text(shown, cells)


def lines(column: Column, value: Any) -> list[str]:
    """Return the lines of a cell."""
    if isinstance(value, tuple):
        return [column.show(item) for item in value]
    return ["-" if value is None else column.show(value)]


def as_markdown(columns: Sequence[Column], rows: Sequence[Sequence[Sequence[str]]]) -> str:
    """Write headings and rows of cells, each a list of lines, as Markdown."""
    rule = ["---:" if column.number else "---" for column in columns]
    cells = [["<br>".join(cell).replace("|", "\\|") for cell in row] for row in rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in [[column.title for column in columns], rule, *cells])


def as_text(columns: Sequence[Column], rows: Sequence[Sequence[Sequence[str]]]) -> str:
    """Write headings and rows of cells, each a list of lines, in aligned columns."""
    heading = [column.title for column in columns]
    # A row is as many lines as its highest cell.
    text = [[cell[k] if k < len(cell) else "" for cell in row] for row in rows for k in range(max(1, *map(len, row)))]
    widths = [max(map(len, column)) for column in zip(heading, *text, strict=True)]
    rule = ["-" * width for width in widths]
    aligned = [
        "  ".join(
            cell.rjust(width) if column.number else cell.ljust(width)
            for column, cell, width in zip(columns, row, widths, strict=True)
        ).rstrip()
        for row in [heading, rule, *text]
    ]
    return "\n".join(aligned)
