"""How jobs ended, and what is reported of that."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from medseg.errors import UserError

log = logging.getLogger(__name__)


GOOD = ("finished", "evaluated", "done before", "skipped")
"""States with nothing left to do."""


@dataclass(frozen=True)
class Outcome:
    """How a job ended.

    Args:
        job: its name, or its overrides where it has no run folder.
        state: finished; of evaluations evaluated, done before or skipped; interrupted, failed, or busy: another process
            works on its run.
        error: why it is not finished, in one line.
        lines: the last ones it printed.
    """

    job: str
    state: str
    error: str = ""
    lines: tuple[str, ...] = ()


def count(states: Iterable[str]) -> str:
    """Say how many jobs are in which state."""
    listed = list(states)
    return ", ".join(f"{listed.count(state)} {state}" for state in dict.fromkeys(listed))


def report(outcomes: Sequence[Outcome], what: str = "sweep") -> None:
    """Say how the jobs ended; `what` they are, in a word.

    Raises `UserError` where any is not finished.
    """
    if len(outcomes) > 1:
        log.info("%s: %s", what, count(outcome.state for outcome in outcomes))
    bad = [outcome for outcome in outcomes if outcome.state not in GOOD]
    for outcome in bad:
        log.error("%s: %s", outcome.state, outcome.job)
        for line in (
            outcome.lines if outcome.lines and outcome.state == "failed" else (outcome.error,) * bool(outcome.error)
        ):
            log.error("    %s", line)
    if bad:
        jobs = "1 job" if len(bad) == 1 else f"{len(bad)} jobs"
        verb = "failed" if all(outcome.state == "failed" for outcome in bad) else "not finished"
        raise UserError(f"{jobs} {verb} of {len(outcomes)}; the same command tries again what is not finished")
