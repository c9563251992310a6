"""Ablations: rows that differ in one factor alone, each against the row with the factor's default."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace

import yaml

from medseg.errors import UserError
from medseg.reporting.comparison import Comparison
from medseg.reporting.layout import Facts, Line, short
from medseg.reporting.pairs import Pair, find_pair
from medseg.reporting.records import Run
from medseg.reporting.statistics import holm

NOT_THERE = object()


@dataclass(frozen=True)
class Block:
    """The rows of one network that differ in the factor alone.

    Args:
        label: of what they share.
        default: the row that the others are compared with.
        known: it has the default of the configuration; otherwise it is the first.
        values: row -> value of the factor, in the order of the table, the default first.
        pairs: (row, dataset) -> row - default; its correction is for the rows of this block on that dataset.
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
    """Find the factors that were varied while all else stayed the same."""
    keys = dict.fromkeys(key for row in comparison.rows for key, _ in row.facts)
    found = []
    for factor in sorted(keys):
        groups: dict[tuple[str, Facts], list[Line]] = {}
        for row in comparison.rows:
            rest = tuple(fact for fact in row.facts if fact[0] != factor)
            groups.setdefault((row.name, rest), []).append(row)
        several = {shared: rows for shared, rows in groups.items() if len(rows) > 1}
        if several:
            labels = label_blocks(list(several))
            blocks = [make_block(comparison, factor, rows, labels[shared]) for shared, rows in several.items()]
            found.append(Ablation(factor, tuple(blocks)))
    return found


def label_blocks(shared: Sequence[tuple[str, Facts]]) -> dict[tuple[str, Facts], str]:
    """Name blocks by network, and by what else differs between them."""
    from medseg.reporting.layout import label_lines

    labels = {key: line.label for key, line in label_lines(shared).items()}
    return {key: label if label.startswith(key[0]) else f"{key[0]}, {label}" for key, label in labels.items()}


def make_block(comparison: Comparison, factor: str, rows: Sequence[Line], label: str) -> Block:
    """Compare the rows of a block with the default among them."""
    given = {row: dict(row.facts).get(factor) for row in rows}
    default, known, value = choose_default(comparison, factor, given)
    values = {row: text if text is not None else value or "default" for row, text in given.items()}
    order = [default, *(row for row in rows if row != default)]
    pairs: dict[tuple[Line, Line], Pair] = {}
    for column in comparison.columns:
        tested = {row: find_pair(comparison.pairs, row, default, column) for row in order[1:]}
        found = {row: pair for row, pair in tested.items() if pair is not None}
        corrected = holm([1.0 if pair.p is None else pair.p for pair in found.values()])
        for (row, pair), p in zip(found.items(), corrected, strict=True):
            pairs[row, column] = pair if pair.p is None else replace(pair, corrected=float(p))
    return Block(label, default, known, {row: values[row] for row in order}, pairs)


def choose_default(
    comparison: Comparison, factor: str, given: Mapping[Line, str | None]
) -> tuple[Line, bool, str | None]:
    """Return the default row, whether it is known to be one, and the default value where that is known.

    It is the row that was not given the factor; or that was given what the configuration has; or the first.
    """
    rows = list(given)
    runs = [run for (row, _), cell in comparison.cells.items() if row == rows[0] for run in cell.runs]
    value = configured(factor, runs[0])
    for row, text in given.items():
        if text is None:
            return row, True, value
    if value is not None:
        for row, text in given.items():
            if text is not None and as_value(text) == as_value(value):
                return row, True, value
    return rows[0], False, None


def configured(factor: str, run: Run) -> str | None:
    """Return the value of a key, or the option of a group, that the configuration has where nothing is given."""
    from hydra import compose, initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    from medseg import config

    defaults, _ = config.primary("train")
    if factor in defaults:
        return defaults[factor]
    chosen = [
        f"{group}={option}"
        for group, option in run.choices.items()
        if group in defaults and group != factor and option in config.options(group)
    ]
    working = GlobalHydra.instance().is_initialized()
    try:
        with nullcontext() if working else initialize_config_dir(str(config.config_dir()), version_base="1.3"):
            value = OmegaConf.select(compose("train", chosen), factor, default=NOT_THERE)
    except (HydraException, OmegaConfBaseException, UserError):
        return None  # a key of the user's own class
    if value is NOT_THERE:
        return None
    if value is None:
        return "null"
    return str(OmegaConf.to_container(value) if OmegaConf.is_config(value) else value)


def as_value(text: str) -> object:
    """Read a value as the command line does, so that `[1,3]` is `[1, 3]`."""
    try:
        return yaml.safe_load(text.strip("'\""))
    except yaml.YAMLError:
        return text
