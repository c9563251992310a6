"""Pick what the machine is good at: the device and the precision."""

from __future__ import annotations

import os
import shutil
import sys

import torch

from medseg.errors import ConfigError


def pick_accelerator(wanted: str) -> str:
    """Return `gpu` or `cpu` for `auto`, else what is wanted.

    Raises `ConfigError` for a GPU where there is none.
    """
    has_gpu = torch.cuda.is_available()
    if wanted == "auto":
        return "gpu" if has_gpu else "cpu"
    if wanted in ("gpu", "cuda") and not has_gpu:
        raise ConfigError("a GPU is asked for (trainer.accelerator) but PyTorch finds none; use trainer=auto or cpu")
    return wanted


def pick_precision(wanted: str, accelerator: str) -> tuple[str, str]:
    """Return Lightning's precision and why, for `auto`; else what is wanted.

    bf16-mixed keeps weights in float32 and needs no loss scaling; it pays where the hardware multiplies bf16.
    """
    if str(wanted) != "auto":
        return str(wanted), "as configured"
    if accelerator in ("gpu", "cuda"):
        if torch.cuda.get_device_capability() >= (8, 0):
            return "bf16-mixed", "this GPU multiplies bf16 natively"
        return "32-true", "this GPU has no native bf16"
    # The one way to ask; avx512_bf16 alone does not pay (measured: 0.6 to 1.25 times float32's speed).
    amx = getattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    if accelerator == "cpu" and amx():
        return "bf16-mixed", "this CPU has AMX"
    return "32-true", f"no native bf16 on this {accelerator}"


def check_compiler(accelerator: str) -> None:
    """Raise `ConfigError` where `torch.compile` needs a C++ compiler, on a CPU, and there is none."""
    compiler = os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++")  # the one that PyTorch takes
    if accelerator == "cpu" and not shutil.which(compiler):
        raise ConfigError(
            f"compile=true needs a C++ compiler on a CPU, and {compiler} is not there: install it, or leave compile out"
        )


def describe_device(accelerator: str) -> str:
    """Name the device that trains."""
    if accelerator in ("gpu", "cuda"):
        return torch.cuda.get_device_name()
    return f"{accelerator}, {torch.get_num_threads()} threads"
