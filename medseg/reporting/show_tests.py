"""The tables of tests: who differs from whom and by how much, wins over datasets, average ranks, ablations."""

from __future__ import annotations

from collections.abc import Sequence

from medseg.metrics.measures import Measure
from medseg.reporting.ablation import Ablation
from medseg.reporting.comparison import Comparison
from medseg.reporting.layout import Line
from medseg.reporting.pairs import Pair, Ranking, find_pair
from medseg.reporting.render import Entry, Heading, Table
from medseg.reporting.statistics import ALPHA, FEWEST_DATASETS
from medseg.reporting.words import count, difference, number, p_value, verdict

VERDICT_NOTE = (
    f"Better or worse: corrected p below {ALPHA}, an interval without 0, the mean on the side of the ranks. The test "
    "is about these trained networks; what another training would change is in the interval, where there are several "
    "seeds: one cannot tell a network from a lucky training."
)

MOST_PAIRS = 15
"""Up to six rows, all pairs are shown; beyond, those with the best row of each dataset."""


def pairs_table(comparison: Comparison) -> Table | None:
    """Every pair of rows on every dataset: the difference in points with its interval, p, the verdict."""
    measure = comparison.measure
    rows: list[tuple[str | Entry, ...]] = []
    shortened = False
    for column in comparison.columns:
        here = [pair for pair in comparison.pairs if pair.column == column]
        if len(here) > MOST_PAIRS:
            shortened = True
            here = with_best(comparison, here)
        rows += [(column.label, *pair_entries(pair, measure)) for pair in here]
    if not rows:
        return None
    headings = (
        Heading("dataset"),
        Heading("network"),
        Heading("against"),
        Heading(f"difference, {measure.point_unit} [95 % interval]", number=True),
        Heading("p", number=True),
        Heading("p, Holm", number=True),
        Heading("verdict"),
    )
    notes = [f"{test_note(measure)}; Holm's correction for all pairs of a dataset.", VERDICT_NOTE]
    if shortened:
        notes.append("Of more than six networks, those pairs that the best one is in; all pairs are in pairs.csv.")
    return Table("pairs", f"Paired tests: {measure.title}", headings, tuple(rows), tuple(notes))


def test_note(measure: Measure) -> str:
    """Say which test was made."""
    if measure.convention == "per_image":
        return "Wilcoxon's signed-rank test per image, averaged over seeds"
    return "Paired t-test of the jackknife's values per image and of the seeds, since no single image has this score"


def with_best(comparison: Comparison, pairs: Sequence[Pair]) -> list[Pair]:
    """Return the pairs of a dataset that its best row is in, seen from that."""
    column = pairs[0].column
    best = next(row for row in comparison.rows if (cell := comparison.cells.get((row, column))) and cell.place == 1)
    seen = (find_pair(pairs, best, row, column) for row in comparison.rows if row != best)
    return [pair for pair in seen if pair is not None]


def pair_entries(pair: Pair, measure: Measure) -> tuple[str, ...]:
    """Write a pair."""
    return (
        pair.first.label,
        pair.second.label,
        difference(pair, measure),
        p_value(pair.p),
        p_value(pair.corrected),
        verdict(pair, measure),
    )


def wins_table(comparison: Comparison) -> Table | None:
    """On how many datasets a row beats a column, is not told from it, loses to it."""
    rows = [row for row in comparison.rows if any(row in pair for pair in comparison.wins)]
    if len(rows) < 2:
        return None
    numbered = {row: f"({n})" for n, row in enumerate(rows, start=1)}
    entries = []
    for row in rows:
        cells = ["" if row == other else "/".join(map(str, comparison.wins.get((row, other), ()))) for other in rows]
        entries.append((f"{numbered[row]} {row.label}", *cells, "/".join(map(str, total(comparison, row)))))
    headings = (Heading("network"), *(Heading(numbered[row], number=True) for row in rows), Heading("all", number=True))
    notes = (f"Datasets on which the row wins / is not told apart / loses, of {len(comparison.columns)}.",)
    return Table("wins", f"Wins, ties and losses: {comparison.measure.title}", headings, tuple(entries), notes)


def total(comparison: Comparison, row: Line) -> tuple[int, int, int]:
    """Sum the wins, ties and losses of a row."""
    counted = [found for (first, _), found in comparison.wins.items() if first == row]
    wins, ties, losses = (sum(kind) for kind in zip(*counted, strict=True))
    return wins, ties, losses


def ranking_table(ranking: Ranking, measure: Measure) -> Table:
    """The rows by average rank, with the groups that are not told apart."""
    groups = ranking.groups()
    rows = []
    for place, (row, rank) in enumerate(zip(ranking.rows, ranking.ranks, strict=True)):
        letters = "".join(chr(ord("a") + g) for g, (first, last) in enumerate(groups) if first <= place <= last)
        rows.append((row.label, number(rank, 2), letters or "-"))
    if ranking.p is None or ranking.critical is None:
        notes = [
            f"{count(ranking.datasets, 'dataset')} and {count(len(rows), 'network')}: too few to test ranks "
            f"(from {FEWEST_DATASETS} datasets and 3 networks on); the order is what was measured, no more."
        ]
    else:
        notes = [
            f"Friedman's test over {count(ranking.datasets, 'dataset')}: p {p_value(ranking.p)}. Critical difference "
            f"of Nemenyi at {ALPHA}: {number(ranking.critical, 2)} ranks; networks with a common letter differ by less."
        ]
        if ranking.p >= ALPHA:
            notes.append("The test does not find that the networks rank differently at all.")
    if ranking.left_out:
        notes.append(
            f"Without a score on every dataset, so not ranked: {', '.join(r.label for r in ranking.left_out)}."
        )
    headings = (Heading("network"), Heading("average rank", number=True), Heading("not told apart"))
    return Table("ranks", f"Average rank over datasets: {measure.title}", headings, tuple(rows), tuple(notes))


def ablation_table(ablation: Ablation, comparison: Comparison) -> Table:
    """One factor: the score of each value, and its difference from the default with interval and p."""
    measure = comparison.measure
    rows: list[tuple[str | Entry, ...]] = []
    for block in ablation.blocks:
        for row, value in block.values.items():
            cells: list[str | Entry] = [block.label, f"{value} (default)" if row == block.default else value]
            for column in comparison.columns:
                cell = comparison.cells.get((row, column))
                score = cell.scores.get(measure.name) if cell else None
                pair = block.pairs.get((row, column))
                cells += [
                    "-" if score is None else number(score.mean, measure.digits),
                    "" if row == block.default else "-" if pair is None else difference(pair, measure),
                    "" if row == block.default else "-" if pair is None else p_value(pair.corrected),
                ]
            rows.append(tuple(cells))
    unit = measure.point_unit
    headings = [Heading("network"), Heading(ablation.title)]
    for column in comparison.columns:
        headings += [
            Heading(f"{column.label}: {measure.title}", number=True),
            Heading(f"difference, {unit} [95 % interval]", number=True),
            Heading("p, Holm", number=True),
        ]
    notes = [
        f"Difference: from the default. p: {test_note(measure)}; Holm's correction for "
        "the values of a network on a dataset."
    ]
    guessed = [block.label for block in ablation.blocks if not block.known]
    if guessed:
        notes.append(f"None of the values is the configuration's own, so the first was taken: {', '.join(guessed)}.")
    name = f"ablation-{ablation.title.replace('/', '-')}"
    return Table(name, f"Ablation: {ablation.title} ({measure.title})", tuple(headings), tuple(rows), tuple(notes))
