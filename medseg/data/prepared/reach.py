"""What the prepared size lets a prediction reach, in words; `restore.reachable_dice` computes it."""

from __future__ import annotations

from collections.abc import Sequence

CAPPED = 0.97
"""Below this mean Dice of a perfect prediction, the prepared size limits what can be reached."""


def describe_reach(dice: float, size: Sequence[int]) -> str:
    """Return a sentence on the mean Dice at native size that a perfect prediction at the prepared size reaches.

    Empty where that is no limit. `size`: height and width of the prepared images.
    """
    if dice >= CAPPED:
        return ""
    return f"a perfect prediction at {size[0]} x {size[1]} reaches a mean Dice of {dice:.3f} at native size"
