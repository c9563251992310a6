"""A part of the training split, for learning curves: `data.fraction`.

Nested: the images of 0.1 are among those of 0.25. So all come in one order, in which each type of image is spread
evenly, and groups are whole; a fraction is the beginning of it.
"""

from __future__ import annotations

import hashlib
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence

from medseg.data.splits.random_splits import members
from medseg.errors import ConfigError, as_bytes


def take_fraction(
    ids: Sequence[str], fraction: float, seed: int, types: Mapping[str, str], groups: Mapping[str, str]
) -> set[str]:
    """Choose a part of the training images, as near to the fraction as whole groups allow.

    Args:
        ids: of the training split.
        fraction: above 0, up to 1.
        seed: of the run; another one takes other images, the same ones for all networks.
        types: id -> type of image; each type is taken from in proportion.
        groups: id -> group; an id without one is a group by itself.

    Raises `ConfigError` where the fraction is no image at all.
    """
    units = list(members({id_: groups.get(id_, id_) for id_ in ids}).values())
    units.sort(key=lambda unit: hashlib.sha256(as_bytes(f"fraction/{seed}:{unit[0]}")).digest())
    totals, before = defaultdict[str, int](int), defaultdict[str, int](int)
    for id_ in ids:
        totals[types[id_]] += 1
    places = []
    for unit in units:
        type_ = types[unit[0]]
        places.append((before[type_] + len(unit) / 2) / totals[type_])  # how far into its type the group is
        before[type_] += len(unit)
    order = [unit for _, unit in sorted(zip(places, units, strict=True), key=lambda both: both[0])]
    chosen: set[str] = set()
    for unit in order:
        # Nearest: a group is taken where at least half of it is asked for.
        if len(chosen) + len(unit) / 2 > fraction * len(ids):
            break
        chosen.update(unit)
    if ids and not chosen:
        least = math.ceil(10_000 * len(order[0]) / 2 / len(ids)) / 10_000
        one = f"a group of {len(order[0])}" if len(order[0]) > 1 else "one image"
        raise ConfigError(
            f"data.fraction={fraction:g} of {len(ids)} training images is none; the least is data.fraction={least:g}, "
            f"which is {one}"
        )
    return chosen
