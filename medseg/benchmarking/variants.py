"""Variants of the same training step: as the released code does it, as medseg does it, and steps between the two."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

from medseg.benchmarking.setting import Setting


@dataclass(frozen=True)
class Variant:
    """What of medseg's ways a step takes; the rest is as in the released code.

    Args:
        operations: the networks' own operations; without, the released ones of `medseg.benchmarking.released`.
        layout: channels_last as configured; without, N x C x H x W.
        precision: as configured, `auto` by default; without, float32.
        acceleration: the operations of `medseg.acceleration`.
        optimizer: as configured; without, PyTorch's default in place of `fused` and `foreach`.
        allocator: the settings that keep freed memory.
        compile: as configured; without, eager.
    """

    operations: bool = False
    layout: bool = False
    precision: bool = False
    acceleration: bool = False
    optimizer: bool = False
    allocator: bool = False
    compile: bool = False


TUNED = Variant(**{field.name: True for field in fields(Variant)})

VARIANTS = {
    "plain": Variant(),
    # One step away from plain each.
    "operations": Variant(operations=True),
    "layout": Variant(layout=True),
    "precision": Variant(precision=True),
    "optimizer": Variant(optimizer=True),
    "allocator": Variant(allocator=True),
    # One step away from tuned.
    "unaccelerated": replace(TUNED, acceleration=False),
    "tuned": TUNED,
}
"""The names that `variants` takes."""


def in_variant(setting: Setting, name: str) -> Setting:
    """Return a setting in the variant `name`, one of `VARIANTS`."""
    variant = VARIANTS[name]
    optimizer = setting.optimizer_arguments
    if not variant.optimizer:
        optimizer = {key: value for key, value in optimizer.items() if key not in ("fused", "foreach")}
    return replace(
        setting,
        variant=name,
        optimizer_arguments=optimizer,
        precision=setting.precision if variant.precision else "32-true",
        channels_last=setting.channels_last and variant.layout,
        compile=setting.compile and variant.compile,
        released_operations=not variant.operations,
        acceleration=variant.acceleration,
        keeps_memory=variant.allocator,
    )


def reference(names: Sequence[str]) -> str:
    """Return the variant that the others are compared with: `plain` where it is there, else the first."""
    return "plain" if "plain" in names else names[0]
