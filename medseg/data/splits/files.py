"""Which image is for training, for validation, for the test: read from files, or drawn.

A published dataset's splits are CSV files in `split_files/<dataset>/`: `<split>.csv` with the columns `id,split`, and
`folds.csv` with `id,fold0,...,fold4`, the split of every image in each fold; where images have a type, it stands in a
last column `type`. `medseg.data.splits.make` made them.
A user's own images and the drawn ones get theirs from `split_by_count` and `folds_by_count`.

Wherever images are drawn, their order is that of SHA-256 over "<key>:<id>". Unlike the streams of a random generator,
which NumPy may change between its versions, that is fixed for good, and one more image moves no other.
"""

from __future__ import annotations

import csv
import hashlib
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from difflib import get_close_matches
from functools import lru_cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from itertools import chain

from medseg.config.checks.data import FOLD, FOLDS
from medseg.config.checks.kinds import checked
from medseg.errors import ConfigError, DataError, as_bytes

SPLITS = ("train", "val", "test")
FOLD_COLUMNS = tuple(f"fold{k}" for k in range(FOLDS))

Assignment = dict[str, str]
"""Sample id -> train, val or test; ids that a split leaves out are missing."""


# Reading


def split_files(dataset: str) -> Traversable:
    """Return the folder of a dataset's split files inside the package."""
    return files("medseg.data") / "split_files" / dataset


def split_names(dataset: str) -> list[str]:
    """List the splits of a dataset that are files, without its folds."""
    stems = (path.name.removesuffix(".csv") for path in split_files(dataset).iterdir() if path.name.endswith(".csv"))
    return sorted(set(stems) - {"folds", "same_picture"})


@lru_cache
def read_table(dataset: str, table: str) -> dict[str, dict[str, str]]:
    """Read a CSV of a dataset's split files: id -> row."""
    text = (split_files(dataset) / f"{table}.csv").read_text(encoding="utf-8")
    return {row["id"]: row for row in csv.DictReader(text.splitlines())}


def file_split(dataset: str, ids: Iterable[str], split: str | None, fold: int | None) -> Assignment:
    """Read a split of a published dataset: every id that it has, so that a missing image can be noticed.

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
            f"{dataset}: {len(unknown)} images are not in its {name}, the first is '{unknown[0]}'; are they part "
            "of the published dataset? (your own images: data=folder)"
        )
    return {id_: row[column] for id_, row in table.items()}


def check_fold(fold: int) -> int:
    """Return the fold, or raise `ConfigError` where there is no such fold."""
    return checked("data.fold", fold, FOLD)


def unknown_split(dataset: str, split: str | None, known: Sequence[str]) -> ConfigError:
    """Make the error for a split that a dataset does not have; it names the close matches and all there are."""
    close = get_close_matches(str(split), known, n=3, cutoff=0.5)
    hint = f" Did you mean {' or '.join(close)}?" if close else ""
    choice = f"it has {', '.join(known)}" if known else "it has none by name"
    return ConfigError(f"data.split={split}: no such split of {dataset}.{hint} ({choice}; or data.fold=0..{FOLDS - 1})")


# Drawing


def draw(
    ids: Iterable[str],
    count: int,
    key: str,
    types: Mapping[str, str] | None = None,
    together: Iterable[Collection[str]] = (),
) -> set[str]:
    """Choose `count` of the ids, the same ones for the same key on every machine and in every version.

    Args:
        ids: what to choose from.
        count: how many.
        key: names the draw; another key draws others.
        types: id -> type; each type is then drawn from in proportion to its share.
        together: sets of ids of which all or none are chosen.
    """
    remaining = set(ids)
    units = [sorted(remaining.intersection(group)) for group in together]
    grouped = set(chain.from_iterable(units))
    units = [unit for unit in units if unit] + [[id_] for id_ in remaining - grouped]
    by_type = defaultdict(list)
    for unit in units:
        by_type[types[unit[0]] if types else ""].append(unit)

    chosen: set[str] = set()
    for type_, quota in _in_proportion({t: sum(map(len, u)) for t, u in by_type.items()}, count).items():
        taken = 0
        for unit in sorted(by_type[type_], key=lambda unit: hashlib.sha256(as_bytes(f"{key}:{unit[0]}")).digest()):
            if taken + len(unit) <= quota:
                chosen.update(unit)
                taken += len(unit)
    return chosen


def _in_proportion(sizes: Mapping[str, int], count: int) -> dict[str, int]:
    """Share `count` out in proportion to the sizes, exactly, by the largest remainders."""
    total = sum(sizes.values())
    shares = {name: count * size // total for name, size in sorted(sizes.items())}
    by_remainder = sorted(shares, key=lambda name: (-(count * sizes[name] % total), name))
    for name in by_remainder[: count - sum(shares.values())]:
        shares[name] += 1
    return shares


def split_by_count(
    ids: Collection[str],
    *,
    val: int,
    test: int | Collection[str],
    key: str,
    types: Mapping[str, str] | None = None,
    together: Sequence[Collection[str]] = (),
) -> Assignment:
    """Draw a test and then a validation split of the given sizes; the rest is for training.

    `test` may also be the test images themselves, where they are official. The other arguments are those of `draw`.
    """
    chosen = draw(ids, test, f"{key}/test", types, together) if isinstance(test, int) else set(test)
    rest = set(ids) - chosen
    validation = draw(rest, val, f"{key}/val", types, together)
    return {id_: "test" if id_ in chosen else "val" if id_ in validation else "train" for id_ in sorted(ids)}


def folds_by_count(
    ids: Collection[str],
    key: str,
    types: Mapping[str, str] | None = None,
    together: Sequence[Collection[str]] = (),
) -> list[Assignment]:
    """Draw five disjoint test splits of equal size, and for each a validation split of a tenth of its rest."""
    if len(ids) < FOLDS:
        raise DataError(f"{len(ids)} images are too few for {FOLDS} folds; {FOLDS} or more are needed")
    rest = set(ids)
    folds = []
    for k in range(FOLDS):
        test = draw(rest, round(len(rest) / (FOLDS - k)), f"{key}/fold{k}", types, together) if k < FOLDS - 1 else rest
        rest = rest - test
        val = max(1, round((len(ids) - len(test)) / 10))
        folds.append(split_by_count(ids, val=val, test=test, key=f"{key}/fold{k}", types=types, together=together))
    return folds


def computed_split(ids: Collection[str], fold: int | None, key: str) -> Assignment:
    """Split images that have no split file: 80/10/10 with at least one image in each part, or one of five folds.

    Raises `ConfigError` for an unknown fold and `DataError` for fewer than 3 images, or than 5 for a fold.
    """
    if fold is not None:
        return folds_by_count(ids, key)[check_fold(fold)]
    if len(ids) < len(SPLITS):
        raise DataError(f"{len(ids)} images are too few to train, validate and test with; 3 or more are needed")
    tenth = max(1, round(len(ids) / 10))
    return split_by_count(ids, val=tenth, test=tenth, key=key)


def block_split(ids: Sequence[str], test: slice, val: slice) -> Assignment:
    """Split a sequence of slices, of which neighbours are near-copies, into runs of neighbours."""
    assignment = dict.fromkeys(ids, "train")
    return assignment | dict.fromkeys(ids[val], "val") | dict.fromkeys(ids[test], "test")
