"""The claims of papers that the runs of a report speak to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from medseg.reporting.claims import Verdict, judge
from medseg.reporting.published import experiments_folder
from medseg.reporting.records import Run


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
