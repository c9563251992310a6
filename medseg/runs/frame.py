"""Runs as a table: a pandas DataFrame, or HTML for a notebook."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from medseg.errors import UserError
from medseg.runs.packed.archive import with_files
from medseg.runs.run import Run

if TYPE_CHECKING:
    from pandas import DataFrame

DISPLAYED = 100
"""Most rows that a notebook displays."""


def to_frame(runs: Sequence[Run]) -> DataFrame:
    """Return one row for each run, as `rows_of` makes them.

    Raises `UserError` where pandas is not installed.
    """
    try:
        import pandas
    except ImportError:
        raise UserError("to_frame needs pandas: pip install 'medseg[notebook]'") from None
    return pandas.DataFrame(rows_of(runs))


def rows_of(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Return what is known of each run, by the names of the columns; all have the same keys, None where unknown."""
    deviating = list(dict.fromkeys(key for run in runs for key in run.deviations if key not in ("model", "data")))
    scores = list(dict.fromkeys(name for run in runs for name in run.scores))
    folds = any(run.fold is not None for run in runs)
    return [
        {
            "model": run.model,
            "data": run.data,
            "seed": run.seed,
            **({"fold": run.fold} if folds else {}),
            **{key: run.choices.get(key, run.settings.get(key)) for key in sorted(deviating)},
            "state": run.state,
            **{name: run.scores.get(name) for name in scores},
            "parameters": run.parameters,
            "epochs": run.summary.get("epochs"),
            "training_seconds": run.training_seconds,
            "experiment": run.experiment,
            "name": run.name,
            "folder": with_files(str(run.folder)),
        }
        for run in runs
    ]


def as_html(runs: Sequence[Run]) -> str:
    """Write a table of runs, without where they are."""
    rows = [{key: of for key, of in row.items() if key not in ("name", "folder")} for row in rows_of(runs[:DISPLAYED])]
    head = "".join(f'<th scope="col">{escape(key)}</th>' for key in (rows[0] if rows else ()))
    body = "".join(f"<tr>{cells_of(row)}</tr>" for row in rows)
    more = f"<p>{len(runs) - DISPLAYED} more runs</p>" if len(runs) > DISPLAYED else ""
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}"


def cells_of(row: Mapping[str, Any]) -> str:
    """Write the cells of a row, numbers with four digits."""
    texts = ["" if of is None else f"{of:.4g}" if isinstance(of, float) else str(of) for of in row.values()]
    return "".join(f"<td>{escape(text)}</td>" for text in texts)
