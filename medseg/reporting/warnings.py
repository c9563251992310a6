"""What a reader of a comparison is warned of: runs that were scored, split or tested in different ways."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from medseg.data.prepared.reach import describe_reach
from medseg.errors import count
from medseg.reporting.cells import Cell
from medseg.reporting.evaluation_columns import command_of
from medseg.reporting.layout import Layout
from medseg.reporting.line import Line
from medseg.runs.evaluations import STATES as EVALUATED
from medseg.runs.evaluations import View
from medseg.runs.run import Run


def at_prepared_size(run: Run) -> bool:
    """Tell whether the scores of a run are taken at the prepared size."""
    return isinstance(run, View) and run.at_prepared_size


def check_measures(runs: Sequence[Run]) -> list[str]:
    """Return a line for each score that runs measured differently: custom ones, and NSD by its tolerance."""
    described = {
        (name, measure.higher_is_better, measure.unit, measure.setting): None
        for run in runs
        if run.finished
        for name, measure in run.measures.items()
        if not measure.setting or name in run.per_image.classwise
    }
    return [
        f"{name}: the runs do not agree on its unit, its tolerance or which values are better; the first of them counts"
        for name, number in Counter(name for name, *_ in described).items()
        if number > 1
    ]


def check_evaluated(layout: Layout, column: Line) -> list[str]:
    """Return how many runs lack the evaluation of a column, with the command that makes it."""
    views = [view for (_, of), several in layout.cells.items() if of == column for view in several]
    runs = [run for (_, of), several in layout.cells.items() if of == column.of for run in several]
    able = [run for run in runs if run.state in EVALUATED]
    view = next(view for view in views if isinstance(view, View))
    # A run may be damaged and its evaluation not.
    missing = len({run.folder for run in able} - {view.folder for view in views})
    if not missing:
        return []
    verb = "is" if missing == 1 else "are"
    return [f"{column.label}: {missing} of {len(able)} runs {verb} not evaluated: {command_of(able, view)}"]


def check_column(cells: Mapping[tuple[Line, Line], Cell], column: Line) -> list[str]:
    """Return what makes the rows of a dataset hard to compare: other images, other sizes, other data."""
    here = [cell for (_, of), cell in cells.items() if of == column]
    used = [run for cell in here for run in cell.runs if run.finished]
    warnings = []
    if len({cell.sample.ids for cell in here if cell.sample}) > 1:
        warnings.append(
            f"{column.label}: not all rows were tested on the same images; two rows are compared on those they share"
        )
    sizes = {tuple(run.summary.get("evaluation_size", ())) for run in used}
    if len(sizes) > 1:
        shown = ", ".join(" x ".join(map(str, size)) for size in sorted(sizes))
        warnings.append(f"{column.label}: the networks of the runs were given images of different sizes ({shown})")
    elif len({run.summary.get("data_identity") for run in used if run.fold is None}) > 1:
        warnings.append(f"{column.label}: the runs were tested on data that were prepared differently")
    reach = min((run.summary.get("reachable_dice", 1.0) for run in used if not at_prepared_size(run)), default=1.0)
    limit = describe_reach(reach, used[0].summary.get("evaluation_size") or (0, 0)) if used else ""
    if limit:
        warnings.append(f"{column.label}: {limit}")
    for cell in here:
        failed = [run for run in cell.runs if run.finished and run.summary.get("not_finite")]
        if failed:
            most = max(len(run.summary["not_finite"]) for run in failed)
            warnings.append(
                f"{column.label}: {cell.row.label} gave pixels that are not finite, in {count(len(failed), 'run')} for "
                f"up to {count(most, 'test image')}; they count as background"
            )
    # One that was asked for is a setting like others; this one the machines have chosen.
    automatic = [run.environment for run in used if run.settings.get("trainer.precision", "auto") == "auto"]
    chosen = {str(environment["precision"]) for environment in automatic if environment.get("precision")}
    if len(chosen) > 1:
        shown = " and ".join(sorted(chosen))
        warnings.append(
            f"{column.label}: trainer.precision=auto has come to {shown} on different machines; give one of them to all"
        )
    return warnings
