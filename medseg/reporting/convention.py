"""The tests that a report is of: those of the runs and their evaluations, at native size or at the prepared one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from medseg.errors import ConfigError
from medseg.metrics.measures import MEASURES
from medseg.reporting.evaluation_columns import ARROW, Evaluated, has_column, target_of
from medseg.reporting.formatting import count, size
from medseg.runs.evaluations import (
    View,
    at_prepared_size,
    is_external,
    read_evaluations,
    repeats_own_images,
    tests_as_trained,
)
from medseg.runs.folder import PREPARED_SIZE
from medseg.runs.reading import RunTree
from medseg.runs.run import Run

CONVENTIONS = (*MEASURES.conventions, PREPARED_SIZE)
"""Values of the option `convention`."""


@dataclass(frozen=True)
class Tests:
    """What is compared.

    Args:
        runs: in whatever state.
        evaluated: some of them with their evaluations, those that have a column.
        convention: of the measure.
        at: the size that the scores are taken at, in words; empty for native size.
        notes: what was left out, or is hard to compare.
    """

    runs: Sequence[Run]
    evaluated: Evaluated
    convention: str
    at: str
    notes: tuple[str, ...]


def tests_under(tree: RunTree, convention: str) -> Tests:
    """Return the tests of some runs, which have been read, under a convention; `prepared_size` is one of all scores.

    Raises `ConfigError` for an unknown one.
    """
    if convention not in CONVENTIONS:
        raise ConfigError(f"convention is {convention!r}; it must be one of {', '.join(CONVENTIONS)}")
    notes = [*tree.copies, *tree.problems]
    every: list[tuple[Run, View]] = [(run, view) for run in tree for view in read_evaluations(run, notes)]
    evaluated = [(run, view) for run, view in every if has_column(run, view)]
    notes += note_known_images(every)
    if convention == PREPARED_SIZE:
        shown = {id(run): at_prepared_size(run).checked for run in tree}
        small = [(shown[id(run)], at_prepared_size(view).checked) for run, view in evaluated]
        notes += [str(view.error) for _, view in small if not view.finished]
        kept = [(run, view) for run, view in small if view.finished and isinstance(view, View)]
        runs = list(shown.values())
        return Tests(runs, kept, "per_image", size_of_scores([*runs, *(view for _, view in kept)]), tuple(notes))
    finished = [run for run in tree if run.finished]
    older = [run for run in finished if PREPARED_SIZE not in run.summary]
    if older:
        notes.append(
            f"{len(older)} of {count(len(finished), 'finished run')} of an older version: scored at the prepared size, "
            "not at native size; convention=prepared_size compares all at it"
        )
    return Tests(list(tree), evaluated, convention, "", tuple(notes))


def of_one_tolerance(tests: Tests) -> Tests:
    """Leave NSD out of the tests that measured it with another tolerance than the first: it is another score."""
    every = [*tests.runs, *(view for _, view in tests.evaluated)]
    measured = [run for run in every if run.finished and "nsd" in run.per_image.classwise]
    others = [run for run in measured if run.summary.get("nsd_tolerance") != measured[0].summary.get("nsd_tolerance")]
    if not others:
        return tests
    changed: dict[int, Any] = {}
    for run in others:
        scores = {name: values for name, values in run.per_image.classwise.items() if name != "nsd"}
        changed[id(run)] = replace(run)
        changed[id(run)].__dict__["per_image"] = replace(run.per_image, classwise=scores)
    tolerance = measured[0].summary.get("nsd_tolerance")
    note = (
        f"NSD: {count(len(others), 'test')} left out, measured with another tolerance than {tolerance} px; "
        f"medseg score RUNS scores=[nsd] nsd_tolerance={tolerance} measures all with one"
    )
    return replace(
        tests,
        runs=[changed.get(id(run), run) for run in tests.runs],
        evaluated=[(changed.get(id(run), run), changed.get(id(view), view)) for run, view in tests.evaluated],
        notes=(*tests.notes, note),
    )


def note_known_images(evaluated: Evaluated) -> list[str]:
    """Return a line for each evaluation of what a run's data hold, wholly or in part, though it is no plain repetition.

    One on the images of the run has no column; one on some of them has a drop that is too small.
    """
    whole: dict[str, int] = {}
    partly: dict[str, int] = {}
    for run, view in evaluated:
        summary = view.summary
        if repeats_own_images(run, view) and not tests_as_trained(run, view):
            name = f"{target_of(view)} (evaluations/{view.scores_in.name})"
            whole[name] = whole.get(name, 0) + 1
        elif summary.get("known_images") and is_external(run, summary):
            name = f"{run.data}{ARROW}{target_of(view)}"
            partly[name] = max(partly.get(name, 0), summary["known_images"])
    return [
        f"{name}: {count(number, 'evaluation')} on images of the run's data, so no external test, and without a column"
        for name, number in whole.items()
    ] + [
        f"{name}: {count(number, 'tested image')} of the run's data, so not external; the scores may be too high"
        for name, number in partly.items()
    ]


def size_of_scores(runs: Sequence[Run]) -> str:
    """Name the prepared size of some runs: `256 x 256`, or `the prepared size` where there are several."""
    sizes = {tuple(run.summary.get("evaluation_size") or ()) for run in runs if run.finished}
    only = sizes.pop() if len(sizes) == 1 else ()
    return size((only[0], only[1])) if len(only) == 2 else "the prepared size"
