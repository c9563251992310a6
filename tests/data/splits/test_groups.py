"""Splits that are drawn never cut a group."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from medseg.config.checks.data import FOLDS
from medseg.data.splits import SPLITS
from medseg.data.splits.random_splits import draw, random_split
from medseg.errors import DataError


def groups_of(*sizes: int) -> dict[str, str]:
    """Images of groups of these sizes."""
    return {f"p{k:03d}_{n:03d}": f"p {k}, left" for k, size in enumerate(sizes) for n in range(size)}


def parts_of(split: dict[str, str]) -> tuple[int, ...]:
    return tuple(Counter(split.values())[part] for part in SPLITS)


def assert_whole(split: dict[str, str], groups: dict[str, str]) -> None:
    assert split.keys() == groups.keys()
    where: dict[str, set[str]] = {}
    for id_, part in split.items():
        where.setdefault(groups[id_], set()).add(part)
    assert all(len(parts) == 1 for parts in where.values())
    assert set(split.values()) == set(SPLITS)


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ((10,) * 10, (80, 10, 10)),
        ((1, 1, 98), (98, 1, 1)),
        ((40, 30, 30), (40, 30, 30)),  # nothing is near a tenth
        ((1,) * 50, (40, 5, 5)),
        ((7,) * 9, (49, 7, 7)),
        ((25, 25, 25, 25), (50, 25, 25)),
        ((3, 5, 92), (92, 5, 3)),
        ((90, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1), (91, 5, 4)),  # the test and one training group are left for the rest
    ],
)
def test_sizes_are_as_near_to_80_10_10_as_groups_allow(sizes, expected):
    groups = groups_of(*sizes)
    split = random_split("key", groups, None, None, groups=groups)
    assert_whole(split, groups)
    found = parts_of(split)
    assert sum(found) == sum(expected)
    assert abs(found[0] - expected[0]) <= 2
    assert random_split("key", list(groups)[::-1], None, None, groups=groups) == split


def test_groups_of_any_sizes_are_never_cut_and_tenths_are_met():
    random = np.random.default_rng(0)
    for trial in range(60):
        sizes = random.integers(1, 30, int(random.integers(3, 40))).tolist()
        groups = groups_of(*sizes)
        split = random_split(f"key{trial}", groups, None, None, groups=groups)
        assert_whole(split, groups)
        # The best that whole groups can do for a tenth: no other set of them is nearer.
        sums = {0}
        for size in sizes:
            sums |= {total + size for total in sums}
        tenth = max(1, round(len(groups) / 10))
        nearest = min(abs(total - tenth) for total in sums - {0})
        assert abs(parts_of(split)[2] - tenth) in (nearest, abs(min(sizes) - tenth))


def test_groups_of_one_image_are_as_no_groups():
    ids = [f"image{k:03d}" for k in range(50)]
    groups = {id_: id_ for id_ in ids}
    assert random_split("key", ids, None, None, groups=groups) == random_split("key", ids, None, None)
    assert random_split("key", ids, None, 3, groups=groups) == random_split("key", ids, None, 3)


def test_types_stay_in_proportion_where_groups_allow_it():
    groups = groups_of(*(5,) * 40)
    types = {id_: "dark" if int(id_[1:4]) % 4 else "light" for id_ in groups}
    split = random_split("key", groups, None, None, types=types, groups=groups)
    assert_whole(split, groups)
    assert parts_of(split) == (160, 20, 20)
    for part in SPLITS:
        light = sum(types[id_] == "light" for id_ in split if split[id_] == part)
        assert abs(light / parts_of(split)[SPLITS.index(part)] - 0.25) <= 0.05


@pytest.mark.parametrize("sizes", [(10,) * 10, (40, *(1,) * 60), (1, 2, 3, 4, 5), (9, 9, 9, 9, 9, 1, 1, 1)])
def test_folds_test_every_group_once(sizes):
    groups = groups_of(*sizes)
    folds = [random_split("key", groups, None, k, groups=groups) for k in range(FOLDS)]
    for fold in folds:
        assert_whole(fold, groups)
    assert Counter(id_ for fold in folds for id_, part in fold.items() if part == "test") == dict.fromkeys(groups, 1)
    if max(sizes) <= len(groups) / FOLDS:
        tests = [parts_of(fold)[2] for fold in folds]
        assert max(tests) - min(tests) <= max(sizes)


def test_folds_share_the_rest_of_a_large_group_evenly():
    groups = groups_of(40, *(1,) * 60)
    tests = [parts_of(random_split("key", groups, None, k, groups=groups))[2] for k in range(FOLDS)]
    assert sorted(tests) == [15, 15, 15, 15, 40]


@pytest.mark.parametrize(
    ("count", "fold", "message"),
    [
        (1, None, "1 group is too few to train, validate and test with, none of them cut; 3 or more"),
        (2, None, "2 groups are too few"),
        (4, 0, "4 groups are too few for 5 folds, none of them cut; 5 or more"),
    ],
)
def test_too_few_groups_are_refused(count, fold, message):
    groups = groups_of(*(8,) * count)
    with pytest.raises(DataError, match=message) as refused:
        random_split("key", groups, None, fold, groups=groups)
    assert "data.groups='(.*)'" in str(refused.value)


def test_drawing_leaves_as_many_sets_as_it_is_asked_to():
    together = [["a0", "a1"], ["b0"], ["c0", "c1", "c2"]]
    ids = [id_ for unit in together for id_ in unit]
    assert len(draw(ids, 3, "key", together=together, leave=2)) in (2, 3)
    assert len(draw(ids, 6, "key", together=together, leave=1)) in (3, 4, 5)
    assert draw(ids, 1, "key", together=[["a0", "a1", "b0", "c0", "c1", "c2"]]) == set(ids)
