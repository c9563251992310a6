"""Numbers and runs in words, as the tables of a report have them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from medseg.errors import count as count  # part of what is here, for all tables
from medseg.metrics.measures import Measure
from medseg.reporting.cells import Score
from medseg.reporting.costs import Size
from medseg.reporting.pairs import Pair
from medseg.runs.run import Run

LONGEST_ERROR = 160


def number(value: float | None, digits: int) -> str:
    """Write a number, a dash for None; what rounds to 0 has no sign."""
    return "-" if value is None else f"{round(value, digits) + 0.0:.{digits}f}"


def signed(value: float, digits: int) -> str:
    """Write a difference with its sign."""
    rounded = round(value, digits)
    return f"{rounded:+.{digits}f}" if rounded else f"{0:.{digits}f}"


def p_value(p: float | None) -> str:
    """Write a p-value."""
    if p is None:
        return "-"
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def spread(score: Score, measure: Measure) -> str:
    """Write the deviation over seeds; nothing for a single seed."""
    return "" if score.sd is None else f" ± {number(score.sd, measure.digits)}"


def interval(score: Score, measure: Measure) -> str:
    """Write the interval of a score, or why it has none; nothing where it is not known."""
    if score.remark or score.low is None:
        return f" [{score.remark}]" if score.remark else ""
    return f" [{number(score.low, measure.digits)}, {number(score.high, measure.digits)}]"


def point_digits(measure: Measure) -> int:
    """Return the digits of a difference in points."""
    return 1 if measure.unit else 2


def difference(pair: Pair, measure: Measure) -> str:
    """Write a difference in points, with the interval that its verdict was made of."""
    digits = point_digits(measure)
    mean = signed(pair.difference * measure.points, digits)
    if pair.low is None or pair.high is None:
        return mean
    return f"{mean} [{signed(pair.low * measure.points, digits)}, {signed(pair.high * measure.points, digits)}]"


def margin(measure: Measure) -> str:
    """Write the difference below which two networks are equivalent: a point, or one of the unit of the score."""
    unit = measure.point_unit
    return f"1 {unit[:-1] if unit.endswith('s') and len(unit) > 2 else unit}"


def verdict(pair: Pair) -> str:
    """Write whether the first of the two is better, and why that is not judged."""
    return f"{pair.state} ({pair.reason})" if pair.reason else pair.state


def percent(share: float) -> str:
    """Write a share in percent; what is neither none nor all of it does not look so."""
    if 0 < share < 0.005:
        return "<1 %"
    return ">99 %" if 0.995 <= share < 1 else f"{100 * share:.0f} %"


def level(confidence: float) -> str:
    """Write the level of an interval."""
    return f"{100 * confidence:.3g} %"


def chance(superiority: tuple[float, float, float] | None) -> str:
    """Write how often a new training of a network would beat one of another, with the interval; a dash for None."""
    if superiority is None:
        return "-"
    share, low, high = superiority
    return f"{percent(share)} [{100 * low:.0f}, {100 * high:.0f}]"


def fixed(digits: int, unit: float = 1.0) -> Callable[[float], str]:
    """Return what writes numbers in a unit."""
    return lambda value: number(value / unit, digits)


def size(of: Size) -> str:
    """Write a size."""
    return f"{of[0]} x {of[1]}"


def last_line(error: str | None) -> str:
    """Return the last line of an error, shortened."""
    lines = [line.strip() for line in (error or "").splitlines() if line.strip()]
    line = lines[-1] if lines else ""
    return line if len(line) <= LONGEST_ERROR else f"{line[: LONGEST_ERROR - 3]}..."


def rounded_up(count: int) -> str:
    """Write a planned number, rounded up to two digits, as no plan is more exact: 2157 -> `2,200`."""
    step = 10 ** max(len(str(count)) - 2, 0)
    return f"{-(-count // step) * step:,}"


def seed_and_fold(run: Run) -> str:
    """Say which of its cell's runs this is."""
    return f"seed {run.seed}" + ("" if run.fold is None else f" fold {run.fold}")


def describe_runs(runs: Sequence[Run]) -> str:
    """Say what became of unfinished runs: `seed 1 failed (OutOfMemoryError: ...); seed 2, seed 3 waiting`."""
    alike: dict[tuple[str, str], list[str]] = {}
    for run in runs:
        alike.setdefault((run.state, last_line(run.error)), []).append(seed_and_fold(run))
    return "; ".join(
        f"{', '.join(places)} {state}{f' ({error})' if error else ''}" for (state, error), places in alike.items()
    )


def describe_unused(runs: Sequence[Run]) -> str:
    """Say which finished runs are not in the score of their cell, and why."""
    folds = any(run.fold is not None for run in runs)
    reason = "another fold of the seed is missing" if folds else "tested on other images than the first seed"
    return f"{', '.join(map(seed_and_fold, runs))} ({reason})"


def listed(names: Sequence[str]) -> str:
    """List names; those that have commas themselves are separated by semicolons."""
    *first, last = names or [""]
    between = "; " if any("," in name for name in names) else ", "
    return f"{between.join(first)} and {last}" if first else last
