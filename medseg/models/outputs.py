"""Which of a network's outputs counts, and how much each does in training."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from medseg.errors import ConfigError


def main_output(outputs: Any) -> Tensor:
    """Return the logits that count: the last ones under deep supervision."""
    return outputs[-1] if isinstance(outputs, list | tuple) else outputs


def output_weights(network: nn.Module, count: int) -> Sequence[float] | None:
    """Return the weights of the losses of a network's `count` outputs; their weighted sum is the loss of training.

    They are the attribute `output_weights` of its class. None where it has none, or a single output: the mean is the
    loss. Raises `ConfigError` unless there is one number from 0 for each output, not all of them 0.
    """
    weights = getattr(network, "output_weights", None)
    if weights is None or count == 1:
        return None
    numbers = isinstance(weights, list | tuple) and all(isinstance(each, int | float) for each in weights)
    if not numbers or len(weights) != count or not all(0 <= each < math.inf for each in weights) or not any(weights):
        raise ConfigError(
            f"{type(network).__name__}.output_weights is {weights} and the network returns {count} outputs: it must "
            "have one number from 0 for each, not all of them 0"
        )
    return weights
