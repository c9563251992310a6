"""Splits that are drawn: 80/10/10 or five folds, stratified where images have a type, no group of images cut.

Wherever images are drawn, their order is that of SHA-256 over "<key>:<id>". Unlike the streams of a random generator,
which NumPy may change between its versions, that is fixed for good, and one more image moves no other.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import chain

from medseg.config.checks.data import FOLDS
from medseg.data.splits import SPLITS
from medseg.data.splits.split_files import check_fold, unknown_split
from medseg.errors import DataError, as_bytes, count, is_or_are


def draw(
    ids: Iterable[str],
    count: int,
    key: str,
    types: Mapping[str, str] | None = None,
    together: Iterable[Collection[str]] = (),
    *,
    leave: int = 0,
) -> set[str]:
    """Choose `count` of the ids, the same ones for the same key on every machine and in every version.

    Args:
        ids: what to choose from.
        count: how many; with sets that stay together, a number as near to it as these allow, and one set at least.
        key: names the draw; another key draws others.
        types: id -> type; each type is then drawn from in proportion to its share.
        together: sets of ids of which all or none are chosen; one of several types counts as of its most frequent.
        leave: how many sets, or ids outside of them, are not chosen at least.
    """
    remaining = set(ids)
    units = [sorted(remaining.intersection(group)) for group in together]
    grouped = set(chain.from_iterable(units))
    units = [unit for unit in units if unit] + [[id_] for id_ in remaining - grouped]
    units.sort(key=lambda unit: _digest(key, unit[0]))
    by_type = defaultdict(list)
    for unit in units:
        by_type[_type_of(unit, types)].append(unit)

    chosen: list[list[str]] = []
    missing = 0  # what one type lacks, or has too many of, the next one makes up for
    for type_, quota in _in_proportion({t: sum(map(len, u)) for t, u in by_type.items()}, count).items():
        picked = _nearest(by_type[type_], quota + missing)
        missing += quota - sum(map(len, picked))
        chosen += picked
    if count and units and not chosen:
        chosen = [min(units, key=len)]
    while len(chosen) > max(0, len(units) - leave):
        too_many = sum(map(len, chosen)) - count
        chosen.remove(min(chosen, key=lambda unit: abs(too_many - len(unit))))
    return set(chain.from_iterable(chosen))


def _digest(key: str, id_: str) -> bytes:
    return hashlib.sha256(as_bytes(f"{key}:{id_}")).digest()


def _type_of(unit: Sequence[str], types: Mapping[str, str] | None) -> str:
    return Counter(types[id_] for id_ in unit).most_common(1)[0][0] if types else ""


def _nearest(units: Sequence[list[str]], count: int) -> list[list[str]]:
    """Take units in their order while they fit; where that misses the count, earliest ones that come nearest to it."""
    taken: list[list[str]] = []
    lacking = count
    for unit in units:
        if len(unit) <= lacking:
            taken.append(unit)
            lacking -= len(unit)
    if lacking <= 0 or len(taken) == len(units):
        return taken
    # Bit s of an entry: some of the units before it have s images together.
    sums, within = [1], (1 << 2 * count + 1) - 1
    for unit in units:
        sums.append((sums[-1] | sums[-1] << len(unit)) & within)
    off = next(off for off in range(count + 1) if sums[-1] >> count - off & 1 or sums[-1] >> count + off & 1)
    left = count - off if sums[-1] >> count - off & 1 else count + off
    taken = []
    for unit, before in zip(reversed(units), reversed(sums[:-1]), strict=True):
        if not before >> left & 1:
            taken.append(unit)
            left -= len(unit)
    return taken


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
    chosen = draw(ids, test, f"{key}/test", types, together, leave=2) if isinstance(test, int) else set(test)
    rest = set(ids) - chosen
    validation = draw(rest, val, f"{key}/val", types, together, leave=1)
    return {id_: "test" if id_ in chosen else "val" if id_ in validation else "train" for id_ in sorted(ids)}


def too_few(ids: Collection[str]) -> str:
    """Begin the message about images that are too few."""
    return f"{count(len(ids), 'image')} {is_or_are(len(ids))} too few"


def folds_by_count(
    ids: Collection[str],
    key: str,
    types: Mapping[str, str] | None = None,
    together: Sequence[Collection[str]] = (),
) -> list[dict[str, str]]:
    """Draw five disjoint test splits of equal size, and for each a validation split of a tenth of its rest."""
    if len(ids) < FOLDS:
        raise DataError(f"{too_few(ids)} for {FOLDS} folds; {FOLDS} or more are needed")
    rest = set(ids)
    folds = []
    for k in range(FOLDS):
        test = draw(rest, round(len(rest) / (FOLDS - k)), f"{key}/fold{k}", types, together) if k < FOLDS - 1 else rest
        rest = rest - test
        val = max(1, round((len(ids) - len(test)) / 10))
        folds.append(split_by_count(ids, val=val, test=test, key=f"{key}/fold{k}", types=types, together=together))
    return folds


def folds_of_groups(
    groups: Mapping[str, str], key: str, types: Mapping[str, str] | None = None
) -> list[dict[str, str]]:
    """Share whole groups out to five test splits, with a validation split of a tenth of the rest for each.

    The largest group comes first, and each goes where the fewest images of its types are. Groups: id -> group.
    """
    together = list(members(groups).values())
    units = sorted(together, key=lambda unit: (-len(unit), _digest(key, unit[0])))
    of_type = types or dict.fromkeys(groups, "")
    totals = Counter(of_type[id_] for id_ in groups)
    tests: list[list[str]] = [[] for _ in range(FOLDS)]
    held: list[Counter[str]] = [Counter() for _ in range(FOLDS)]
    for unit in units:
        here = Counter(of_type[id_] for id_ in unit)
        costs = [sum(count * held[k][type_] / totals[type_] for type_, count in here.items()) for k in range(FOLDS)]
        best = min(range(FOLDS), key=lambda k: (costs[k], len(tests[k])))
        tests[best] += unit
        held[best] += here
    return [
        split_by_count(
            groups.keys(),
            val=max(1, round((len(groups) - len(test)) / 10)),
            test=test,
            key=f"{key}/fold{k}",
            types=types,
            together=together,
        )
        for k, test in enumerate(tests)
    ]


def members(groups: Mapping[str, str]) -> dict[str, list[str]]:
    """Return the ids of each group, sorted: id -> group becomes group -> ids."""
    sets: defaultdict[str, list[str]] = defaultdict(list)
    for id_, group in sorted(groups.items()):
        sets[group].append(id_)
    return sets


def random_split(
    dataset: str,
    ids: Collection[str],
    split: str | None,
    fold: int | None,
    *,
    key: str | None = None,
    types: Mapping[str, str] | None = None,
    groups: Mapping[str, str] | None = None,
    others: Sequence[str] = (),
) -> dict[str, str]:
    """Split images that have no split file: 80/10/10 with at least one image in each part, or one of five folds.

    Args:
        dataset: its short name.
        ids: the samples there are.
        split: `random` or None, which is the same.
        fold: fold k as the test split; goes before `split`.
        key: names the draw; the dataset's name without.
        types: id -> type; each type is then split in proportion, as far as whole groups allow.
        groups: id -> group; no part cuts one, and sizes are as near to 80/10/10 as that allows.
        others: splits that the dataset has beside `random`, for the message about an unknown one.

    Raises `ConfigError` for an unknown split or fold and `DataError` for fewer than 3 images or groups, or than 5 for a
    fold.
    """
    if fold is None and split not in (None, "random"):
        raise unknown_split(dataset, split, [*others, "random"])
    least = len(SPLITS) if fold is None else FOLDS
    purpose = "to train, validate and test with" if fold is None else f"for {FOLDS} folds"
    if len(ids) < least:
        raise DataError(f"{too_few(ids)} {purpose}; {least} or more are needed")
    together = list(members(groups).values()) if groups else []
    if groups and len(together) < least:
        some = f"{len(together)} group{' is' if len(together) == 1 else 's are'}"
        raise DataError(
            f"{some} too few {purpose}, none of them cut; {least} or more are needed: give other groups, or "
            "data.groups='(.*)' to take each image by itself"
        )
    if fold is not None:
        number, key = check_fold(fold), key or dataset
        if groups and len(together) < len(ids):
            return folds_of_groups(groups, key, types)[number]
        return folds_by_count(ids, key, types)[number]
    tenth = max(1, round(len(ids) / 10))
    return split_by_count(ids, val=tenth, test=tenth, key=key or dataset, types=types, together=together)
