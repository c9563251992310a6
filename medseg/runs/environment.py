"""What a run was made with: versions, machine, command. A score without them cannot be repeated."""

from __future__ import annotations

import importlib.metadata
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import medseg
from medseg.system.process import available_cores

PACKAGES = (
    "torch", "lightning", "hydra-core", "omegaconf", "segmentation-models-pytorch", "torchmetrics", "albumentations",
    "opencv-python-headless", "numpy", "scipy", "wandb",
)  # fmt: skip


def describe_environment() -> dict[str, Any]:
    """Describe the software and the machine of this process, as plain values for `environment.json`."""
    return {
        "medseg": medseg.__version__,
        "git_commit": git_commit(),
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "python": platform.python_version(),
        "packages": {name: version(name) for name in PACKAGES},
        "platform": platform.platform(),
        "processor": processor(),
        "cpu_cores": available_cores(),
    }


def version(package: str) -> str | None:
    """Return the installed version of a package."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def git_commit() -> str | None:
    """Return the commit of the medseg checkout, with `+changes` where files differ from it; None when installed."""
    root = Path(medseg.__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return None
    try:
        commit = _git(root, "rev-parse", "HEAD")
        return f"{commit}+changes" if _git(root, "status", "--porcelain", "--untracked-files=no") else commit
    except (OSError, subprocess.CalledProcessError):
        return None


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def processor() -> str:
    """Return the processor's name."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
