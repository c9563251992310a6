"""Faster operations and less memory, put into any network from outside; networks themselves are plain PyTorch."""

from medseg.acceleration.checkpointing import checkpoint_activations
from medseg.acceleration.depthwise import accelerate

__all__ = ["accelerate", "checkpoint_activations"]
