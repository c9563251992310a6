"""The runs of a report, and the settings that those of a cell share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from medseg.reporting.cells import Cell
from medseg.reporting.comparison import Comparison
from medseg.reporting.formatting import seed_and_fold
from medseg.reporting.labels import as_text
from medseg.reporting.page.markup import controls_html, faint, filter_html
from medseg.reporting.render.html import as_html as table_html
from medseg.reporting.render.html import plain
from medseg.reporting.tables.runs import runs_table
from medseg.runs.run import Run

ENVIRONMENT = {
    "device": "device", "precision": "precision", "processes": "processes", "medseg": "medseg", "git_commit": "commit",
    "python": "Python", "platform": "platform",
}  # fmt: skip
"""Keys of `environment.json` that the page shows -> title. Not the command, which holds the places of its files."""


def runs_html(runs: Sequence[Run], comparison: Comparison) -> str:
    """Write the table of the runs, and the settings of each cell to be unfolded."""
    controls = controls_html(filter_html(["runs-table"], "such as failed", "runs with")) if len(runs) > 1 else ""
    cells = [cell for cell in comparison.cells.values() if not cell.column.of]
    shown = [settings_html(cell, f"settings-{number}") for number, cell in enumerate(cells)]
    about = (
        "What the runs of a network on a dataset share. Marked: values other than the default, and options other than "
        "the usual one. Without what changes no result, such as where files are."
    )
    return (
        f"{controls}{table_html(runs_table(runs, comparison), name='runs-table')}\n"
        f'<h3 id="settings">Settings</h3>\n{faint(about)}\n{chr(10).join(shown)}'
    )


def settings_html(cell: Cell, name: str) -> str:
    """Write the configuration of a cell's runs, what is not the default marked, and what they ran on."""
    run = next((run for run in cell.runs if run.settings), cell.runs[0])  # one that waits has none yet
    # Which network on which data is what the report is about.
    marked = [key for key in run.deviations if key not in ("model", "data")]
    lines = []
    for key, value in run.settings.items():
        line = escape(f"{key}: {as_text(value)}")
        lines.append(f"<mark>{line}</mark>" if any(f"{key}.".startswith(f"{one}.") for one in marked) else line)
    facts = {
        "runs": ", ".join(map(seed_and_fold, cell.runs)),
        "setting": run.setting,
        "not default": " ".join(f"{key}={as_text(value)}" for key, value in run.deviations.items()) or "nothing",
        **environment([run.environment for run in cell.runs]),
    }
    listed = "".join(f"<dt>{escape(title)}</dt><dd>{plain(text)}</dd>" for title, text in facts.items())
    config = f"<pre>{chr(10).join(lines)}</pre>" if lines else "<p>No configuration was stored.</p>"
    title = plain(f"{cell.row.label} on {cell.column.label}")
    return f'<details id="{name}"><summary>{title}</summary><dl>{listed}</dl>{config}</details>'


def environment(of_runs: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Say what runs ran on: every value that one of them has."""
    facts = {title: "; ".join(values(of_runs, key)) for key, title in ENVIRONMENT.items()}
    packages = [one.get("packages") or {} for one in of_runs]
    named = sorted({name for one in packages for name in one})
    facts["packages"] = ", ".join(f"{name} {' or '.join(values(packages, name))}" for name in named)
    return {title: text for title, text in facts.items() if text}


def values(mappings: Sequence[Mapping[str, Any]], key: str) -> list[str]:
    """Return the different values of a key, sorted."""
    return sorted({str(one[key]) for one in mappings if one.get(key) is not None})
