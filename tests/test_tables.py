"""The same rows as text, Markdown and CSV."""

from __future__ import annotations

import csv
import io

from medseg.tables import Column, write_table

COLUMNS = [
    Column("name", "network"),
    Column("parameters", "parameters", lambda number: f"{number:,}", number=True),
    Column("claims", "it says"),
    Column("height"),
]
ROWS = [["U-Net | 32", 4318434, ("a, b", "c"), 256], ["AMSUnet", None, (), 256]]


def test_text_is_aligned_and_cells_can_have_several_lines() -> None:
    assert write_table(COLUMNS, ROWS, "table").splitlines() == [
        "network     parameters  it says",
        "----------  ----------  -------",
        "U-Net | 32   4,318,434  a, b",
        "                        c",
        "AMSUnet              -",
    ]


def test_markdown() -> None:
    assert write_table(COLUMNS, ROWS, "markdown").splitlines() == [
        "| network | parameters | it says |",
        "| --- | ---: | --- |",
        r"| U-Net \| 32 | 4,318,434 | a, b<br>c |",
        "| AMSUnet | - |  |",
    ]


def test_csv_has_the_values_as_they_are_and_every_column() -> None:
    rows = list(csv.DictReader(io.StringIO(write_table(COLUMNS, ROWS, "csv"))))
    assert rows == [
        {"name": "U-Net | 32", "parameters": "4318434", "claims": "a, b; c", "height": "256"},
        {"name": "AMSUnet", "parameters": "", "claims": "", "height": "256"},
    ]
