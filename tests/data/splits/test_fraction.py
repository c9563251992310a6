"""A part of the training split: nested, seeded, stratified, of whole groups."""

from __future__ import annotations

from collections import Counter

import pytest

from medseg.data.splits.fraction import take_fraction
from medseg.errors import ConfigError

IDS = [f"image{k:03d}" for k in range(100)]
TYPES = {id_: "rare" if k % 10 == 0 else "usual" for k, id_ in enumerate(IDS)}
PLAIN = dict.fromkeys(IDS, "")


@pytest.mark.parametrize("groups", [{}, {id_: id_[:7] for id_ in IDS}, {id_: str(k // 7) for k, id_ in enumerate(IDS)}])
def test_a_smaller_fraction_is_inside_a_larger_one(groups: dict[str, str]) -> None:
    before: set[str] = set()
    for fraction in (0.1, 0.15, 0.25, 0.33, 0.5, 0.9, 1.0):
        chosen = take_fraction(IDS, fraction, 0, TYPES, groups)
        assert before <= chosen
        assert abs(len(chosen) - 100 * fraction) <= (10 if groups else 0)
        before = chosen
        if groups:
            assert all(len({groups[id_] in {groups[c] for c in chosen}, id_ in chosen}) == 1 for id_ in IDS)
    assert before == set(IDS)


def test_the_seed_chooses_and_nothing_else() -> None:
    first = take_fraction(IDS, 0.2, 0, PLAIN, {})
    assert first == take_fraction(IDS[::-1], 0.2, 0, PLAIN, {})
    assert first != take_fraction(IDS, 0.2, 1, PLAIN, {})
    # From SHA-256 over "fraction/<seed>:<id>": other images here would make another run of every user's.
    assert sorted(take_fraction(IDS, 0.03, 0, PLAIN, {})) == ["image021", "image060", "image096"]


@pytest.mark.parametrize(("fraction", "rare"), [(0.1, 1), (0.2, 2), (0.5, 5), (0.95, (9, 10))])
def test_each_type_is_taken_in_proportion(fraction: float, rare: int | tuple[int, int]) -> None:
    for seed in range(5):
        counts = Counter(TYPES[id_] for id_ in take_fraction(IDS, fraction, seed, TYPES, {}))
        assert counts["rare"] in (rare if isinstance(rare, tuple) else (rare,))


def test_a_fraction_of_nothing_names_the_least() -> None:
    with pytest.raises(
        ConfigError, match=r"data\.fraction=0\.001 of 100 .* the least is data\.fraction=0\.005, .*one image"
    ):
        take_fraction(IDS, 0.001, 0, PLAIN, {})
    assert len(take_fraction(IDS, 0.005, 0, PLAIN, {})) == 1
    groups = {id_: id_[:7] for id_ in IDS}  # ten of ten images
    with pytest.raises(ConfigError, match=r"the least is data\.fraction=0\.05, which is a group of 10"):
        take_fraction(IDS, 0.04, 0, PLAIN, groups)
    assert len(take_fraction(IDS, 0.05, 0, PLAIN, groups)) == 10
