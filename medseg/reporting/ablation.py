"""Ablations: rows that differ in one factor alone, each against the row with the factor's default."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from medseg.reporting.comparison import Comparison
from medseg.reporting.layout import Facts, Line, as_text, label_lines, short
from medseg.reporting.pairs import Pair, find_pair
from medseg.runs.run import Run


@dataclass(frozen=True)
class Block:
    """The rows of one network that differ in the factor alone.

    Args:
        label: of what they share.
        default: the row that the others are compared with.
        known: whether it has the default; otherwise it is the first row.
        values: row -> value of the factor, in the order of the table, the default first.
        pairs: (row, dataset) -> row - default, as the comparison judges it.
    """

    label: str
    default: Line
    known: bool
    values: Mapping[Line, str]
    pairs: Mapping[tuple[Line, Line], Pair]


@dataclass(frozen=True)
class Ablation:
    """One factor, over the networks that it was varied for."""

    factor: str
    blocks: tuple[Block, ...]

    @property
    def title(self) -> str:
        return short(self.factor)


def find_ablations(comparison: Comparison) -> list[Ablation]:
    """Return the factors that were varied while all else stayed the same."""
    factors = sorted({key for row in comparison.rows for key, _ in row.facts} - {"experiment", "folder"})
    ablations = []
    for factor in factors:
        groups: dict[tuple[str, Facts], list[Line]] = {}
        for row in comparison.rows:
            rest = tuple(fact for fact in row.facts if fact[0] != factor)
            groups.setdefault((row.name, rest), []).append(row)
        several = {shared: rows for shared, rows in groups.items() if len(rows) > 1}
        if several:
            labels = dict(zip(several, label_lines(list(several)), strict=True))
            blocks = [
                make_block(comparison, factor, rows, block_label(shared[0], labels[shared]))
                for shared, rows in several.items()
            ]
            ablations.append(Ablation(factor, tuple(blocks)))
    return ablations


def block_label(network: str, label: str) -> str:
    """Name a block by its network, and by what else differs between blocks."""
    return label if label.startswith(network) else f"{network}, {label}"


def make_block(comparison: Comparison, factor: str, rows: Sequence[Line], label: str) -> Block:
    """Compare the rows of a block with the default among them."""
    values = {row: value_of(run_of(comparison, row), row, factor) for row in rows}
    default = next((row for row in rows if has_default(run_of(comparison, row), row, factor)), None)
    first = default or rows[0]
    order = [first, *(row for row in rows if row != first)]
    pairs = {
        (row, column): pair
        for column in comparison.columns
        for row in order[1:]
        if (pair := find_pair(comparison.pairs, row, first, column)) is not None
    }
    return Block(label, first, default is not None, {row: values[row] for row in order}, pairs)


def run_of(comparison: Comparison, row: Line) -> Run:
    """Return a run of a row, one that has begun where there is one."""
    runs = [run for (line, _), cell in comparison.cells.items() if line == row for run in cell.runs]
    return next((run for run in runs if run.settings), runs[0])


def value_of(run: Run, row: Line, factor: str) -> str:
    """Return the value of a factor in the runs of a row."""
    if factor in run.choices:
        return as_text(run.choices[factor])
    return as_text(run.settings[factor]) if factor in run.settings else dict(row.facts).get(factor, "default")


def has_default(run: Run, row: Line, factor: str) -> bool:
    """Whether the runs of a row have a factor's default, as their folders have it, or as they were not given it."""
    if factor in run.choices and run.default_choices:
        return run.choices[factor] == run.default_choices.get(factor)
    if run.defaults is not None:
        return factor not in run.defaults
    return not any(override.lstrip("+").partition("=")[0] == factor for override in run.overrides)
