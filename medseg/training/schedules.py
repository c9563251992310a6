"""Learning-rate schedules, as Lightning's `lr_scheduler` dictionaries.

Each takes (optimizer, total_steps=, steps_per_epoch=), in optimizer steps, and scales the learning rate of every
parameter group by a factor. The factors are functions of the step alone, so a resumed run goes on where it was, and a
scheduler's state holds only plain numbers.
"""

from __future__ import annotations

import math
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, ReduceLROnPlateau

NEVER = 2**31
"""More epochs than any training has."""


def warmup_poly(
    optimizer: Optimizer,
    *,
    total_steps: int,
    steps_per_epoch: int,
    warmup_epochs: float = 1,
    warmup_factor: float = 1e-3,
    power: float = 0.9,
) -> dict[str, Any]:
    """Linear warm-up from `warmup_factor` to 1, then (1 - t)^power to 0: the schedule of the ConvUNeXt code, per step.

    A warm-up of more than half the training is cut to half of it, so that a short run still trains at the full rate.
    """
    warmup = _warmup_steps(total_steps, steps_per_epoch, warmup_epochs)

    def factor(step: int) -> float:
        if step < warmup:
            return _warmup(step, warmup, warmup_factor)
        return (1 - _progress(step, warmup, total_steps)) ** power

    return _per_step(LambdaLR(optimizer, factor))


def warmup_cosine(
    optimizer: Optimizer,
    *,
    total_steps: int,
    steps_per_epoch: int,
    warmup_epochs: float = 1,
    warmup_factor: float = 1e-3,
    min_factor: float = 0.0,
) -> dict[str, Any]:
    """Linear warm-up as in `warmup_poly`, then half a cosine from 1 down to `min_factor`, per step."""
    warmup = _warmup_steps(total_steps, steps_per_epoch, warmup_epochs)

    def factor(step: int) -> float:
        if step < warmup:
            return _warmup(step, warmup, warmup_factor)
        cosine = 0.5 * (1 + math.cos(math.pi * _progress(step, warmup, total_steps)))
        return min_factor + (1 - min_factor) * cosine

    return _per_step(LambdaLR(optimizer, factor))


def constant(optimizer: Optimizer, *, total_steps: int, steps_per_epoch: int) -> dict[str, Any]:
    """Keep the optimizer's learning rate."""
    return _per_step(LambdaLR(optimizer, lambda step: 1.0))


def plateau(
    optimizer: Optimizer,
    *,
    total_steps: int,
    steps_per_epoch: int,
    patience: int = 10,
    factor: float = 0.1,
    monitor: str = "val/dice",
) -> dict[str, Any]:
    """Multiply by `factor` when `monitor` has not risen for more than `patience` epochs.

    The task takes the step itself, before an epoch's checkpoint is written; so Lightning is told to take none.
    """
    scheduler = ReduceLROnPlateau(optimizer, mode="max", patience=patience, factor=factor)
    return {"scheduler": scheduler, "interval": "epoch", "frequency": NEVER, "monitor": monitor}


def _warmup_steps(total_steps: int, steps_per_epoch: int, warmup_epochs: float) -> int:
    return min(round(warmup_epochs * steps_per_epoch), total_steps // 2)


def _warmup(step: int, warmup: int, warmup_factor: float) -> float:
    return warmup_factor + (1 - warmup_factor) * step / warmup


def _progress(step: int, warmup: int, total_steps: int) -> float:
    """Part of the time after the warm-up that has passed, in [0, 1]; stays 1 beyond the last step."""
    return min(1.0, (step - warmup) / max(1, total_steps - warmup))


def _per_step(scheduler: LambdaLR) -> dict[str, Any]:
    # A plain function as the factor is left out of the scheduler's state dict, which must load with weights_only.
    return {"scheduler": scheduler, "interval": "step", "frequency": 1}
