"""What papers report beside what the runs of a report show: claims, published scores."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from medseg.reporting.claims.verdict import JudgedStudy, as_rows
from medseg.reporting.formatting import count, fixed, interval, number, signed
from medseg.reporting.published import PublishedCell
from medseg.reporting.render.table import Column, Entry, Table

Row = Mapping[str, str | None]


def verdict(row: Row) -> Entry:
    """Write a verdict; what is supported is bold."""
    return Entry(row["verdict"] or "-", rank=1 if row["verdict"] == "supported" else None)


def several(text: str | None) -> tuple[str, ...] | None:
    """Return what is displayed on several lines."""
    return tuple(text.split("; ")) if text else None


CLAIMS: Sequence[Column[Row]] = (
    Column("study"),
    Column("title"),
    Column("claim", "claim"),
    Column("verdict", "verdict", text=verdict),
    Column("difference", "difference", lambda row: several(row["difference"])),
    Column("datasets", "datasets", lambda row: several(row["datasets"])),
    Column("power", "power", lambda row: several(row["power"])),
    Column("runs", "runs", lambda row: int(row["runs"] or 0), number=True),
    Column("protocol", "protocol"),
    Column("remarks", "remarks"),
    Column("source", "source"),
)


def claims_tables(judged: Sequence[JudgedStudy]) -> list[Table[Row]]:
    """A table for each study. CSV: one for all."""
    rows = [
        [{"study": study.study, "title": study.title, **{k: text or None for k, text in row.items()}} for row in shown]
        for study in judged
        for shown in [as_rows(study.verdicts)]
    ]
    every = [row for shown in rows for row in shown]
    tables = []
    for study, shown in zip(judged, rows, strict=True):
        intervals = f"intervals are those of the verdicts{levels(study)}"
        notes = [f"Differences are positive where they are as claimed; {intervals}."]
        if study.without_runs:
            notes.append(f"{count(study.without_runs, 'further claim')} without runs here.")
        table = Table(f"claims-{study.study}", study.title, CLAIMS, every, tuple(notes), displayed=shown, csv="claims")
        tables.append(table)
    return tables


def levels(study: JudgedStudy) -> str:
    """Write the levels of the intervals, which are above 95 % where several pairs are judged together."""
    every = {on.pair.confidence for verdict in study.verdicts for on in verdict.datasets if on.pair.low is not None}
    if not every:
        return ""
    ends = list(dict.fromkeys(f"{100 * one:.2f} %" for one in (min(every), max(every))))
    return f" on the datasets, at {' to '.join(ends)}, all pairs of a dataset being judged together"


PUBLISHED: Sequence[Column[PublishedCell]] = (
    Column("network", "network", lambda p: p.row.label),
    Column("dataset", "dataset", lambda p: p.column.label),
    Column("measure", value=lambda p: p.measure.name),
    Column("score", "score", lambda p: p.measure.title),
    Column("ours", "ours", lambda p: p.ours.mean, text=lambda p: number(p.ours.mean, 3) + interval(p.ours, p.measure)),
    Column("published", "published", lambda p: p.published.value, fixed(3), number=True),
    Column("difference", "difference, points", show=lambda value: signed(100 * value, 1), number=True),
    Column("differs_in", "protocol differs in", lambda p: "; ".join(p.differs_in) or "nothing known"),
    Column("source", "source", lambda p: p.published.source),
)


def published_table(cells: Iterable[PublishedCell], at: str = "") -> Table[PublishedCell]:
    """Our scores beside published ones, each pair under the convention of the published one.

    `at`: the size that ours are taken at; empty for native size.
    """
    ours = f"ours are taken at {at}" if at else "convention=prepared_size takes ours there; here it is the native size"
    size = f"Most published scores are taken at the size of the training, and seldom state it; {ours}."
    notes = (
        size,
        "Ours is taken as the source takes its mean; where that is not stated, ours is the mean over images.",
        "Difference: ours - published, where both are taken in the same way, or the source does not state it.",
    )
    return Table("published", "Next to published figures", PUBLISHED, list(cells), notes)
