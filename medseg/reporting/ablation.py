"""Ablations: rows that differ in one factor alone, each against the row with the factor's default."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from medseg.reporting.comparison import Comparison
from medseg.reporting.labels import as_text, label_groups, short
from medseg.reporting.line import Facts, Line
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
    runs: dict[Line, Run] = {}  # one of each row, which has begun where there is one
    for (row, _), cell in comparison.cells.items():
        for run in cell.runs:
            if row not in runs or (run.settings and not runs[row].settings):
                runs[row] = run
    factors = sorted({key for row in comparison.rows for key, _ in row.facts} - {"experiment", "folder"})
    ablations = []
    for factor in factors:
        groups: dict[tuple[str, Facts], list[Line]] = {}
        for row in comparison.rows:
            rest = tuple(fact for fact in row.facts if fact[0] != factor)
            groups.setdefault((row.name, rest), []).append(row)
        several = {shared: rows for shared, rows in groups.items() if len(rows) > 1}
        blocks = [
            make_block(comparison, factor, {row: runs[row] for row in rows}, label)
            for label, rows in zip(label_groups(several), several.values(), strict=True)
        ]
        ablations += [Ablation(factor, tuple(blocks))] if blocks else []
    return ablations


def make_block(comparison: Comparison, factor: str, rows: Mapping[Line, Run], label: str) -> Block:
    """Compare the rows of a block, each with a run of it, with the default among them.

    `label`: the network, and what else differs between blocks.
    """
    default = next((row for row, run in rows.items() if has_default(run, factor)), None)
    first = default or next(iter(rows))
    values = {first: "", **{row: value_of(run, row, factor) for row, run in rows.items()}}
    pairs = {
        (row, column): pair
        for column in comparison.datasets
        for row in values
        if (pair := find_pair(comparison.pairs, row, first, column)) is not None
    }
    return Block(label, first, default is not None, values, pairs)


def value_of(run: Run, row: Line, factor: str) -> str:
    """Return the value of a factor in the runs of a row."""
    known = {**dict(row.facts), **run.settings, **run.choices}
    return as_text(known.get(factor, "default"))


def has_default(run: Run, factor: str) -> bool:
    """Whether a run has a factor's default, as its folder has it, or as it was not given it."""
    if factor in run.choices and run.default_choices:
        return run.choices[factor] == run.default_choices.get(factor)
    if run.defaults is not None:
        return factor not in run.defaults
    return not any(override.lstrip("+").partition("=")[0] == factor for override in run.overrides)
