"""Commands of medseg, run as a user would, in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig

from medseg.config.instantiate import instantiate
from medseg.data.sources.finding import missing_archives, nothing_found
from medseg.errors import DataError, UserError
from medseg.system.cores import available_cores

COMMAND_SECONDS = 3600
"""After which a command is taken to hang."""


class Commands:
    """The words that the measured commands have in common.

    Args:
        data: the configuration of the dataset.
        words: Hydra overrides of the groups `model`, `data`, `augmentation` and `trainer`.

    Prepared data go elsewhere than where archives lie, so what is looked for there gets its place. Raises `DataError`
    where archives are missing.
    """

    def __init__(self, data: DictConfig, words: Sequence[str]) -> None:
        self.all = list(words)
        dataset = instantiate(data.dataset)
        if data.source is None and data.get("root") is None and dataset.archives:
            place = Path(data.data_dir).expanduser().absolute()
            if missing_archives(dataset, place):
                raise DataError(nothing_found(dataset, place))
            self.all.append(f"data.source={quoted(place)}")
        self.data = [word for word in self.all if word.lstrip("+~").startswith("data")]

    def watched(self, data: Path, *, runs: Path, file: Path, steps: int) -> list[str]:
        """Return the words of a training of two epochs under the eyes of `medseg.benchmarking.watch.Watch`.

        Args:
            data: folder of the prepared data.
            runs: where the run goes.
            file: what `Watch` writes.
            steps: training steps of an epoch at most.
        """
        return [
            *self.all,
            f"data_dir={quoted(data)}",
            f"runs_dir={quoted(runs)}",
            "logger=csv",
            "trainer.max_epochs=2",
            f"+trainer.limit_train_batches={steps}",
            "+callbacks.watch._target_=medseg.benchmarking.watch.Watch",
            f"+callbacks.watch.file={quoted(file)}",
        ]


def run(command: str, *words: str, exit_code: int = 0, cores: Sequence[int] | None = None) -> float:
    """Run `python -m medseg.<command>`, on some cores alone where they are given, and return the seconds it takes.

    Raises `UserError` with what it says when it ends otherwise than with `exit_code`.
    """

    def pin() -> None:
        if cores is not None:
            os.sched_setaffinity(0, cores)

    started = time.perf_counter()
    arguments = [sys.executable, "-m", f"medseg.{command}", *words]
    try:
        done = subprocess.run(
            arguments,
            capture_output=True,
            text=True,
            check=False,
            timeout=COMMAND_SECONDS,
            preexec_fn=pin if cores is not None else None,
        )
    except subprocess.TimeoutExpired:
        raise UserError(f"medseg.{command} takes longer than {COMMAND_SECONDS} s") from None
    if done.returncode != exit_code:
        said = done.stderr.strip().splitlines() or [f"it ended with {done.returncode}"]
        raise UserError(f"medseg.{command}: {said[-1].removeprefix('error: ')}")
    return time.perf_counter() - started


def can_pin() -> bool:
    """Tell whether processes can be kept to some cores here."""
    return hasattr(os, "sched_setaffinity") and available_cores() > 1


def named(cores: int) -> str:
    """Name a number of cores."""
    return "one core" if cores == 1 else f"{cores} cores"


def quoted(path: Path) -> str:
    """Write a path for Hydra."""
    return "'" + str(path).replace("\\", "\\\\").replace("'", "\\'") + "'"
