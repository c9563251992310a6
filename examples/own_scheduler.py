"""A schedule of the learning rate: half of it every few epochs."""

from __future__ import annotations

from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import StepLR


def halving(
    optimizer: Optimizer, *, total_steps: int, steps_per_epoch: int, epochs: int
) -> dict[str, Any]:
    """Return Lightning's description of the schedule.

    Args:
        optimizer: whose learning rates are changed.
        total_steps: optimizer steps of the whole training; not needed here.
        steps_per_epoch: optimizer steps of an epoch; not needed here.
        epochs: after how many the rate is halved.
    """
    scheduler = StepLR(optimizer, step_size=epochs, gamma=0.5)
    return {"scheduler": scheduler, "interval": "epoch"}
