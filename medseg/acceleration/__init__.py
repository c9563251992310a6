"""Faster operations for any network, put into it from outside; networks themselves are plain PyTorch."""

from medseg.acceleration.accelerate import accelerate

__all__ = ["accelerate"]
