"""The table of the tuning: what was chosen for each network and dataset, and what that took."""

from __future__ import annotations

import json
from collections.abc import Sequence

from medseg.reporting.comparison import Comparison
from medseg.reporting.formatting import fixed
from medseg.reporting.render.table import Column, Table
from medseg.reporting.tuning import TunedCell, tuned_cells

TITLE = "Tuning"


def tuning_table(comparison: Comparison) -> Table[TunedCell]:
    """One row for each network and dataset whose settings were chosen by trials."""
    places = [(row, column) for row in comparison.rows for column in comparison.datasets]
    records = tuned_cells(comparison.cells[place] for place in places if place in comparison.cells)
    columns: Sequence[Column[TunedCell]] = (
        Column("network", "network", lambda r: r.row.label),
        Column("dataset", "dataset", lambda r: r.column.label),
        Column("fold", "fold", lambda r: r.fold),
        Column("chosen", "chosen", lambda r: r.chosen),
        Column("val_dice", "validation Dice", lambda r: r.tuning.best.dice, fixed(4), number=True),
        Column("trials", "trials", lambda r: len(r.tuning.trials), number=True),
        Column("pruned", "pruned", lambda r: r.tuning.count("pruned"), number=True),
        Column("diverged", "diverged", lambda r: r.tuning.count("diverged"), number=True),
        Column("epochs", "epochs of a trial", lambda r: r.tuning.budget.get("epochs"), number=True),
        Column("seconds", "training of the trials, h", lambda r: r.tuning.seconds, fixed(2, 3600), number=True),
        Column("search", value=lambda r: r.tuning.search),
        Column("space", value=lambda r: json.dumps(dict(r.tuning.space))),
        Column("seed", value=lambda r: r.tuning.budget.get("seed")),
        Column("pruning", value=lambda r: r.tuning.budget.get("pruning")),
        Column("at_edge", value=lambda r: " ".join(r.tuning.at_edge)),
    )
    budgets = dict.fromkeys(record.budget for record in records)
    notes = [f"Chosen by the validation Dice of trials, before the runs were trained: {budget}." for budget in budgets]
    notes += [f"{record.name}: {record.tuning.tie}." for record in records if record.tuning.equal]
    notes.append(
        "Trials saw training and validation images alone. Their time is not in the training time of the runs. A trial "
        "whose loss is not finite has diverged and is not chosen."
    )
    return Table("tuning", TITLE, columns, records, tuple(notes) if records else ())
