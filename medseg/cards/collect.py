"""What a card is made of: the finished runs of one setting, their scores, and what surrounds them."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from medseg.cards.data import Data, find_data
from medseg.cards.network import Network, find_network
from medseg.errors import UserError
from medseg.metrics.measures import MEASURES
from medseg.reporting.cells import Cell, Score
from medseg.reporting.comparison import compare_runs, measures_of, score_samples
from medseg.reporting.samples import gather, groups_of
from medseg.reporting.subgroups import Subgroups, find_subgroups
from medseg.runs.evaluations import View, read_evaluations
from medseg.runs.run import Run

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Subject:
    """What a card is about.

    Args:
        cell: the runs and their scores.
        runs: the finished ones, by seed and fold.
        network: what was trained.
        data: what it was trained on.
        classes: foreground class -> its scores by the name of the measure; empty where there is one class.
        subgroups: of the test images, by size and by what is known of them.
        elsewhere: each further evaluation in the folder of a run, with its run.
    """

    cell: Cell
    runs: tuple[Run, ...]
    network: Network
    data: Data
    classes: Mapping[str, Mapping[str, Score]]
    subgroups: Subgroups
    elsewhere: Sequence[tuple[Run, View]]

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds that the scores are of."""
        return self.cell.sample.seeds if self.cell.sample else ()

    @property
    def best(self) -> Run:
        """The run whose network to use: the one with the best score on its validation images."""
        return max(self.runs, key=best_validation)

    @property
    def config(self) -> Mapping[str, Any]:
        """The configuration of the first run."""
        return self.runs[0].config


def collect(runs: Sequence[Run], *, data_name: str | None = None, data_licence: str | None = None) -> Subject:
    """Collect what a card has of runs; `data_name` and `data_licence` replace what medseg knows of the data.

    Raises `UserError` where they are not of one setting, or none is finished.
    """
    comparison = compare_runs(runs, MEASURES["dice"])
    cells = list(comparison.cells.values())
    if len(cells) > 1:
        named = "; ".join(f"{cell.row.label} on {cell.column.label}" for cell in cells[:4])
        raise UserError(
            f"a card is of one network on one dataset; these runs are of {len(cells)} ({named}"
            f"{'; ...' if len(cells) > 4 else ''}): give the runs of one, which differ in their seeds alone"
        )
    (cell,) = cells
    finished = tuple(run for run in cell.runs if run.finished and run not in cell.unused)
    if not finished:
        states = ", ".join(f"{run.name} is {run.state}" for run in cell.runs[:3])
        raise UserError(f"no run is finished yet ({states}); a card needs scores")
    first = finished[0]
    data = find_data(first)
    data = replace(data, title=data_name or data.title, licence=data_licence or data.licence)
    return Subject(
        cell=cell,
        runs=finished,
        network=find_network(first),
        data=data,
        classes=score_classes(cell, finished),
        subgroups=find_subgroups(comparison),
        elsewhere=find_evaluations(finished),
    )


def score_classes(cell: Cell, runs: Sequence[Run]) -> dict[str, dict[str, Score]]:
    """Score each foreground class by itself, where there are several."""
    names = runs[0].per_image.classes
    if len(names) < 2:
        return {}
    measures = measures_of(runs)
    samples = {name: gather(runs, groups_of(runs), only=name) for name in names}
    return {
        name: score_samples({cell.row: sample}, measures)[cell.row]
        for name, sample in samples.items()
        if sample is not None
    }


def best_validation(run: Run) -> float:
    """Return the Dice of a run's best epoch on its validation images."""
    return max((row["val/dice"] for row in run.epochs if not math.isnan(row["val/dice"])), default=-math.inf)


def find_evaluations(runs: Sequence[Run]) -> list[tuple[Run, View]]:
    """Read what `medseg evaluate` has left in the folders of runs; a damaged one is left out with a warning."""
    problems: list[str] = []
    found = [(run, view) for run in runs for view in read_evaluations(run, problems)]
    for problem in problems:
        log.warning("%s", problem)
    return found
