"""The runs of a report, and the settings that those of a cell share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from medseg.reporting.comparison import Cell, Comparison
from medseg.reporting.layout import as_text
from medseg.reporting.page.markup import controls_html, filter_html
from medseg.reporting.render.html import as_html as table_html
from medseg.reporting.render.html import plain
from medseg.reporting.tables.runs import runs_table
from medseg.reporting.words import where
from medseg.runs.run import Run

ENVIRONMENT = {
    "device": "device", "precision": "precision", "processes": "processes", "medseg": "medseg", "git_commit": "commit",
    "python": "Python", "platform": "platform",
}  # fmt: skip
"""Keys of `environment.json` that the page shows -> title. Not the command, which holds the places of its files."""


def runs_html(runs: Sequence[Run], comparison: Comparison) -> str:
    """Write the table of the runs, and the settings of each cell to be unfolded."""
    cells = list(comparison.cells.values())
    shown = "\n".join(settings_html(cell, f"settings-{place}") for place, cell in enumerate(cells))
    return (
        f"{controls_html(filter_html(['runs-table'], 'such as failed', 'runs with')) if len(runs) > 1 else ''}"
        f"{table_html(runs_table(runs, comparison), name='runs-table')}\n"
        '<h3 id="settings">Settings</h3>\n<p class="faint">What the runs of a network on a dataset share. Marked: '
        "values other than the default, and options other than the usual one. Without what changes no result, such as "
        f"where files are.</p>\n{shown}"
    )


def settings_html(cell: Cell, name: str) -> str:
    """Write the configuration of a cell's runs, the marked values first seen, and what they ran on."""
    run = cell.runs[0]
    marked = marks(run)
    lines = [line_html(f"{key}: {as_text(value)}", key, marked) for key, value in run.settings.items()]
    runs = ", ".join(where(one) for one in cell.runs)
    deviations = " ".join(f"{key}={as_text(value)}" for key, value in run.deviations.items())
    facts = [("runs", runs), ("setting", run.setting), ("not default", deviations or "nothing")]
    facts += environment(cell.runs)
    listed = "".join(f"<dt>{escape(title)}</dt><dd>{plain(text)}</dd>" for title, text in facts)
    config = f"<pre>{chr(10).join(lines)}</pre>" if lines else "<p>No configuration was stored.</p>"
    title = f"{cell.row.label} on {cell.column.label}"
    return f'<details id="{name}"><summary>{plain(title)}</summary><dl>{listed}</dl>{config}</details>'


def line_html(line: str, key: str, marked: Sequence[str]) -> str:
    """Write a line of the configuration."""
    if any(key == one or key.startswith(f"{one}.") for one in marked):
        return f"<mark>{escape(line)}</mark>"
    return escape(line)


def marks(run: Run) -> list[str]:
    """Return the keys that are not at their default, and the groups with another option than the usual one."""
    # Which network on which data is what the report is about.
    return [key for key in run.deviations if key not in ("model", "data")]


def environment(runs: Sequence[Run]) -> list[tuple[str, str]]:
    """Say what runs ran on: every value that one of them has."""
    facts: list[tuple[str, str]] = []
    for key, title in ENVIRONMENT.items():
        facts.append((title, "; ".join(values([run.environment for run in runs], key))))
    packages = [run.environment.get("packages") or {} for run in runs]
    named = sorted({name for one in packages for name in one})
    facts.append(("packages", ", ".join(f"{name} {' or '.join(values(packages, name))}" for name in named)))
    return [(title, text) for title, text in facts if text]


def values(mappings: Sequence[Mapping[str, Any]], key: str) -> list[str]:
    """Return the different values of a key, sorted."""
    return sorted({str(one[key]) for one in mappings if one.get(key) is not None})
