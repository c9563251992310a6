"""What the runs of a verdict could show, and what it would take to decide where they do not."""

from __future__ import annotations

from medseg.metrics.measures import Measure
from medseg.reporting.formatting import percent
from medseg.reporting.pairs import Pair
from medseg.reporting.planning import MOST_SEEDS, MOST_UNITS, POWER, Variances, plan, smallest_difference
from medseg.reporting.rule import NOT_JUDGED, UNDECIDED


def power_text(pair: Pair, variances: Variances | None, measure: Measure) -> str:
    """Say what a pair could show: `kvasir: differences from 4.10 points on are shown with a power of 80 %`.

    Of an undecided pair, how many seeds, or images, would show a difference as large as the measured one. Empty where
    nothing is known.
    """
    if variances is None or pair.state == NOT_JUDGED:
        return ""
    return f"{pair.column.label}: {to_decide(pair, variances, measure) or could_show(variances, measure)}"


def could_show(variances: Variances, measure: Measure) -> str:
    """Say which differences these runs show."""
    smallest = smallest_difference(variances)
    if smallest is None:
        return "no difference can be shown"
    return f"differences from {amount(smallest, measure)} on are shown with a power of {percent(POWER)}"


def to_decide(pair: Pair, variances: Variances, measure: Measure) -> str:
    """Say what it would take to show the measured difference; empty of a pair that is not undecided."""
    if pair.state != UNDECIDED:
        return ""
    measured = plan(variances, abs(pair.difference))
    difference, units = amount(pair.difference, measure), "groups" if pair.grouped else "images"
    if measured.seeds_needed is not None:
        return f"{measured.seeds_needed} seeds would show a difference of {difference}"
    more = f"{MOST_SEEDS} seeds would not show a difference of {difference}"
    if measured.units_needed is None:
        return f"{more}, nor would {MOST_UNITS:,} {units}"
    return f"{more}, {measured.units_needed:,} {units} with {measured.seeds} seeds would"


def amount(difference: float, measure: Measure) -> str:
    """Write a difference without its sign: `1.30 points`."""
    return f"{abs(difference) * measure.points:.2f} {measure.point_unit}"
