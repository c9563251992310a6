"""The claims of papers that the runs of a report speak to, as tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from medseg.reporting.claims import Verdict, as_rows, judge
from medseg.reporting.published import experiments_folder
from medseg.reporting.records import Run
from medseg.reporting.render import Entry, Heading, Table
from medseg.reporting.words import count

COLUMNS = {
    "claim": 0.18, "verdict": 0.1, "difference": 0.12, "datasets": 0.16, "runs": 0.0, "protocol": 0.13,
    "remarks": 0.11, "source": 0.07,
}  # fmt: skip
"""Of `as_rows`, in the order of the table, with their share of its width in LaTeX."""


@dataclass(frozen=True)
class JudgedPaper:
    """The claims of a paper that there are runs for.

    Args:
        study: its folder in `experiments/`.
        paper: as the file names it.
        verdicts: of the claims that there are runs for; never empty.
        without_runs: how many other claims it makes.
    """

    study: str
    paper: str
    verdicts: tuple[Verdict, ...]
    without_runs: int


def judge_papers(runs: Sequence[Run], folder: Path | None = None) -> list[JudgedPaper]:
    """Judge the claims of every study, sorted by its folder; a paper whose claims have no runs is left out.

    Raises `UserError` for a malformed file.
    """
    judged = []
    for file in sorted((folder or experiments_folder()).glob("*/claims.yaml")):
        verdicts = judge(file, runs)
        spoken = tuple(verdict for verdict in verdicts if verdict.state != "no runs")
        if spoken:
            judged.append(JudgedPaper(file.parent.name, spoken[0].claim.paper, spoken, len(verdicts) - len(spoken)))
    return judged


def claims_table(judged: JudgedPaper) -> Table:
    """The verdicts of a paper's claims; what is supported is bold."""
    rows: list[tuple[str | Entry, ...]] = []
    for row in as_rows(judged.verdicts):
        entries: list[str | Entry] = [row[column] or "-" for column in COLUMNS]
        entries[1] = Entry(row["verdict"], place=1 if row["verdict"] == "supported" else None)
        rows.append(tuple(entries))
    headings = tuple(Heading(column, number=column == "runs", share=share) for column, share in COLUMNS.items())
    notes = ["Differences with a 95 % interval, positive where it is as the paper says."]
    if judged.without_runs:
        notes.append(f"{count(judged.without_runs, 'further claim')} without runs here.")
    return Table(f"claims-{judged.study}", judged.paper, headings, tuple(rows), tuple(notes))


def claim_rows(judged: Sequence[JudgedPaper]) -> list[dict[str, str]]:
    """One row per verdict, in words, for CSV."""
    return [{"study": paper.study, "paper": paper.paper, **row} for paper in judged for row in as_rows(paper.verdicts)]
