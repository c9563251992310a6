"""The report as a whole: its sections in their order, and how they become files."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

from medseg.reporting.ablation import Ablation
from medseg.reporting.claims import JudgedPaper
from medseg.reporting.comparison import Comparison
from medseg.reporting.figures import FIGURES
from medseg.reporting.published import PublishedCell
from medseg.reporting.render.csv import as_csv
from medseg.reporting.render.latex import as_latex
from medseg.reporting.render.markdown import as_markdown, escape_line, escape_markdown
from medseg.reporting.render.table import Table
from medseg.reporting.tables.outlook import planning_table, stability_tables
from medseg.reporting.tables.papers import claims_tables, published_table
from medseg.reporting.tables.runs import unfinished_table
from medseg.reporting.tables.scores import comparison_table, score_tables
from medseg.reporting.tables.tests import ablation_tables, pairs_table, ranking_table, wins_table
from medseg.reporting.words import count
from medseg.runs.files import replacing_text
from medseg.runs.run import Run

IMAGES = 60
"""Most test images of a dataset in the HTML page."""

STATES = ("finished", "failed", "damaged", "interrupted", "running", "waiting")


@dataclass(frozen=True)
class Report:
    """Everything that a report is made of: runs in whatever state, their comparison, what follows from it.

    Args:
        judged: claims of papers that there are runs for.
        figures: files in the report's folder; those of one stem are one figure.
        notes: lines of plain text on what was left out: copies of runs, damaged files.
    """

    runs: Sequence[Run]
    comparison: Comparison
    ablations: Sequence[Ablation]
    published: Sequence[PublishedCell]
    judged: Sequence[JudgedPaper] = ()
    figures: Sequence[Path] = ()
    notes: Sequence[str] = ()

    @property
    def title(self) -> str:
        """The experiments."""
        return ", ".join(sorted({run.experiment for run in self.runs}))

    @property
    def opening(self) -> str:
        """What was compared, and how many runs there are, as a sentence of plain text."""
        states = [run.state for run in self.runs]
        counted = ", ".join(f"{states.count(state)} {state}" for state in STATES if state in states)
        folds = {run.fold for run in self.runs if run.fold is not None}
        amounts = {"row": self.comparison.rows, "dataset": self.comparison.columns, "seed": {r.seed for r in self.runs}}
        parts = [count(len(several), what) for what, several in (amounts | ({"fold": folds} if folds else {})).items()]
        return f"{count(len(self.runs), 'run')} ({counted}): {', '.join(parts)}."

    @property
    def made_with(self) -> tuple[str, ...]:
        """What all rows share, and what the finished runs were made with, in lines of plain text."""
        first, *rest = (set(row.facts) for row in self.comparison.rows)
        facts = {"All rows": ", ".join(f"{key}={value}" for key, value in sorted(first.intersection(*rest)))}
        for title, key in {
            "Device": "device",
            "Precision": "precision",
            "medseg": "medseg",
            "Commit": "git_commit",
        }.items():
            values = {str(run.environment[key]) for run in self.runs if run.finished and run.environment.get(key)}
            facts[title] = "; ".join(sorted(values))
        return tuple(f"{title}: {text}." for title, text in facts.items() if text)


@dataclass(frozen=True)
class Section:
    """A part of the report; `paragraphs` are Markdown."""

    title: str
    tables: tuple[Table[Any], ...] = ()
    paragraphs: tuple[str, ...] = ()


def sections(report: Report) -> list[Section]:
    """Return the sections of a report in their order; a section in which nothing is displayed is left out."""
    comparison = report.comparison
    ranking = [ranking_table(comparison.ranking, comparison.measure)] if comparison.ranking else []
    tables: dict[str, list[Table[Any]]] = {
        "Comparison": [comparison_table(comparison)],
        "Next to published figures": [published_table(report.published)],
        "Scores": [*score_tables(comparison)],
        "Paired tests": [pairs_table(comparison), wins_table(comparison), *ranking],
        "Rank stability": [*stability_tables(comparison)],
        "Planning": [planning_table(comparison)],
        "Ablations": [*ablation_tables(report.ablations, comparison)],
        "Claims of papers": [*claims_tables(report.judged)],
        "Runs that are not finished": [unfinished_table(report.runs, comparison)],
    }
    made = [Section(title, tuple(table for table in several if table.grid.rows)) for title, several in tables.items()]
    made.append(Section("What the runs were made with", paragraphs=tuple(map(escape_line, report.made_with))))
    return [section for section in made if section.tables or section.paragraphs]


def pictures(files: Sequence[Path]) -> tuple[str, ...]:
    """Show each figure, with links to its files for print."""
    paragraphs = []
    for file in (file for file in files if file.suffix == ".png"):
        path = quote(f"{FIGURES}/{file.stem}")
        others = [other.suffix for other in files if other.stem == file.stem and other != file]
        links = ", ".join(f"[{suffix[1:].upper()}]({path}{suffix})" for suffix in others)
        title = escape_markdown(file.stem.replace("_", " "))
        paragraphs.append(f"![{title}]({path}.png)" + (f"\n\n{links}" if links else ""))
    return tuple(paragraphs)


def as_page(report: Report, parts: Sequence[Section]) -> str:
    """Write the Markdown page."""
    lines = [f"# {escape_line(report.title)}", "", report.opening]
    lines += ["", *(f"- {escape_line(note)}" for note in report.notes)] if report.notes else []
    figures = Section("Figures", paragraphs=pictures(report.figures))
    for section in [*parts, *([figures] if figures.paragraphs else [])]:
        lines += ["", f"## {section.title}"]
        for table in section.tables:
            if len(section.tables) > 1 or table.title != section.title:
                lines += ["", f"### {escape_line(table.title)}"]
            lines += ["", as_markdown(table)]
        for paragraph in section.paragraphs:
            lines += ["", paragraph]
    return "\n".join([*lines, ""])


def write_report(
    report: Report, folder: Path, form: str, images: int = IMAGES, figures: Callable[[], Sequence[Path]] | None = None
) -> dict[str, Path]:
    """Write a report as markdown, latex, csv, html or all of them; return what was written where.

    Args:
        report: what is written.
        folder: where.
        form: one of these words.
        images: most test images of a dataset in the HTML page; 0 leaves all pictures out.
        figures: waits for the figures that another process draws, which only the Markdown needs.
    """
    parts = sections(report)
    tables = [table for section in parts for table in section.tables]
    written = {}
    if form in ("markdown", "all"):
        written["Markdown"] = folder / "report.md"
    if form in ("latex", "all"):
        written["LaTeX"] = folder / "latex"
        for table in tables:
            write(written["LaTeX"] / f"{file_name(table.name)}.tex", f"{as_latex(table)}\n")
    if form in ("csv", "all"):
        written["CSV"] = folder / "csv"
        tables.append(unfinished_table(report.runs, report.comparison))  # also where all runs are finished
        for name, table in {table.csv or table.name: table for table in tables}.items():
            write(written["CSV"] / f"{file_name(name)}.csv", as_csv(table))
    if form in ("html", "all"):
        from medseg.reporting.page import as_html  # not above: the other formats need none of it

        written["HTML"] = folder / "report.html"
        write(written["HTML"], as_html(report, parts, images))
    if "Markdown" in written:  # last: the figures may take longest
        report = replace(report, figures=figures()) if figures else report
        write(written["Markdown"], as_page(report, parts))
    return written


def write(file: Path, text: str) -> None:
    """Write a file, whole or not at all."""
    with replacing_text(file) as stream:
        stream.write(text)


def file_name(name: str) -> str:
    """Make a name that a file can have anywhere."""
    return re.sub(r"[^A-Za-z0-9._]+", "-", name).strip("-")
