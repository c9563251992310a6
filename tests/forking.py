"""Run commands of medseg in processes that need not import it: a server has, and forks one for each of them.

A command then starts within a tenth of a second instead of five. What is about the start itself (what is imported, how
long that takes, variables that an import reads, `python medseg/train.py`) needs `subprocess` all the same.
"""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

from medseg.system.forked import ForkServer, NotForkedError, complete

PROJECT = Path(__file__).resolve().parent.parent

IMPORTED = (
    "matplotlib.font_manager", "matplotlib.backends.backend_agg", "medseg.config.checks.check",
    "medseg.data.augmentation", "medseg.data.prepared.prepare", "medseg.measure.cost", "medseg.reporting.figures",
    "medseg.reporting.report", "medseg.sweeps.process", "medseg.trained.exporting.export", "medseg.trained.importing",
    "medseg.trained.predicting.folder", "medseg.training.evaluation", "medseg.training.job",
    *(f"medseg.commands.{file.stem}" for file in sorted((PROJECT / "medseg" / "commands").glob("[!_]*.py"))),
)  # fmt: skip
"""What takes a while to import, and is needed by some command."""


@cache
def server() -> ForkServer:
    """Return the server of this process, which starts with its first command."""
    return ForkServer(IMPORTED, may_differ=["*"])


def variables(**given: str) -> dict[str, str]:
    """Return the environment of a command: that of the tests, without what is for the runs of whoever starts them."""
    unset = ("MEDSEG_DATA", "MEDSEG_RUNS", "HYDRA_FULL_ERROR")
    inherited = {key: value for key, value in os.environ.items() if key not in unset}
    return {**inherited, "PYTHONPATH": str(PROJECT), **given}


def start_forked(module: str, *arguments: str, cwd: Path, **given: str) -> subprocess.Popen[str]:
    """Start `python -m module arguments` in the folder `cwd`, with pipes; `given`: variables of its environment."""
    options: dict[str, Any] = {
        "cwd": cwd, "env": variables(**given), "stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE,
        "stderr": subprocess.PIPE, "text": True,
    }  # fmt: skip
    try:
        if sys.platform.startswith("linux"):
            return server().popen(module, arguments, **options)
    except NotForkedError:  # such as where an import starts a thread; slower, but the same
        pass
    return subprocess.Popen([sys.executable, "-m", module, *arguments], process_group=0, **options)


def run_forked(
    module: str, *arguments: str, cwd: Path, timeout: float = 200, **given: str
) -> subprocess.CompletedProcess[str]:
    """Run `python -m module arguments` in the folder `cwd` to its end; `given`: variables of its environment."""
    return complete(start_forked(module, *arguments, cwd=cwd, **given), timeout)
