"""The split files of the published datasets.

They are CSV files in `split_files/<dataset>/`: `<split>.csv` with the columns `id,split`, and `folds.csv` with
`id,fold0,...,fold4`, the split of every image in each fold; where images have a type or a group, further columns `type`
and `group` have it. `experiments/splits/make_split_files.py` made them.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from functools import lru_cache
from importlib.resources import files
from importlib.resources.abc import Traversable

from medseg.config.checks.data import FOLD, FOLDS
from medseg.config.checks.kinds import checked
from medseg.errors import ConfigError, DataError, close_matches, count, is_or_are

FOLD_COLUMNS = tuple(f"fold{k}" for k in range(FOLDS))


def split_files(dataset: str) -> Traversable:
    """Return the folder of a dataset's split files inside the package."""
    return files("medseg.data") / "split_files" / dataset


def split_names(dataset: str) -> list[str]:
    """List the splits of a dataset that are files, without its folds; none for a dataset without split files."""
    folder = split_files(dataset)
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    return sorted({name.removesuffix(".csv") for name in names if name.endswith(".csv")} - {"folds", "same_picture"})


@lru_cache
def read_table(dataset: str, table: str) -> dict[str, dict[str, str]]:
    """Read a CSV of a dataset's split files: id -> row."""
    text = (split_files(dataset) / f"{table}.csv").read_text(encoding="utf-8")
    return {row["id"]: row for row in csv.DictReader(text.splitlines())}


def file_split(dataset: str, ids: Iterable[str], split: str | None, fold: int | None) -> dict[str, str]:
    """Read a split of a published dataset: every id that it has, so that a missing image can be noticed.

    Images whose split is empty in the file are left out: they are of no part of it.

    Args:
        dataset: its short name.
        ids: the samples there are.
        split: name of the split.
        fold: fold k as the test split; goes before `split`.

    Raises `ConfigError` for an unknown split or fold, and `DataError` for an id that is not in the file.
    """
    if fold is not None:
        table, column = read_table(dataset, "folds"), FOLD_COLUMNS[check_fold(fold)]
    else:
        known = split_names(dataset)
        if split not in known:
            raise unknown_split(dataset, split, known)
        table, column = read_table(dataset, split), "split"
    name = f"fold {fold}" if fold is not None else f"split '{split}'"
    unknown = [id_ for id_ in ids if id_ not in table]
    if unknown:
        raise DataError(
            f"{dataset}: {count(len(unknown), 'image')} {is_or_are(len(unknown))} not in its {name}, the first is "
            f"'{unknown[0]}'; are they part of the published dataset? (your images: data=folder)"
        )
    return {id_: row[column] for id_, row in table.items() if row[column]}


def check_fold(fold: int) -> int:
    """Return the fold, or raise `ConfigError` where there is no such fold."""
    return checked("data.fold", fold, FOLD)


def unknown_split(dataset: str, split: str | None, known: Sequence[str]) -> ConfigError:
    """Make the error for a split that a dataset does not have; it names the close matches and all there are."""
    choice = f"it has {', '.join(known)}, and all for a test on every image; or data.fold=0..{FOLDS - 1}"
    return ConfigError(f"data.split={split}: no such split of {dataset}{close_matches(str(split), known)} ({choice})")
