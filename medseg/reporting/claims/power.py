"""What the runs of a verdict could show, and what it would take to decide where they do not."""

from __future__ import annotations

import math
from functools import partial

from medseg.metrics.measures import Measure
from medseg.reporting.formatting import percent, rounded_up
from medseg.reporting.pairs import Pair
from medseg.reporting.planning import MOST_SEEDS, MOST_UNITS, POWER, Variances, fewest, plan, smallest_difference
from medseg.reporting.rule import NOT_JUDGED, UNDECIDED

WITH_POWER = f"with a power of {percent(POWER)}"

SMALLEST = 0.005
"""Difference, in the unit of the table, that is written as one: no number of runs shows a difference of 0.00 points."""

SEEDS = (10, 20, 30, 50, MOST_SEEDS)
"""Tried with more images where seeds alone are not enough: those with the smallest product are named."""


def power_text(pair: Pair, variances: Variances | None, measure: Measure) -> str:
    """Say what a pair could show: `kvasir: differences from 4.10 points on are shown with a power of 80 %`.

    Of an undecided pair, how many seeds, or seeds and images, would show a difference as large as the measured one.
    Empty where nothing is known.
    """
    if variances is None or pair.state == NOT_JUDGED:
        return ""
    undecided = pair.state == UNDECIDED and abs(pair.difference) * measure.points >= SMALLEST
    return f"{pair.column.label}: {(to_decide if undecided else could_show)(pair, variances, measure)}"


def could_show(pair: Pair, variances: Variances, measure: Measure) -> str:
    """Say which differences the runs of a pair show."""
    smallest = smallest_difference(variances)
    if smallest is None:
        return "no difference can be shown"
    return f"differences from {amount(smallest, measure)} on are shown {WITH_POWER}"


def to_decide(pair: Pair, variances: Variances, measure: Measure) -> str:
    """Say what it would take to show the measured difference of an undecided pair."""
    wanted = abs(pair.difference)
    planned, units = plan(variances, wanted), "groups" if pair.grouped else "images"
    if planned.power >= POWER:  # the mean alone would decide
        return "no number of runs is named, since the mean and the ranks disagree"
    shown = f"show a difference of {amount(wanted, measure)} {WITH_POWER}"
    if planned.seeds_needed is not None:
        return f"{planned.seeds_needed} seeds would {shown}"
    more = [seeds for seeds in SEEDS if seeds > max(variances.seeds)]
    needed = {seeds: fewest(partial(power_with, variances, wanted, seeds), 2, MOST_UNITS) for seeds in more}
    if len({*variances.seeds}) == 1:
        needed |= {planned.seeds: planned.units_needed}
    enough = [(seeds, count) for seeds, count in needed.items() if count is not None]
    if not enough:
        return f"{MOST_SEEDS} seeds and {MOST_UNITS:,} {units} would not {shown}"
    seeds, count = min(enough, key=math.prod)
    return f"{seeds} seeds and {rounded_up(count)} {units} would {shown}"


def power_with(variances: Variances, difference: float, seeds: int, units: int) -> float:
    """Return the power with other numbers of seeds and units."""
    return variances.power(difference, seeds=seeds, units=units)


def amount(difference: float, measure: Measure) -> str:
    """Write a difference without its sign: `1.30 points`."""
    return f"{abs(difference) * measure.points:.2f} {measure.point_unit}"
