"""The tables of tests: who differs from whom and by how much, wins over datasets, average ranks, ablations."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from medseg.metrics.measures import Measure
from medseg.reporting.ablation import Ablation, Block
from medseg.reporting.comparison import Comparison, best_row
from medseg.reporting.formatting import chance, count, difference, fixed, level, margin, number, p_value, verdict
from medseg.reporting.line import Line
from medseg.reporting.pairs import Pair, pairs_with
from medseg.reporting.ranks import FEWEST_DATASETS, Ranking
from medseg.reporting.render.table import Blocks, Column, Entry, Table
from medseg.reporting.statistics import ALPHA
from medseg.reporting.tables.scores import ONE_SEED

MOST_PAIRS = 15
"""Up to six networks, all pairs are displayed; beyond, those with the best network of each dataset."""


def pair_columns(measure: Measure) -> Sequence[Column[Pair]]:
    """Return what is known of a pair, beside its dataset and its networks."""

    def end(index: int) -> Callable[[Pair], float | None]:
        return lambda pair: pair.superiority and pair.superiority[index]

    shown = f"difference, {measure.point_unit} [interval]"
    return (
        Column("measure", value=lambda p: measure.name),
        *map(Column[Pair], ("images", "units", "grouped")),
        Column("difference", shown, text=lambda p: difference(p, measure), number=True),
        *map(Column[Pair], ("low", "high")),
        Column("confidence", value=lambda p: p.confidence if p.low is not None else None),
        *map(Column[Pair], ("p_interval", "p_ranks")),
        Column("p", "p", show=p_value, number=True, order="ascending"),
        Column("p_holm", "p, Holm", lambda p: p.corrected, p_value, number=True, order="ascending"),
        Column("p_equivalent"),
        Column("rank_biserial", value=lambda p: p.direction if measure.convention == "per_image" else None),
        Column("verdict", "verdict", lambda p: p.state, text=verdict),
        Column("reason"),
        Column("superiority", "a new training is better", end(0), text=lambda p: chance(p.superiority), number=True),
        Column("superiority_low", value=end(1)),
        Column("superiority_high", value=end(2)),
    )


def pairs_table(comparison: Comparison) -> Table[Pair]:
    """Every pair of networks on every dataset: the difference in points with its interval, p, the verdict."""
    measure = comparison.measure
    columns: Sequence[Column[Pair]] = (
        Column("dataset", "dataset", lambda p: p.column.label),
        Column("network", "network", lambda p: p.first.label),
        Column("against", "against", lambda p: p.second.label),
        *pair_columns(measure),
    )
    displayed: list[Pair] = []
    for column in comparison.columns:
        here = [pair for pair in comparison.pairs if pair.column == column]
        displayed += here if len(here) <= MOST_PAIRS else with_best(comparison, here)
    notes = pair_notes(comparison.pairs, measure)
    notes += [SUPERIORITY] if any(pair.superiority for pair in displayed) else []
    if len(displayed) < len(comparison.pairs):
        notes.append("Of more than six networks, the pairs with the best one; all pairs are in pairs.csv.")
    title = f"Paired tests: {measure.title}"
    return Table("pairs", title, columns, comparison.pairs, tuple(notes), displayed=displayed)


def with_best(comparison: Comparison, pairs: Sequence[Pair]) -> list[Pair]:
    """Return the pairs of a dataset that its best network is in, seen from that."""
    column = pairs[0].column
    best = best_row(comparison.column_cells(column), comparison.measure)
    against = pairs_with(pairs, best) if best else {}
    return [against[row] for row in comparison.rows if row in against]


def pair_notes(pairs: Iterable[Pair], measure: Measure) -> list[str]:
    """Explain p and verdict of pairs, as far as there are any."""
    pairs = list(pairs)
    judged = [pair for pair in pairs if pair.state != "not judged"]
    notes = []
    if judged:
        units = dict.fromkeys("groups of images" if pair.grouped else "images" for pair in judged)
        over = " or ".join(units)
        if measure.convention == "per_image":
            tests = f"the larger p of Wilcoxon's signed-rank test over {over} and of the t interval over {over}"
        else:
            tests = f"of the t interval over {over} (jackknife, since no single image has this score)"
        levels = sorted({pair.confidence for pair in judged if pair.low is not None})
        between = " to ".join(dict.fromkeys(map(level, levels[:1] + levels[-1:])))
        notes.append(
            f"p: {tests} and trainings; Holm's correction for all pairs of a dataset. The interval is the one that the "
            f"verdict was made of ({between})."
        )
        notes.append(
            f"Better or worse: corrected p below {ALPHA}. Where all networks of a dataset are equal, at most 5 % of "
            "experiments hold such a verdict."
        )
    if any(pair.state == "equivalent" for pair in judged):
        notes.append(f"Equivalent: shown to differ by less than {margin(measure)} (two one-sided tests).")
    if any(pair.reason == "one seed" for pair in pairs):
        notes.append(ONE_SEED)
    return notes


SUPERIORITY = (
    "A new training is better: how often a new training of the network would be better on this dataset than one of the "
    "other, with its 95 % interval; assumes that the scores of trainings are normally distributed."
)


class Win(NamedTuple):
    """On how many datasets a network is better than another one (None: all of them), undecided, worse."""

    row: Line
    other: Line | None
    better: int
    undecided: int
    worse: int


def wins_table(comparison: Comparison) -> Table[Win]:
    """On how many datasets a network is better than another one, not decided, worse."""
    by_row: dict[Line, list[Win]] = {row: [] for row in comparison.rows}
    for (row, other), counts in comparison.wins.items():
        by_row[row].append(Win(row, other, *counts))
    rows = [row for row, wins in by_row.items() if wins and any(map(any, comparison.wins.values()))]
    records = []
    for row in rows:
        wins = by_row[row]
        total = sum(win.better for win in wins), sum(win.undecided for win in wins), sum(win.worse for win in wins)
        records += [*wins, Win(row, None, *total)]
    headings: dict[Line | None, str] = {row: f"({number})" for number, row in enumerate(rows, start=1)}
    columns: Sequence[Column[Win]] = (
        Column("", "network", lambda w: f"{headings[w.row]} {w.row.label}"),
        Column("network", value=lambda w: w.row.label),
        Column("against", value=lambda w: w.other.label if w.other else "all"),
        Column("better", "wins", text=lambda w: f"{w.better}/{w.undecided}/{w.worse}", repeated=True),
        Column("undecided"),
        Column("worse"),
    )
    blocks: Blocks[Win] = Blocks(lambda w: w.row, lambda w: w.other, {**headings, None: "all"})
    of = len(comparison.datasets)
    notes = (f"Datasets, of {of}, on which the network is better / no difference is shown / the network is worse.",)
    return Table("wins", f"Wins, ties and losses: {comparison.measure.title}", columns, records, notes, blocks)


def ranking_table(ranking: Ranking[Line], measure: Measure) -> Table[int]:
    """The networks by average rank, with the groups within which no difference is shown."""
    groups = ranking.groups()

    def letters(row: int) -> str:
        return "".join(chr(ord("a") + g) for g, (first, last) in enumerate(groups) if first <= row <= last)

    columns: Sequence[Column[int]] = (
        Column("network", "network", lambda row: ranking.rows[row].label),
        Column("measure", value=lambda row: measure.name),
        Column("average_rank", "average rank", ranking.ranks.__getitem__, fixed(2), number=True, order="ascending"),
        Column("group", "no difference shown", lambda row: letters(row) or None),
        Column("datasets", value=lambda row: ranking.datasets),
        Column("friedman_p", value=lambda row: ranking.p),
        Column("critical_difference", value=lambda row: ranking.critical),
    )
    if ranking.p is None or ranking.critical is None:
        notes = [
            f"{count(ranking.datasets, 'dataset')} and {count(len(ranking.rows), 'network')}: too few to test ranks "
            f"(from {FEWEST_DATASETS} datasets and 3 networks on)."
        ]
    else:
        notes = [
            f"Friedman's test over {count(ranking.datasets, 'dataset')}: p {p_value(ranking.p)}. Critical difference "
            f"of Nemenyi at {ALPHA}: {number(ranking.critical, 2)} ranks; networks with a common letter differ by less."
        ]
        if ranking.p >= ALPHA:
            notes.append("The test does not find that the networks rank differently at all.")
    if ranking.left_out:
        notes.append(f"Not ranked, without a score on every dataset: {'; '.join(r.label for r in ranking.left_out)}.")
    title = f"Average rank over datasets: {measure.title}"
    return Table("ranks", title, columns, range(len(ranking.rows)), tuple(notes))


@dataclass(frozen=True)
class AblationRow:
    """A value of a factor on a dataset; `pair` is its comparison with the default, None of the default itself."""

    ablation: Ablation
    block: Block
    row: Line
    column: Line
    mean: float | None
    pair: Pair | None

    @property
    def value(self) -> str:
        return self.block.values[self.row]

    @property
    def default(self) -> bool:
        return self.row == self.block.default


def ablation_tables(ablations: Sequence[Ablation], comparison: Comparison) -> list[Table[AblationRow]]:
    """A table for each factor: the score of each value, and its difference from the default. CSV: one for all."""
    measure = comparison.measure
    records = [
        AblationRow(ablation, block, row, column, score.mean if score else None, block.pairs.get((row, column)))
        for ablation in ablations
        for block in ablation.blocks
        for row in block.values
        for column in comparison.datasets
        for cell in [comparison.cells.get((row, column))]
        for score in [cell.scores.get(measure.name) if cell else None]
    ]

    def of_pair(column: Column[Pair]) -> Column[AblationRow]:
        def text(record: AblationRow) -> str | Entry:
            return ("" if record.default else "-") if record.pair is None else column.entry(record.pair)

        shown = column.title if column.key in ("difference", "p_holm", "verdict") else ""
        made = Column[AblationRow](column.key, shown, lambda v: v.pair and column.value_of(v.pair), text=text)
        return replace(made, number=column.number, repeated=bool(shown))

    columns: Sequence[Column[AblationRow]] = (
        Column("factor", value=lambda v: v.ablation.factor),
        Column("block", "network", lambda v: v.block.label),
        Column("value", "value", text=lambda v: f"{v.value} (default)" if v.default else v.value),
        Column("default", value=lambda v: v.block.values[v.block.default]),
        Column("dataset", value=lambda v: v.column.label),
        Column("network", value=lambda v: v.row.label),
        Column("mean", measure.title, show=fixed(measure.digits), number=True, repeated=True),
        *map(of_pair, pair_columns(measure)),
    )
    tables = []
    for ablation in ablations:
        here = [record for record in records if record.ablation is ablation]
        pairs = [record.pair for record in here if record.pair]
        notes = ["Difference: from the default."]
        notes += pair_notes(pairs, measure)
        guessed = [block.label for block in ablation.blocks if not block.known]
        if guessed:
            notes.append(f"The default is not among the values, so the first is taken for it: {'; '.join(guessed)}.")
        headings = {column: column.label for column in comparison.datasets}
        blocks: Blocks[AblationRow] = Blocks(lambda v: (v.block.label, v.row), lambda v: v.column, headings)
        title = f"Ablation: {ablation.title} ({measure.title})"
        name = f"ablation-{ablation.title}"
        tables.append(Table(name, title, columns, records, tuple(notes), blocks, here, csv="ablations"))
    return tables
