"""How long whole commands take: each is run as a user would, in a process of its own."""

from __future__ import annotations

import json
import logging
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from medseg import config
from medseg.cores import available_cores
from medseg.data.finding import missing_archives, nothing_found
from medseg.errors import DataError, UserError

log = logging.getLogger(__name__)

COMMAND_SECONDS = 3600
"""After which a command is taken to hang."""


@dataclass(frozen=True)
class Figure:
    """One measured figure, and in a few words how it was measured."""

    name: str
    value: float
    unit: str
    how: str


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
        dataset = config.instantiate(data.dataset)
        if data.source is None and data.get("root") is None and dataset.archives:
            place = Path(data.data_dir).expanduser().absolute()
            if missing_archives(dataset, place):
                raise DataError(nothing_found(dataset, place))
            self.all.append(f"data.source={quoted(place)}")
        self.data = [word for word in self.all if word.lstrip("+~").startswith("data")]


def measure_program(commands: Commands, *, repeats: int, steps: int, report: str | None) -> list[Figure]:
    """Measure all figures; see `medseg.benchmark_program`.

    Args:
        commands: what is prepared and trained.
        repeats: times that the data are prepared, on all cores and on one in turn.
        steps: training steps of an epoch at most.
        report: folder of runs whose report is timed.

    Raises `UserError` with the message of a command that fails.
    """
    figures = measure_start()
    with tempfile.TemporaryDirectory(prefix="medseg-") as temporary:
        place = Path(temporary)
        log.info("preparing, %d times", 2 * repeats if can_pin() else repeats)
        figures += measure_prepare(commands, place, repeats)
        log.info("training")
        figures += measure_training(commands, place, steps)
        if report is not None:
            log.info("reporting")
            figures.append(measure_report(Path(report).expanduser(), place))
    return figures


def measure_start() -> list[Figure]:
    """Time `--help` of every command, and a misspelt option."""
    seconds = {}
    for file in sorted(config.config_dir().glob("*.yaml")):
        seconds[file.stem] = run(file.stem, "--help")
    slowest = max(seconds, key=lambda name: seconds[name])
    wrong = run("train", "modle=unet", exit_code=2)
    return [
        Figure("--help", seconds[slowest], "s", f"medseg.{slowest}, the slowest of {len(seconds)} commands"),
        Figure("misspelt option", wrong, "s", "medseg.train modle=unet"),
    ]


def measure_prepare(commands: Commands, place: Path, repeats: int) -> list[Figure]:
    """Time `medseg.prepare` on one core and on all, in turn; the data of the last go to `data` in `place`."""
    cores = sorted(os.sched_getaffinity(0)) if can_pin() else list(range(available_cores()))
    chosen = {1: cores[:1], len(cores): cores} if can_pin() else {len(cores): cores}
    speeds: dict[int, list[float]] = {count: [] for count in chosen}
    for number in range(repeats):
        for count, ours in chosen.items():
            last = number == repeats - 1 and count == len(cores)
            with tempfile.TemporaryDirectory(dir=place) as other:
                folder = place / "data" if last else Path(other)
                run("prepare", *commands.data, f"data_dir={quoted(folder)}", cores=ours if can_pin() else None)
                (file,) = folder.glob("prepared/*/fingerprint.json")
                found = json.loads(file.read_text(encoding="utf-8"))
                speeds[count].append(found["count"] / found["seconds"])
    how = f"medseg.prepare, median of {repeats}, without the start of Python"
    medians = {count: statistics.median(values) for count, values in speeds.items()}
    figures = [Figure(f"prepare, {named(count)}", value, "images/s", how) for count, value in medians.items()]
    if len(medians) > 1:
        ratio = medians[len(cores)] / medians[1]
        figures.append(Figure(f"prepare, {named(len(cores))} over one", ratio, "x", "ratio of the medians"))
    return figures


def measure_training(commands: Commands, place: Path, steps: int) -> list[Figure]:
    """Run a short `medseg.train` on the prepared data under the eyes of `medseg.benchmarking.watch.Watch`."""
    file = place / "watched.json"
    began = time.time()
    run(
        "train",
        *commands.all,
        f"data_dir={quoted(place / 'data')}",
        f"runs_dir={quoted(place / 'runs')}",
        "logger=csv",
        "trainer.max_epochs=2",
        f"+trainer.limit_train_batches={steps}",
        "+callbacks.watch._target_=medseg.benchmarking.watch.Watch",
        f"+callbacks.watch.file={quoted(file)}",
    )
    found = json.loads(file.read_text(encoding="utf-8"))
    (status,) = place.glob("runs/main/*/status.json")  # written last
    return training_figures(found, began=began, ended=status.stat().st_mtime)


def training_figures(found: Mapping[str, Any], *, began: float, ended: float) -> list[Figure]:
    """Return the figures of a training.

    Args:
        found: what `medseg.benchmarking.watch.Watch` noted.
        began: Unix time when the command was given.
        ended: Unix time when the run was finished.
    """
    validation, test = found["validation"], found["test"]

    def beyond(part: Mapping[str, float]) -> float:
        return 1000 * (part["seconds"] - part["network_seconds"]) / part["images"]

    waiting = 100 * found["waiting_seconds"] / found["epoch_seconds"]
    speed = found["loader_images"] / found["loader_seconds"]
    network = 1000 * validation["network_seconds"] / validation["images"]
    return [
        Figure("first training step", found["first_step"] - began, "s", "medseg.train on prepared data, from command"),
        Figure("loader alone", speed, "images/s", "of training, in its process, no network"),
        Figure("waiting for data", waiting, "%", "of the second epoch's training steps"),
        Figure("network in validation", network, "ms/image", "second epoch"),
        Figure("validation beyond the network", beyond(validation), "ms/image", "second epoch; data and scores"),
        Figure("test beyond the network", beyond(test), "ms/image", "data, scores and distances"),
        Figure("after the test", ended - found["test_ended"], "s", "tables, predictions, pictures"),
    ]


def measure_report(runs: Path, place: Path) -> Figure:
    """Time `medseg.report` of the runs in a folder."""
    seconds = run("report", str(runs), f"output={quoted(place / 'report')}")
    count = len(list(runs.rglob("status.json")))
    return Figure("report", seconds, "s", f"medseg.report of {count} runs")


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
