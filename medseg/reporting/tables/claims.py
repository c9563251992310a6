"""The claims of papers that the runs of a report speak to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from medseg.reporting.claims import JudgedPaper, as_rows
from medseg.reporting.render.table import Column, Entry, Table
from medseg.reporting.words import count

Row = Mapping[str, str | None]


def verdict(row: Row) -> Entry:
    """Write a verdict; what is supported is bold."""
    return Entry(row["verdict"] or "-", place=1 if row["verdict"] == "supported" else None)


def several(text: str | None) -> tuple[str, ...] | None:
    """Return what is displayed on several lines."""
    return tuple(text.split("; ")) if text else None


COLUMNS: Sequence[Column[Row]] = (
    Column("study"),
    Column("paper"),
    Column("claim", "claim"),
    Column("verdict", "verdict", text=verdict),
    Column("difference", "difference", lambda row: several(row["difference"])),
    Column("datasets", "datasets", lambda row: several(row["datasets"])),
    Column("runs", "runs", lambda row: int(row["runs"] or 0), number=True),
    Column("protocol", "protocol"),
    Column("remarks", "remarks"),
    Column("source", "source"),
)


def claims_tables(judged: Sequence[JudgedPaper]) -> list[Table[Row]]:
    """A table for each paper. CSV: one for all."""
    rows = [
        [{"study": paper.study, "paper": paper.paper, **{k: text or None for k, text in row.items()}} for row in found]
        for paper in judged
        for found in [as_rows(paper.verdicts)]
    ]
    every = [row for shown in rows for row in shown]
    tables = []
    for paper, shown in zip(judged, rows, strict=True):
        notes = [
            "Differences are positive where they are as claimed; intervals are those of the verdicts on the datasets."
        ]
        if paper.without_runs:
            notes.append(f"{count(paper.without_runs, 'further claim')} without runs here.")
        table = Table(f"claims-{paper.study}", paper.paper, COLUMNS, every, tuple(notes), displayed=shown, csv="claims")
        tables.append(table)
    return tables
