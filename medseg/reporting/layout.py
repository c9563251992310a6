"""Which runs share a row and a column of a table, and what these are called.

Both follow from the settings of the runs, their resolved configurations: what was typed for them does not matter. A
column is a dataset, as it was split and sized. A row is everything else but the seed and the fold: the network and how
it was trained. Settings that differ from dataset to dataset alone, such as a number of epochs, belong to the columns.

A key that a configuration lacks has its default: runs of an older version, which did not have the option yet, stay in
the row of those that have it unchanged.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from medseg.errors import UserError
from medseg.reporting.evaluation_columns import ARROW, Evaluated, evaluation_columns, target_of
from medseg.reporting.labels import as_text, make_lines
from medseg.reporting.line import Facts, Line
from medseg.reporting.names import Names
from medseg.reporting.waiting import TUNED, begun_lines, given, with_tuned
from medseg.runs.equivalence import fill_in_defaults, option_of
from medseg.runs.naming import is_ignored
from medseg.runs.packed.archive import shown
from medseg.runs.reading import is_renamed
from medseg.runs.run import Run

OF_TRAINING = ("_target_", "batch_size", "border_weights", "border_w0", "border_sigma", "fraction")
"""Keys of `data` that belong to the training; the others make it other data."""

DEVICE = "trainer.accelerator"
"""Key that chooses a machine: runs of a GPU and of a CPU share a row."""

WEIGHTS = "initial_weights"
"""Key of the file, or the run, that a training begins with."""

DERIVED = ("model.in_channels", "model.num_classes", "data.num_classes", "data.dataset.num_classes", "data.fold")
"""Keys that follow from the data, and the fold, which is part of a run's test as the seed is of its training."""

NO_CHOICE = ("model", "data", "experiments", "protocol", "budget")
"""Groups that are named otherwise, or that set keys of other groups."""

ALL_FOLDS = ("test", "all folds")
"""Fact of a column of cross-validation."""

Scope = tuple[str, str]
"""A group, and the option in it."""


@dataclass(frozen=True)
class Layout:
    """Rows, columns, and the runs of each cell; a cell without a run is absent."""

    rows: tuple[Line, ...]
    columns: tuple[Line, ...]
    cells: Mapping[tuple[Line, Line], tuple[Run, ...]]


def lay_out(runs: Sequence[Run], names: Names | None = None, evaluated: Evaluated = ()) -> Layout:
    """Sort runs into rows and columns, both in the order of the sweep, without one by name.

    Args:
        runs: in whatever state.
        names: what rows and columns are printed as, and their order.
        evaluated: some of them with their evaluations, whose columns come behind those of the internal tests.
    """
    runs = sorted(runs, key=lambda run: (run.experiment, run.position, run.name))
    settings = Settings(runs)
    rows = {id(run): (run.model, settings.of_row(run)) for run in runs}
    columns = {id(run): (run.data, settings.of_column(run)) for run in runs}
    apart = distinguish(runs, rows, columns)
    row_lines = make_lines(runs, {key: (*rows[key], apart[key]) for key in rows}, settings.row_facts, apart)
    column_lines = make_lines(runs, columns, settings.column_facts, {})
    names = names or Names()
    targets = {name for run, view in evaluated for name in (target_of(view), f"{run.data}{ARROW}{target_of(view)}")}
    names.warn_of_unused(row_lines.values(), column_lines.values(), targets)
    order_rows, row_lines = names.applied("networks", row_lines)
    order_columns, column_lines = names.applied("datasets", column_lines)
    cells: dict[tuple[Line, Line], list[Run]] = defaultdict(list)
    for run in sorted(runs, key=lambda run: (run.seed, run.fold or 0)):
        cells[row_lines[id(run)], column_lines[id(run)]].append(run)
    further: dict[Line, list[Line]] = defaultdict(list)
    in_order = sorted(evaluated, key=lambda pair: (pair[0].seed, pair[0].fold or 0))
    for column, run, view in evaluation_columns(in_order, column_lines, names):
        further[column_lines[id(run)]] += [] if column in further[column_lines[id(run)]] else [column]
        cells[row_lines[id(run)], column].append(view)
    order_columns = tuple(line for column in order_columns for line in (column, *further[column]))
    return Layout(order_rows, order_columns, {cell: tuple(several) for cell, several in cells.items()})


class Settings:
    """The settings of some runs as texts, and what follows from their differences.

    Args:
        runs: of a report.
    """

    def __init__(self, runs: Sequence[Run]) -> None:
        begun = [run for run in runs if run.settings]
        # A job that has not begun has no configuration; runs of its setting do, else runs of its row and column may.
        like = {run.setting: run for run in reversed(begun)}
        self.like = {id(run): run if run.settings else like.get(run.setting, run) for run in runs}
        # Runs with the same settings and options are looked at once: the settings are one object for all seeds.
        self.keys = {id(run): key_of(self.like[id(run)]) for run in runs}
        # The last of them, a finished one if any, counts.
        self.begun = {self.keys[id(run)]: run for run in sorted(begun, key=lambda run: run.finished)}
        alike = same_data(self.begun.values()) | same_weights(self.begun.values())
        self.texts = {self.keys[id(run)]: given(run) for run in runs}
        for (key, run), settings in zip(self.begun.items(), fill_in_defaults(self.begun.values()), strict=True):
            texts = {name: as_text(value) for name, value in sorted(settings.items())}
            texts = {name: alike.get((run.data, name, text), text) for name, text in texts.items()}
            self.texts[key] = with_tuned(texts, run.tuned_keys)
        self.by_column = self._by_column()
        self.rows = {
            key: tuple((k, text) for k, text in texts.items() if belongs_to_row(k) and k not in self.by_column)
            for key, texts in self.texts.items()
        }
        self.columns = {
            key: tuple((k, text) for k, text in texts.items() if belongs_to_column(k) or k in self.by_column)
            for key, texts in self.texts.items()
        }
        self.varied_groups = self._varied_groups({self.keys[id(run)]: run for run in runs})
        self.like_in_row = self._with_waiting(runs, self.rows, of_rows=True)
        self.like_in_column = self._with_waiting(runs, self.columns, of_rows=False)

    def of_row(self, run: Run) -> Facts:
        """Return what tells a row from others with the same network."""
        return self.rows[self.keys[id(self.like_in_row[id(run)])]]

    def of_column(self, run: Run) -> Facts:
        """Return what tells a column from others with the same dataset."""
        # Scored on all images, fold by fold, which is another test than that of one split.
        like = self.like_in_column[id(run)]
        return (*self.columns[self.keys[id(like)]], *(() if run.fold is None else (ALL_FOLDS,)))

    def row_facts(self, run: Run) -> Facts:
        """Return the options and the values of a run that are not the default, or not those of runs like it."""
        options = {group: as_text(option) for group, option in run.choices.items() if group in self.varied_groups}
        telling = self._telling(self.like_in_row[id(run)], self.of_row(run))
        return tuple(sorted({**options, **dict(telling)}.items()))

    def column_facts(self, run: Run) -> Facts:
        """Return the same of a column."""
        return tuple(sorted(self._telling(self.like_in_column[id(run)], self.of_column(run))))

    def _with_waiting(self, runs: Sequence[Run], lines: Mapping[Any, Facts], *, of_rows: bool) -> dict[int, Run]:
        """Return for each run one with the facts of its line, also where none of its setting has begun."""
        waiting = {id(run): run for run in runs if not self.like[id(run)].settings}
        of_key = begun_lines({self.keys[of]: run for of, run in waiting.items()}, self.begun, lines, of_rows=of_rows)
        return self.like | {of: of_key[self.keys[of]] for of in waiting if self.keys[of] in of_key}

    def _telling(self, like: Run, facts: Facts) -> list[tuple[str, str]]:
        return [
            fact
            for fact in facts
            if fact == ALL_FOLDS
            or fact[1] == TUNED
            or (fact[0] in like.changed and not fact[0].startswith("tuning."))
            or (scope(like, fact[0]), fact[0]) in self.varied
        ]

    def _by_column(self) -> frozenset[str]:
        """The keys, not of the network, whose value follows from the dataset and differs between datasets."""
        values: dict[tuple[Scope, str], dict[Any, set[str]]] = defaultdict(lambda: defaultdict(set))
        for run_id, run in self.begun.items():
            texts = self.texts[run_id]
            column = (run.data, tuple((key, text) for key, text in texts.items() if belongs_to_column(key)))
            for key, text in texts.items():
                values[scope(run, key), key][column].add(text)
        # In which runs with the same options differ.
        self.varied = {key for key, columns in values.items() if len(set().union(*columns.values())) > 1}
        follows: dict[str, bool] = {}
        for scoped in self.varied:
            _, key = scoped
            if belongs_to_row(key) and not key.startswith("model."):
                one_each = all(len(texts) == 1 for texts in values[scoped].values())
                follows[key] = follows.get(key, True) and one_each
        return frozenset(key for key, one_each in follows.items() if one_each)

    def _varied_groups(self, runs: Mapping[Any, Run]) -> frozenset[str]:
        """The groups of which several options were chosen, or another than the usual one, that set other values."""
        inside: dict[str, dict[str, set[Facts]]] = defaultdict(lambda: defaultdict(set))
        for run_id, run in runs.items():
            for group, option in run.choices.items():
                if group not in (*NO_CHOICE, *run.tuned_keys) and not is_ignored(group):
                    facts = tuple(fact for fact in self.rows[run_id] if fact[0].startswith(f"{group}."))
                    inside[group][str(option)].add(facts)
                    _ = inside[group][str(run.default_choices.get(group, option))]
        return frozenset(
            group
            for group, options in inside.items()
            if any(facts != options[min(options)] for facts in options.values())
        )


def key_of(run: Run) -> tuple[Any, ...]:
    """Return what runs with the same settings and options share."""
    return id(run.settings) if run.settings else run.setting, run.model, *sorted(map(str, run.choices.items()))


def scope(run: Run, key: str) -> Scope:
    """Return the group that a key belongs to, and the option of a run in it."""
    group = key.partition(".")[0]
    return group, option_of(run, group)


def same_data(runs: Iterable[Run]) -> dict[tuple[str, str, str], str]:
    """Map values that mean the same data to the first of them: copies of a folder, a split that is the default.

    (dataset, key, value) -> value, by what the runs recorded: the identity of the images; the ids and the groups of the
    validation and test images, which a part of the training images leaves as they are.
    """
    first: dict[tuple[Any, ...], str] = {}
    alike = {}
    for run in runs:
        held_out = [row for row in run.images if row["split"] != "train"]
        identities = {
            "data.root": source_identity(run),
            "data.split": tuple(sorted((row["id"], row["split"]) for row in held_out)) or None,
            "data.groups": tuple(sorted((row["id"], row["group"]) for row in held_out)) or None,
        }
        for key, identity in identities.items():
            if identity is not None and key in run.settings:
                text = as_text(run.settings[key])
                alike[run.data, key, text] = first.setdefault((run.data, key, run.fold, identity), text)
    return alike


def same_weights(runs: Iterable[Run]) -> dict[tuple[str, str, str], str]:
    """Map relative paths of `initial_weights`, as older versions wrote them, to the absolute one that ends so.

    (dataset, key, value) -> value, as `same_data`. A path that none or several absolute ones end with stays as it is.
    """
    given = {(run.data, as_text(run.settings[WEIGHTS])) for run in runs if run.settings.get(WEIGHTS) is not None}
    absolute = {path for _, path in given if path.startswith("/")}
    alike = {}
    for data, path in given:
        end = "/" + re.sub(r"^(~/|(\.\./)+)", "", path)
        several = [other for other in absolute if other.endswith(end)]
        if path not in absolute and len(several) == 1:
            alike[data, WEIGHTS, path] = several[0]
    return alike


def source_identity(run: Run) -> str | None:
    """Return what stands for the files that a run read, from its test or, before that, its data; None if not known."""
    try:
        known = run.summary if run.finished else run.dataset
    except UserError:  # a damaged file of a run that has no scores
        return None
    return known.get("source_identity")


def belongs_to_row(key: str) -> bool:
    """Whether a setting makes it another network or training."""
    return key not in DERIVED and key != DEVICE and not belongs_to_column(key)


@lru_cache(maxsize=65536)
def belongs_to_column(key: str) -> bool:
    """Whether a setting makes it other data."""
    group, _, rest = key.partition(".")
    return group == "data" and rest.partition(".")[0] not in OF_TRAINING and key not in DERIVED


DISTINGUISHING: Mapping[str, Callable[[Run], str]] = {
    "experiment": lambda run: run.experiment,
    DEVICE: lambda run: as_text(run.settings.get(DEVICE)),
}


def distinguish(runs: Sequence[Run], rows: Mapping[int, Any], columns: Mapping[int, Any]) -> dict[int, Facts]:
    """Return what tells runs of equal settings and seeds apart: their experiment, their device, else their folder.

    Such runs are two trainings of the same. Each experiment, or each device, is then a row. Where neither tells them
    apart, such as where a run was trained again beside the earlier one, the one that still has its name stays in its
    row, and each further one is a row by itself.
    """
    alike: dict[Any, list[Run]] = defaultdict(list)
    for run in runs:
        alike[rows[id(run)], columns[id(run)], run.seed, run.fold].append(run)
    twice: dict[Any, list[list[Run]]] = defaultdict(list)
    for (row, *_), several in alike.items():
        if len(several) > 1:
            twice[row].append(several)
    apart: dict[int, Facts] = {id(run): () for run in runs}
    for row, groups in twice.items():
        for key, fact in DISTINGUISHING.items():
            if all(len(set(map(fact, several))) == len(several) for several in groups):
                apart |= {id(run): ((key, fact(run)),) for run in runs if rows[id(run)] == row}
                break
        else:
            again = [run for several in groups for run in sorted(several, key=is_renamed)[1:]]
            apart |= {id(run): (("folder", str(shown(run.folder))),) for run in again}
    return apart
