"""What a comparison shows of each dataset in words: the best network, and those not shown to differ from it.

The verdicts are those of the rule (`medseg.reporting.rule`), read from the pairs of the comparison: nothing is tested
here. The sentences are plain text.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from medseg.metrics.measures import Measure
from medseg.reporting.cells import Cell, Score
from medseg.reporting.comparison import Comparison, best_row, means_of
from medseg.reporting.formatting import count, listed, margin, number, percent, rounded_up
from medseg.reporting.labels import short
from medseg.reporting.line import Line
from medseg.reporting.pairs import NOT_SHOWN_TO_DIFFER, Pair, pairs_with
from medseg.reporting.planning import MOST_SEEDS, POWER, Plan
from medseg.reporting.rule import BETTER, EQUIVALENT, NOT_JUDGED, UNDECIDED, WORSE
from medseg.runs.evaluations import STATES as EVALUATED

BEST = "best"
"""State of the network with the best mean, where its seeds are several."""

MOST_NAMES = 3
"""Networks that a sentence names; more are counted."""


class Standing(NamedTuple):
    """A network on a dataset, against the one with the best mean.

    Args:
        row: the network.
        score: under the measure of the comparison.
        state: "best", or the state of its pair with the best one, seen from it.
        reason: of the pair: why it is not judged or not decided.
    """

    row: Line
    score: Score
    state: str
    reason: str


@dataclass(frozen=True)
class Conclusion:
    """The sentences on a dataset.

    Args:
        column: the dataset, or an external test.
        text: one sentence on who is best, and others on what it would take to decide more, and on missing runs.
        standings: of the networks that have a score, the best mean first.
    """

    column: Line
    text: str
    standings: tuple[Standing, ...]


def conclude(comparison: Comparison) -> tuple[Conclusion, ...]:
    """Return the sentences on each column of a comparison, in their order."""
    return tuple(map(partial(conclude_column, comparison), comparison.columns))


def conclude_column(comparison: Comparison, column: Line) -> Conclusion:
    """Return the sentences on a column."""
    cells, measure = comparison.column_cells(column), comparison.measure
    standings = standings_of(cells, [pair for pair in comparison.pairs if pair.column == column], measure)
    own = comparison.column_cells(column.of or column)
    sentences = [f"{column_phrase(column)}, {verdict_of(standings, cells, measure, alone=len(own) == 1)}."]
    if any(standing.state == UNDECIDED for standing in standings):
        units = "groups of images" if any(cell.sample and cell.sample.groups for cell in cells) else "images"
        sentences += needed([plan for of, plan in comparison.plans if of == column], measure, units)
    sentences += missing_evaluations(cells, own, measure) if column.of else missing(cells, measure)
    return Conclusion(column, " ".join(sentences), standings)


def standings_of(cells: Sequence[Cell], pairs: Sequence[Pair], measure: Measure) -> tuple[Standing, ...]:
    """Return the networks of a column that have a score, the best mean first; `pairs`: of the column."""
    means, best = means_of(cells, measure), best_row(cells, measure)
    if best is None:
        return ()
    against, of_row = pairs_with(pairs, best), {cell.row: cell for cell in cells}
    standings = []
    for row in sorted(means, key=means.__getitem__):
        score = of_row[row].scores[measure.name]
        pair = against[row].reversed() if row in against else None
        if row == best:
            state, reason = (BEST, "") if seeds_of(of_row[row]) > 1 else (NOT_JUDGED, "one seed")
        else:
            state, reason = (pair.state, pair.reason) if pair else (NOT_JUDGED, "no images that both were tested on")
        standings.append(Standing(row, score, state, reason))
    return tuple(standings)


def kind_of(standing: Standing) -> str:
    """Return how pictures show a network: `best`, `alike` (not shown to differ), `behind`, `ahead` or `unjudged`."""
    if standing.state in NOT_SHOWN_TO_DIFFER:
        return "alike"
    return {BEST: "best", WORSE: "behind", BETTER: "ahead"}.get(standing.state, "unjudged")


def kinds_of(standings: Iterable[Standing], measure: Measure) -> dict[str, str]:
    """Return the kinds that there are among networks, each with its words for a legend."""
    there = set(map(kind_of, standings))
    words = {
        "best": f"{'highest' if measure.higher_is_better else 'lowest'} {measure.title}",
        "alike": "not shown to differ from it",
        "behind": "worse",
        "ahead": "better on the images that both were tested on",
        "unjudged": "not judged",
    }
    return {kind: word for kind, word in words.items() if kind in there}


def seeds_of(cell: Cell) -> int:
    """Return how many seeds the score of a cell is of; each is one training, or one of each fold."""
    return len(cell.sample.seeds) if cell.sample else 0


def column_phrase(column: Line) -> str:
    """Return how a sentence on a column begins."""
    if column.external:
        return f"On the external test {column.label}"
    # The label of one dataset's several settings is what differs among them.
    tested = column.of or column
    bare = any(column.label.startswith(f"{short(key)}=") for key, _ in tested.facts)
    return f"On {tested.printed_name}, {column.label}" if bare else f"On {column.label}"


def verdict_of(standings: Sequence[Standing], cells: Sequence[Cell], measure: Measure, *, alone: bool) -> str:
    """Say which network is best, and against how many others that is a verdict; without the end of the sentence.

    `alone`: whether the dataset has one network, and not several of which one has a score.
    """
    title = measure.title
    if not standings:
        return f"no network has a score yet ({title})"
    (first, score, state, _), *others = standings
    value = f"{number(score.mean, measure.digits)}{f' {measure.unit}' if measure.unit else ''}"
    seeds = {cell.row: seeds_of(cell) for cell in cells}
    if not others:
        trained = ", with one seed" if seeds[first] == 1 else ""
        no_other = "there is no other network to compare it with" if alone else "no other network has a score"
        return f"{first.label} has a mean {title} of {value}{trained}; {no_other}"
    tied = [one.row.label for one in others if one.score.mean == score.mean]
    lead = (
        f"{listed([first.label, *tied])} {'have' if tied else 'has'} the "
        f"{'highest' if measure.higher_is_better else 'lowest'} {title}, {value}{' each' if tied else ''}"
    )
    if all(seeds[one.row] == 1 for one in standings):
        return f"{lead}, but each network has one seed, so there is no verdict: it takes two seeds"
    if state == NOT_JUDGED:
        return f"{lead}, but with one seed, so it is not judged: it takes two seeds"
    return f"{lead}; {', and '.join(clauses(first.label if tied else 'it', others, measure))}"


def clauses(best: str, others: Sequence[Standing], measure: Measure) -> list[str]:
    """Say how the other networks compare with the best one, called `best` in the sentence."""
    of = {state: [one for one in others if one.state == state] for state in (WORSE, UNDECIDED, EQUIVALENT, BETTER)}
    several, parts = len(others) > 1, []
    if of[WORSE]:
        whom = f"{len(of[WORSE])} of {len(others)} others"
        if len(of[WORSE]) == len(others):
            whom = f"{'both' if len(others) == 2 else f'all {len(others)}'} others" if several else others[0].row.label
        parts.append(f"{best} is better than {whom}")
    if of[UNDECIDED]:
        than = "" if of[WORSE] else f" from {best}"
        if len(of[UNDECIDED]) == len(others) > MOST_NAMES:
            parts.append(f"none of the {len(others)} others is shown to differ{than}")
        else:
            parts.append(f"{subject(of[UNDECIDED])} not shown to differ{than}")
        parts[-1] += because(of[UNDECIDED])
    if of[EQUIVALENT]:
        parts.append(f"{subject(of[EQUIVALENT])} equivalent to {best} within {margin(measure)}")
    if of[BETTER]:
        parts.append(f"{subject(of[BETTER])} better than {best} on the images that both were tested on")
    reasons = dict.fromkeys(one.reason for one in others if one.state == NOT_JUDGED)
    for reason in reasons:
        alike = [one for one in others if (one.state, one.reason) == (NOT_JUDGED, reason)]
        parts.append(f"{subject(alike)} not judged ({reason})")
    return parts


def subject(standings: Sequence[Standing]) -> str:
    """Name networks, or count them, with the verb."""
    names = [one.row.label for one in standings]
    return f"{named(names)} {'is' if len(names) == 1 else 'are'}"


def named(names: Sequence[str], what: str = "") -> str:
    """List few names, and count many things."""
    return listed(names) if len(names) <= MOST_NAMES else f"{len(names)} {what}".rstrip()


def because(standings: Sequence[Standing]) -> str:
    """Write the reason that networks share; nothing where they have none or several."""
    reasons = {one.reason for one in standings}
    return f" ({reasons.pop()})" if len(reasons) == 1 and "" not in reasons else ""


def needed(plans: Sequence[Plan], measure: Measure, units: str = "images") -> list[str]:
    """Say how many seeds would show a difference of 1 point and of 2, from the plans of both; nothing without these.

    `units`: what the plans count: images, or groups of images.
    """
    if len(plans) != 2:
        return []
    one, two = plans
    smaller, larger = margin(measure), f"2 {measure.point_unit}"
    power = f"with a power of {percent(POWER)}"
    if two.seeds_needed is None:
        lacking = f"On these images, {MOST_SEEDS} seeds would not show a difference of {larger} {power}"
        if two.units_needed is None:
            return [f"{lacking}."]
        return [f"{lacking}; about {rounded_up(two.units_needed)} {units} would, with {two.seeds} seeds."]
    if one.seeds_needed is not None and one.seeds_needed <= one.seeds:
        return [f"The seeds are enough to show a difference of {smaller} {power}."]
    shown = f"To show a difference of {larger} {power} would take about {two.seeds_needed} seeds"
    if two.seeds_needed <= two.seeds:
        shown = f"The seeds are enough to show a difference of {larger} {power}"
    if one.seeds_needed is None:
        return [f"{shown}; for {smaller}, {MOST_SEEDS} are not enough on these images."]
    return [f"{shown}; {smaller} would take about {one.seeds_needed}."]


def missing(cells: Sequence[Cell], measure: Measure) -> list[str]:
    """Say which networks have no score, and how many runs are missing or not in the scores."""
    runs = sum(len(cell.runs) for cell in cells)
    lacking = sum(len(cell.unfinished) for cell in cells)
    without = [cell.row.label for cell in cells if measure.name not in cell.scores]
    if len(without) == len(cells):  # which the first sentence states
        without = []
    return lacking_of(lacking, cells, count(runs, "run"), without, measure)


def lacking_of(lacking: int, cells: Sequence[Cell], whole: str, without: Sequence[str], measure: Measure) -> list[str]:
    """Say how many of the `whole`, runs or evaluations, are missing or unused, and which networks have no score."""
    unused = sum(len(cell.unused) for cell in cells)
    parts, of = [], f" of {whole}"
    if lacking:
        parts.append(f"{lacking}{of} {'is' if lacking == 1 else 'are'} missing")
    if unused:
        parts.append(f"{unused}{'' if lacking else of} {'is' if unused == 1 else 'are'} finished but not in the scores")
    sentence = []
    if parts:
        sentence.append(", and ".join(parts))
    if without:
        verb = "has" if len(without) == 1 else "have"
        sentence.append(f"{named(without, 'networks')} {verb} no {measure.title}")
    return [f"{': '.join(sentence)}."] if sentence else []


def missing_evaluations(cells: Sequence[Cell], own: Sequence[Cell], measure: Measure) -> list[str]:
    """Return the same of a column of evaluations; `own`: cells of the runs, of which those count that are trained."""
    able = {cell.row: {run.folder for run in cell.runs if run.state in EVALUATED} for cell in own}
    there = {view.folder for cell in cells for view in cell.runs}
    runs = sum(map(len, able.values()))
    lacking = sum(len(folders - there) for folders in able.values())
    with_score = {cell.row for cell in cells if measure.name in cell.scores}
    without = [row.label for row, of in able.items() if of and row not in with_score]
    return lacking_of(lacking, cells, count(runs, "evaluation"), without if with_score else [], measure)
