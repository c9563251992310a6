"""What a report is made of, and its sections in their order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from medseg.reporting.ablation import Ablation
from medseg.reporting.claims.sentences import conclude_claims
from medseg.reporting.claims.verdict import JudgedStudy
from medseg.reporting.comparison import Comparison
from medseg.reporting.conclusions import Conclusion, conclude
from medseg.reporting.formatting import count, listed
from medseg.reporting.published import PublishedCell
from medseg.reporting.render.markdown import escape_line
from medseg.reporting.render.table import Table
from medseg.reporting.subgroups import Subgroups
from medseg.reporting.tables.certainty import TITLE as CERTAINTY
from medseg.reporting.tables.certainty import certainty_table
from medseg.reporting.tables.external import external_table
from medseg.reporting.tables.outlook import planning_table, stability_tables
from medseg.reporting.tables.papers import claims_tables, published_table
from medseg.reporting.tables.runs import unfinished_table
from medseg.reporting.tables.scores import comparison_table, score_tables
from medseg.reporting.tables.subgroups import subgroup_tables
from medseg.reporting.tables.tests import ablation_tables, pairs_table, ranking_table, wins_table
from medseg.reporting.tables.tuning import TITLE as TUNING
from medseg.reporting.tables.tuning import tuning_table
from medseg.runs.run import Run

MOST_DATASETS = 4
"""Whose names the title has; more are counted."""

STATES = ("finished", "trained", "failed", "damaged", "interrupted", "running", "waiting")


@dataclass(frozen=True)
class Contents:
    """Everything that a report is made of: runs in whatever state, their comparison, what follows from it.

    Args:
        judged: claims that there are runs for.
        subgroups: of the test images.
        notes: lines of plain text on what was left out: copies of runs, damaged files.
    """

    runs: Sequence[Run]
    comparison: Comparison
    ablations: Sequence[Ablation]
    published: Sequence[PublishedCell]
    judged: Sequence[JudgedStudy] = ()
    subgroups: Subgroups = field(default_factory=Subgroups)
    notes: Sequence[str] = ()

    @property
    def experiments(self) -> str:
        """The names of the experiments."""
        return ", ".join(sorted({run.experiment for run in self.runs}))

    @property
    def title(self) -> str:
        """What is compared on which datasets, as plain text without a path."""
        rows, datasets = self.comparison.rows, [column.label for column in self.comparison.datasets]
        names = {row.name for row in rows}
        compared = f"Comparison of {count(len(names), 'network')}"
        if len(rows) == 1:
            compared = f"Scores of {rows[0].label}"
        elif len(names) == 1:
            compared = f"Comparison of {len(rows)} settings of {rows[0].printed_name}"
        elif len(names) < len(rows):
            compared = f"Comparison of {len(rows)} settings of {len(names)} networks"
        few = len(datasets) <= MOST_DATASETS
        return f"{compared} on {listed(datasets) if few else count(len(datasets), 'dataset')}"

    @cached_property
    def conclusions(self) -> tuple[Conclusion, ...]:
        """The sentences on each dataset and external test."""
        return conclude(self.comparison)

    @cached_property
    def on_claims(self) -> tuple[str, ...]:
        """The sentences on claims, as plain text."""
        return conclude_claims(self.judged)

    @property
    def opening(self) -> str:
        """The experiments, how many runs they have and what of, as a line of plain text."""
        states = [run.state for run in self.runs]
        counted = ", ".join(f"{states.count(state)} {state}" for state in STATES if state in states)
        folds = {run.fold for run in self.runs if run.fold is not None}
        external = {column for column in self.comparison.columns if column.external}
        amounts = {
            "row": self.comparison.rows,
            "dataset": self.comparison.datasets,
            "seed": {run.seed for run in self.runs},
            **({"fold": folds} if folds else {}),
            **({"external test": external} if external else {}),
        }
        parts = [count(len(several), what) for what, several in amounts.items()]
        return f"{self.experiments}: {count(len(self.runs), 'run')} ({counted}): {', '.join(parts)}."

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
    """A part of the report.

    Args:
        title: its heading.
        tables: of any number.
        paragraphs: behind the tables, in Markdown.
        lead: sentences of plain text before the tables.
    """

    title: str
    tables: tuple[Table[Any], ...] = ()
    paragraphs: tuple[str, ...] = ()
    lead: tuple[str, ...] = ()


def sections(contents: Contents) -> list[Section]:
    """Return the sections in their order; a section in which nothing is displayed is left out."""
    comparison = contents.comparison
    ranking = [ranking_table(comparison.ranking, comparison.measure)] if comparison.ranking else []
    tables: dict[str, list[Table[Any]]] = {
        "Comparison": [comparison_table(comparison)],
        "External tests": [external_table(comparison)],
        "Next to published figures": [published_table(contents.published, comparison.at)],
        "Scores": [*score_tables(comparison)],
        "Subgroups": [*subgroup_tables(contents.subgroups, comparison.measure)],
        "Paired tests": [pairs_table(comparison), wins_table(comparison), *ranking],
        "Rank stability": [*stability_tables(comparison)],
        "Planning": [planning_table(comparison)],
        CERTAINTY: [certainty_table(comparison)],
        TUNING: [tuning_table(comparison)],
        "Ablations": [*ablation_tables(contents.ablations, comparison)],
        "Claims": [*claims_tables(contents.judged)],
        "Runs that are not finished": [unfinished_table(contents.runs, comparison)],
    }
    paragraphs = {"Subgroups": tuple(map(escape_line, contents.subgroups.notes))}
    lead = {"Claims": contents.on_claims}
    made = [
        Section(
            title, tuple(table for table in several if table.grid.rows), paragraphs.get(title, ()), lead.get(title, ())
        )
        for title, several in tables.items()
    ]
    made.append(Section("What the runs were made with", paragraphs=tuple(map(escape_line, contents.made_with))))
    return [section for section in made if section.tables or section.paragraphs]
