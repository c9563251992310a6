"""The page as a whole: its sections in their order, the data of its scripts."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from medseg.pages import embed_json, make_page, read_asset
from medseg.reporting.page.browser import browser_data, browser_html
from medseg.reporting.page.curves import curves_data, curves_html
from medseg.reporting.page.markup import section_html
from medseg.reporting.page.scores import comparison_html, every_measure, matrix_html, plot_html, scores_data
from medseg.reporting.page.settings import runs_html
from medseg.reporting.render.html import as_html as table_html
from medseg.reporting.render.table import Table
from medseg.reporting.tables.claims import claims_tables
from medseg.reporting.tables.outlook import planning_table, stability_tables
from medseg.reporting.tables.published import published_table
from medseg.reporting.tables.runs import unfinished_table
from medseg.reporting.tables.scores import score_tables
from medseg.reporting.tables.tests import ablation_tables, pairs_table, ranking_table, wins_table

if TYPE_CHECKING:
    from medseg.reporting.document import Report

PACKAGE = "medseg.reporting.page"

SCRIPTS = ("drawing.js", "comparison.js", "plot.js", "matrix.js", "curves.js", "browser.js")
"""In the order they run: the first makes what the others use."""


def as_html(report: Report, *, title: str, opening: str, made_with: Sequence[str], images: int) -> str:
    """Write the page.

    Args:
        report: what is shown.
        title, opening: what was compared, plain text.
        made_with: paragraphs on what the runs share, plain text.
        images: most test images of a dataset to show; 0 leaves all pictures out.
    """
    comparison = report.comparison
    comparisons = every_measure(comparison)
    curves = curves_data(comparison)
    pictures = browser_data(comparison, images) if images else []
    scores = score_tables(comparison)
    unfinished = unfinished_table(report.runs, comparison)
    parts = [
        ("comparison", "Comparison", comparison_html(comparisons) + folded("All scores of each dataset", scores)),
        ("costs", "Score against cost", plot_html(comparisons)),
    ]
    if comparison.pairs:
        ranking = comparison.ranking
        tests: list[Table[Any]] = [pairs_table(comparison), wins_table(comparison)]
        tests += [ranking_table(ranking, comparison.measure)] if ranking else []
        tests += [*stability_tables(comparison), *([planning_table(comparison)] if comparison.plans else [])]
        shown = folded("Paired tests, wins and ranks", tests)
        parts.append(("differences", "Who differs from whom", matrix_html(comparisons) + shown))
    parts.append(("images", "Test images", browser_html(comparison, pictures)))
    if report.judged:
        parts.append(("claims", "Claims of papers", titled(claims_tables(report.judged))))
    if report.published:
        parts.append(("published", "Next to published figures", table_html(published_table(report.published))))
    if report.ablations:
        parts.append(("ablations", "Ablations", titled(ablation_tables(report.ablations, comparison))))
    if curves:
        parts.append(("curves-of-training", "Training curves", curves_html(comparison, curves)))
    if unfinished.displayed:
        parts.append(("unfinished", "Runs that are not finished", table_html(unfinished)))
    parts.append(("runs", "Runs and their settings", runs_html(report.runs, comparison)))
    top = f"<h1>{escape(title)}</h1>\n<p>{escape(opening)}</p>"
    links = "".join(f'<a href="#{name}">{escape(heading)}</a>' for name, heading, _ in parts)
    said = "".join(f"<p>{escape(line)}</p>" for line in made_with)
    body = [
        f'{top}\n<nav class="contents" aria-label="sections">{links}</nav>',
        "<noscript><p>Sorting, plots and pictures need JavaScript; the tables do not.</p></noscript>",
        *(section_html(*part) for part in parts),
        section_html("made-with", "What the runs were made with", said) if said else "",
        embed_json("report-scores", scores_data(comparisons)),
        embed_json("report-curves", curves),
        embed_json("report-images", pictures),
    ]
    scripts = [read_asset(PACKAGE, name) for name in SCRIPTS]
    return make_page(
        f"{title}: report",
        "\n".join(body),
        styles=[read_asset(PACKAGE, "report.css")],
        scripts=[read_asset("medseg.pages", "tables.js"), *scripts],
    )


def titled(tables: Sequence[Table[Any]]) -> str:
    """Write tables, each below its title."""
    return "\n".join(f"<h3>{escape(table.title)}</h3>\n{table_html(table)}" for table in tables)


def folded(summary: str, tables: Sequence[Table[Any]]) -> str:
    """Write tables that are shown when asked for."""
    return f"\n<details><summary>{escape(summary)}</summary>\n{titled(tables)}\n</details>" if tables else ""
