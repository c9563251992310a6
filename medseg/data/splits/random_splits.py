"""Splits that are drawn: 80/10/10 or five folds, stratified where images have a type.

Wherever images are drawn, their order is that of SHA-256 over "<key>:<id>". Unlike the streams of a random generator,
which NumPy may change between its versions, that is fixed for good, and one more image moves no other.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import chain

from medseg.config.checks.data import FOLDS
from medseg.data.splits import SPLITS
from medseg.data.splits.split_files import check_fold, unknown_split
from medseg.errors import DataError, as_bytes


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
) -> dict[str, str]:
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
) -> list[dict[str, str]]:
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


def random_split(
    dataset: str,
    ids: Collection[str],
    split: str | None,
    fold: int | None,
    *,
    key: str | None = None,
    types: Mapping[str, str] | None = None,
    together: Sequence[Collection[str]] = (),
    others: Sequence[str] = (),
) -> dict[str, str]:
    """Split images that have no split file: 80/10/10 with at least one image in each part, or one of five folds.

    Args:
        dataset: its short name.
        ids: the samples there are.
        split: `random` or None, which is the same.
        fold: fold k as the test split; goes before `split`.
        key: names the draw; the dataset's name without.
        types: id -> type; each type is then split in proportion.
        together: sets of ids that stay in one part.
        others: splits that the dataset has beside `random`, for the message about an unknown one.

    Raises `ConfigError` for an unknown split or fold and `DataError` for fewer than 3 images, or than 5 for a fold.
    """
    if fold is not None:
        return folds_by_count(ids, key or dataset, types, together)[check_fold(fold)]
    if split not in (None, "random"):
        raise unknown_split(dataset, split, [*others, "random"])
    if len(ids) < len(SPLITS):
        raise DataError(f"{len(ids)} images are too few to train, validate and test with; 3 or more are needed")
    tenth = max(1, round(len(ids) / 10))
    return split_by_count(ids, val=tenth, test=tenth, key=key or dataset, types=types, together=together)
