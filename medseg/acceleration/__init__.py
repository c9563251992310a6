"""Faster operations and less memory, put into any network from outside; networks themselves are plain PyTorch."""

from medseg.acceleration.accelerate import accelerate
from medseg.acceleration.checkpointing import checkpoint_activations

__all__ = ["accelerate", "checkpoint_activations"]
