"""Where a job belongs that has not begun: it has no configuration yet, only what it was given on the command line."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from medseg.errors import UserError
from medseg.reporting.line import Facts
from medseg.runs.equivalence import option_of
from medseg.runs.naming import is_ignored
from medseg.runs.run import Run

TUNED = "tuned"
"""Value of a key that was chosen by trials, which may be another one on each dataset."""

OF_DATA = ("experiments", "protocol", "budget")
"""Groups beside `data` that can set keys of it."""


def given(run: Run) -> dict[str, str]:
    """Return what a run was given on the command line, which is all that one tells that has not begun."""
    words = dict(word.lstrip("+").partition("=")[::2] for word in run.overrides)
    texts = {key: value for key, value in sorted(words.items()) if "." in key and not is_ignored(key)}
    try:
        return with_tuned(texts, tuple(run.tuning.space)) if run.tuning else texts
    except UserError:  # a damaged file
        return texts


def with_tuned(texts: Mapping[str, str], keys: Sequence[str]) -> dict[str, str]:
    """Return settings in which each key that was tuned has the value `TUNED`, with all that is below it.

    Without tuned keys, those of the tuning itself are left out: they tell nothing of such a run.
    """
    below = {name: next((key for key in keys if f"{name}.".startswith(f"{key}.")), None) for name in texts}
    kept = {
        name: text
        for name, text in texts.items()
        if below[name] is None and name != "tuning" and (keys or not name.startswith("tuning."))
    }
    return {**kept, **dict.fromkeys(keys, TUNED)}


def begun_lines(
    waiting: Mapping[Any, Run], begun: Mapping[Any, Run], lines: Mapping[Any, Facts], *, of_rows: bool
) -> dict[Any, Run]:
    """Return a run of the row, or of the column, of each job that belongs to one; to none where several would do.

    Args:
        waiting: jobs of whose settings none has begun, by the keys of these.
        begun: a run of each other setting.
        lines: key of a setting -> facts of its row, or of its column; those that were given, of jobs.
        of_rows: whether these are rows.
    """
    several: dict[tuple[str, Facts], list[Run]] = defaultdict(list)
    for key, run in begun.items():
        several[run.model if of_rows else run.data, lines[key]].append(run)
    of_key = {}
    for key, run in waiting.items():
        fitting = [
            there[0]
            for (name, facts), there in several.items()
            if name == (run.model if of_rows else run.data)
            and any(is_given_alike(run, other, lines[key], facts, of_rows=of_rows) for other in there)
        ]
        if len(fitting) == 1:
            of_key[key] = fitting[0]
    return of_key


def is_given_alike(job: Run, run: Run, typed: Facts, facts: Facts, *, of_rows: bool) -> bool:
    """Whether a job was given what makes it one of the row, or of the column, of a run.

    Args:
        job, run: of the same network, or of the same dataset.
        typed: of what the job was given, what concerns the line.
        facts: of the line.
        of_rows: whether it is a row.
    """
    words, of_line, of_run = dict(typed), dict(facts), given(run)
    groups = {*job.choices, *run.choices} - {"model", "data"} if of_rows else OF_DATA
    return (
        all(text in (of_run.get(key), of_line.get(key)) for key, text in words.items())
        and not any(key in of_line and key not in words and key in run.changed for key in of_run)
        and all(option_of(job, group) == option_of(run, group) for group in groups if not is_ignored(group))
    )
