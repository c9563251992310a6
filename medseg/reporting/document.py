"""The report as a whole: which sections it has, in which order, and how they become files."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from medseg.reporting.ablation import Ablation
from medseg.reporting.comparison import Comparison
from medseg.reporting.figures import FIGURES
from medseg.reporting.published_cells import PublishedCell
from medseg.reporting.raw import (
    Rows,
    ablation_rows,
    comparison_rows,
    pair_rows,
    rank_rows,
    run_rows,
    score_rows,
)
from medseg.reporting.records import Run
from medseg.reporting.render import Table, as_csv, as_latex, as_markdown, escape_markdown
from medseg.reporting.show_claims import JudgedPaper, claim_rows, claims_table
from medseg.reporting.show_scores import comparison_table, published_table, score_tables, unfinished_table
from medseg.reporting.show_tests import ablation_table, pairs_table, ranking_table, wins_table
from medseg.reporting.words import count
from medseg.runs.files import replacing_text

IMAGES = 60
"""Most test images of a dataset in the HTML page."""


@dataclass(frozen=True)
class Section:
    """A part of the report: a title, and paragraphs and tables."""

    title: str
    parts: tuple[str | Table, ...]


@dataclass(frozen=True)
class Report:
    """Everything that a report is made of.

    Args:
        runs: in whatever state.
        comparison: of them.
        ablations: factors that were varied.
        published: scores of others beside ours.
        judged: claims of papers that there are runs for.
        figures: files in the report's folder.
    """

    runs: Sequence[Run]
    comparison: Comparison
    ablations: Sequence[Ablation]
    published: Sequence[PublishedCell]
    judged: Sequence[JudgedPaper] = ()
    figures: Sequence[Path] = ()


def sections(report: Report) -> list[Section]:
    """Return the sections of a report in their order; a section without content is not there."""
    comparison, runs = report.comparison, report.runs
    made = [Section("Comparison", (comparison_table(comparison),))]
    if report.published:
        made.append(Section("Next to published figures", (published_table(report.published),)))
    scores = [table for column in comparison.columns for table in score_tables(comparison, column)]
    tests = [pairs_table(comparison), wins_table(comparison)]
    ranking = comparison.ranking
    tests.append(ranking_table(ranking, comparison.measure) if ranking else None)
    made.append(Section("Scores", tuple(scores)))
    made.append(Section("Paired tests", tuple(table for table in tests if table)))
    made.append(Section("Ablations", tuple(ablation_table(one, comparison) for one in report.ablations)))
    made.append(Section("Claims of papers", tuple(claims_table(paper) for paper in report.judged)))
    pictures = (f"![{file.stem.replace('_', ' ')}]({FIGURES}/{file.name})" for file in report.figures)
    made.append(Section("Figures", tuple(pictures)))
    unfinished = unfinished_table(runs)
    made.append(Section("Runs that are not finished", (unfinished,) if unfinished else ()))
    made.append(Section("What the runs were made with", made_with(runs, comparison)))
    return [section for section in made if section.parts]


def made_with(runs: Sequence[Run], comparison: Comparison) -> tuple[str, ...]:
    """Say what all rows share, and on what the finished runs were made."""
    lines = []
    first, *rest = (set(row.facts) for row in comparison.rows)
    shared = sorted(first.intersection(*rest))
    if shared:
        lines.append(f"All rows: {', '.join(f'{key}={value}' for key, value in shared)}.")
    environments = [run.environment for run in runs if run.finished]
    for title, key in (
        ("Device", "device"),
        ("Precision", "precision"),
        ("medseg", "medseg"),
        ("Commit", "git_commit"),
    ):
        values = sorted({str(environment[key]) for environment in environments if environment.get(key)})
        if values:
            lines.append(f"{title}: {'; '.join(values)}.")
    return tuple(lines)


def opening(report: Report) -> str:
    """Say what was compared, and how many runs there are."""
    runs, comparison = report.runs, report.comparison
    states = [run.state for run in runs]
    order = ("finished", "failed", "interrupted", "running", "waiting")
    said = ", ".join(f"{states.count(state)} {state}" for state in order if state in states)
    seeds = sorted({run.seed for run in runs})
    parts = [count(len(comparison.rows), "row"), count(len(comparison.columns), "dataset"), count(len(seeds), "seed")]
    folds = sorted({run.fold for run in runs if run.fold is not None})
    parts += [count(len(folds), "fold")] if folds else []
    return f"{count(len(runs), 'run')} ({said}): {', '.join(parts)}."


def title(report: Report) -> str:
    """Name a report by its experiments."""
    return ", ".join(sorted({run.experiment for run in report.runs}))


def as_page(report: Report, parts: Sequence[Section]) -> str:
    """Write the Markdown page."""
    lines = [f"# {escape_markdown(title(report))}", "", opening(report)]
    for section in parts:
        lines += ["", f"## {escape_markdown(section.title)}"]
        tables = [part for part in section.parts if isinstance(part, Table)]
        for part in section.parts:
            if isinstance(part, str):
                lines += ["", part]
                continue
            if len(tables) > 1 or part.title != section.title:
                lines += ["", f"### {escape_markdown(part.title)}"]
            lines += ["", as_markdown(part)]
    return "\n".join([*lines, ""])


def write_report(report: Report, folder: Path, form: str, images: int = IMAGES) -> dict[str, Path]:
    """Write a report as markdown, latex, csv, html or all of them; return what was written where.

    Args:
        report: what is written.
        folder: where.
        form: one of these words.
        images: most test images of a dataset in the HTML page; 0 leaves all pictures out.
    """
    parts = sections(report)
    written: dict[str, Path] = {}
    if form in ("markdown", "all"):
        written["Markdown"] = folder / "report.md"
        write(written["Markdown"], as_page(report, parts))
    if form in ("latex", "all"):
        written["LaTeX"] = folder / "latex"
        for section in parts:
            for table in section.parts:
                if isinstance(table, Table):
                    write(written["LaTeX"] / f"{file_name(table.name)}.tex", f"{as_latex(table)}\n")
    if form in ("csv", "all"):
        written["CSV"] = folder / "csv"
        for name, rows in csv_tables(report).items():
            if rows:
                write(written["CSV"] / f"{name}.csv", as_csv(rows))
    if form in ("html", "all"):
        written["HTML"] = folder / "report.html"
        write_html(report, written["HTML"], images)
    return written


def write_html(report: Report, file: Path, images: int = IMAGES) -> None:
    """Write the HTML page."""
    from medseg.reporting.page import as_html  # not above: the other formats need none of it

    made = made_with(report.runs, report.comparison)
    write(file, as_html(report, title=title(report), opening=opening(report), made_with=made, images=images))


def csv_tables(report: Report) -> Mapping[str, Rows]:
    """Return the numbers behind the tables, by the name of their file."""
    comparison = report.comparison
    return {
        "comparison": comparison_rows(comparison, report.published),
        "scores": score_rows(comparison),
        "runs": run_rows(report.runs),
        "pairs": pair_rows(comparison),
        "ranks": rank_rows(comparison),
        "ablations": ablation_rows(report.ablations, comparison),
        "claims": claim_rows(report.judged),
    }


def write(file: Path, text: str) -> None:
    """Write a file, whole or not at all."""
    with replacing_text(file) as stream:
        stream.write(text)


def file_name(name: str) -> str:
    """Make a name that a file can have anywhere."""
    return re.sub(r"[^A-Za-z0-9._]+", "-", name).strip("-")
