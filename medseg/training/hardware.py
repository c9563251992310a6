"""The device that trains, and what it needs."""

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


def check_compiler(accelerator: str, *, activation_checkpointing: bool = False) -> None:
    """Raise `ConfigError` where `torch.compile` needs a C++ compiler, on a CPU, and there is none.

    Also with `activation_checkpointing`: a compiled network decides itself what it computes again.
    """
    if activation_checkpointing:
        raise ConfigError("compile=true and activation_checkpointing=true do not go together: leave one of them out")
    compiler = os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++")  # the one that PyTorch takes
    if accelerator == "cpu" and not shutil.which(compiler):
        raise ConfigError(
            f"compile=true needs a C++ compiler on a CPU, and {compiler} is not there: install it, or leave compile out"
        )


def describe_device(accelerator: str) -> str:
    """Name the device that trains."""
    if accelerator in ("gpu", "cuda"):
        return torch.cuda.get_device_name()
    threads = torch.get_num_threads()
    return f"{accelerator}, {threads} {'thread' if threads == 1 else 'threads'}"
