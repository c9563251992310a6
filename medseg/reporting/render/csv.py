"""Tables as CSV: every record and every column with a key, values as they are."""

from __future__ import annotations

import csv
import io
import re
from typing import Any

from medseg.reporting.render.table import Table

FORMULA = re.compile(r"[=@\t\n]|[+-](?!\d*\.?\d*$)")
"""Beginning of a text that is no number and that a spreadsheet would evaluate."""


def as_csv(table: Table[Any]) -> str:
    """Write a table as CSV, with a newline at its end.

    None is an empty cell, a tuple `one; another`. Floats have 12 significant digits: what is beyond depends on the
    processor that added them up. A text that a spreadsheet would take for a formula begins with an apostrophe.
    """
    columns = [column for column in table.columns if column.key]
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow([plain(column.key) for column in columns])
    writer.writerows([[plain(column.value_of(record)) for column in columns] for record in table.records])
    return stream.getvalue()


def plain(value: Any) -> Any:
    """Return a value as CSV has it."""
    if isinstance(value, float):
        return f"{value:.12g}"
    if isinstance(value, bool):
        return int(value)
    text = "; ".join(map(str, value)) if isinstance(value, tuple) else value
    if not isinstance(text, str):
        return text
    text = text.replace("\r", "\n")  # which is quoted
    return f"'{text}" if FORMULA.match(text) else text
