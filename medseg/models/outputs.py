"""Which of a network's outputs counts."""

from __future__ import annotations

from typing import Any

from torch import Tensor


def main_output(outputs: Any) -> Tensor:
    """Return the logits that count: the last ones under deep supervision."""
    return outputs[-1] if isinstance(outputs, list | tuple) else outputs
