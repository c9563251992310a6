"""The page as a whole: its sections in their order, the data of its scripts."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from medseg.pages import embed_json, make_page, read_asset
from medseg.reporting.page.browser import browser_data, browser_html
from medseg.reporting.page.certainty import certainty_data, certainty_html
from medseg.reporting.page.curves import curves_data, curves_html
from medseg.reporting.page.learning import learning_html
from medseg.reporting.page.markup import folded, section_html
from medseg.reporting.page.overview import overview_html
from medseg.reporting.page.scores import (
    comparison_html,
    every_measure,
    matrix_html,
    plot_html,
    scores_data,
    stability_html,
)
from medseg.reporting.page.settings import runs_html
from medseg.reporting.page.subgroups import subgroups_data, subgroups_html
from medseg.reporting.render.html import as_html as table_html
from medseg.reporting.render.html import notes_html, plain
from medseg.reporting.render.table import one_line
from medseg.reporting.tables.certainty import TITLE as CERTAINTY
from medseg.reporting.tables.tuning import TITLE as TUNING
from medseg.reporting.tuning import at_edge, tuned_cells

if TYPE_CHECKING:
    from medseg.reporting.contents import Contents, Section

PACKAGE = "medseg.reporting.page"

SCRIPTS = (
    "drawing.js", "comparison.js", "plot.js", "matrix.js", "subgroups.js", "curves.js", "certainty.js", "browser.js",
)  # fmt: skip
"""In the order they run: the first makes what the others use."""


def as_html(contents: Contents, sections: Sequence[Section], images: int) -> str:
    """Write the page with the tables of the other formats; `images`: most test images of a dataset, 0 for none."""
    comparison = contents.comparison
    comparisons = every_measure(comparison)
    curves = curves_data(comparison)
    certainty = certainty_data(comparison)
    pictures = browser_data(comparison, images) if images else []
    tables = {section.title: titled(section) for section in sections if section.title != "Comparison"}
    scores = folded("All scores of each dataset", tables.get("Scores", ""))
    tests = folded("Paired tests, wins and ranks", tables.get("Paired tests", ""))
    of_choices = at_edge(tuned_cells(comparison.cells.values()))
    of_runs = [warning for warning in comparison.warnings if warning not in of_choices]
    overview = overview_html(contents.conclusions, contents.on_claims[:1], comparison.measure)
    parts = [
        ("overview", "Overview", overview + notes_html(of_choices)),
        ("comparison", "Comparison", comparison_html(comparisons) + scores),
        ("external", "External tests", tables.get("External tests", "")),
        ("costs", "Score against cost", plot_html(comparisons)),
        ("differences", "Who differs from whom", matrix_html(comparisons) + tests),
        ("subgroups", "Subgroups", subgroups_html(contents.subgroups, comparison)),
        ("stability", "Rank stability", stability_html(comparison)),
        ("planning", "Planning", tables.get("Planning", "")),
        ("tuning", TUNING, tables.get(TUNING, "")),
        ("learning", "Learning curves", learning_html(comparison)),
        ("certainty", CERTAINTY, certainty_html(comparison, certainty, tables.get(CERTAINTY, ""))),
        ("images", "Test images", browser_html(comparison, pictures)),
        ("claims", "Claims", tables.get("Claims", "")),
        ("published", "Next to published figures", tables.get("Next to published figures", "")),
        ("ablations", "Ablations", tables.get("Ablations", "")),
        ("curves-of-training", "Training curves", curves_html(comparison, curves)),
        ("unfinished", "Runs that are not finished", tables.get("Runs that are not finished", "")),
        ("runs", "Runs and their settings", runs_html(contents.runs, comparison)),
        ("made-with", "What the runs were made with", "".join(f"<p>{plain(line)}</p>" for line in contents.made_with)),
    ]
    parts = [part for part in parts if part[2]]
    links = "".join(f'<a href="#{name}">{escape(heading)}</a>' for name, heading, _ in parts)
    body = [
        f"<h1>{plain(contents.title)}</h1>\n<p>{plain(contents.opening)}</p>",
        f'<div class="warnings">{notes_html([*contents.notes, *of_runs])}</div>',
        f'<nav class="contents" aria-label="sections">{links}</nav>',
        "<noscript><p>Sorting, plots and pictures need JavaScript; the tables do not.</p></noscript>",
        *(section_html(*part) for part in parts),
        embed_json("report-scores", scores_data(comparisons)),
        embed_json("report-subgroups", subgroups_data(contents.subgroups, comparison)),
        embed_json("report-curves", curves),
        embed_json("report-certainty", certainty),
        embed_json("report-images", pictures),
    ]
    scripts = [read_asset(PACKAGE, name) for name in SCRIPTS]
    return make_page(
        one_line(contents.title),
        "\n".join(body),
        description=one_line(" ".join([contents.opening, *(one.text for one in contents.conclusions)])),
        styles=[read_asset(PACKAGE, "report.css")],
        scripts=[read_asset("medseg.pages", "tables.js"), *scripts],
    )


def titled(section: Section) -> str:
    """Write the sentences and tables of a section, each table below its title, where that is another one."""
    lead = "".join(f"<p>{plain(sentence)}</p>\n" for sentence in section.lead)
    return lead + "\n".join(
        (f"<h3>{plain(table.title)}</h3>\n" if table.title != section.title else "") + table_html(table)
        for table in section.tables
    )
