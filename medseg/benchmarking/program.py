"""How long whole commands take: each is run as a user would, in a process of its own."""

from __future__ import annotations

import json
import logging
import os
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medseg.benchmarking.commands import Commands, can_pin, named, quoted, run
from medseg.benchmarking.together import measure_together
from medseg.config import yaml_files
from medseg.errors import UserError
from medseg.system.cores import available_cores

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Figure:
    """One measured figure, and in a few words how it was measured."""

    name: str
    value: float
    unit: str
    how: str


def measure_program(
    commands: Commands, *, repeats: int, steps: int, report: str | None, jobs: Sequence[int] = ()
) -> list[Figure]:
    """Measure all figures; see `medseg.benchmark_program`.

    Args:
        commands: what is prepared and trained.
        repeats: times that the data are prepared, on all cores and on one in turn.
        steps: training steps of an epoch at most.
        report: folder of runs whose report is timed.
        jobs: numbers of trainings that share the device.

    Raises `UserError` with the message of a command that fails.
    """
    figures = measure_start()
    with tempfile.TemporaryDirectory(prefix="medseg-") as temporary:
        place = Path(temporary)
        log.info("preparing, %d times", 2 * repeats if can_pin() else repeats)
        figures += measure_prepare(commands, place, repeats)
        log.info("training")
        figures += measure_training(commands, place, steps)
        figures += measure_sharing(commands, place, steps, jobs)
        if report is not None:
            log.info("reporting")
            figures.append(measure_report(Path(report).expanduser(), place))
    return figures


def measure_start() -> list[Figure]:
    """Time `--help` of every command, and a misspelt option."""
    seconds = {}
    for file in sorted(yaml_files.config_dir().glob("*.yaml")):
        seconds[file.stem] = run(file.stem, "--help")
    slowest = max(seconds, key=lambda name: seconds[name])
    wrong = run("train", "modle=unet", exit_code=2)
    return [
        Figure("help", seconds[slowest], "s", f"medseg.{slowest}, the slowest of {len(seconds)} commands"),
        Figure("misspelt option", wrong, "s", "medseg.train modle=unet"),
    ]


def measure_prepare(commands: Commands, place: Path, repeats: int) -> list[Figure]:
    """Time `medseg prepare` on one core and on all, in turn; the data of the last go to `data` in `place`."""
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
    """Run a short `medseg train` on the prepared data under the eyes of `medseg.benchmarking.watch.Watch`."""
    file = place / "watched.json"
    began = time.time()
    run("train", *commands.watched(place / "data", runs=place / "runs", file=file, steps=steps))
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


def measure_sharing(commands: Commands, place: Path, steps: int, jobs: Sequence[int]) -> list[Figure]:
    """Train several times at once, for each number of trainings; what fails there ends with an error in the log.

    A number of trainings that is too much for the device takes the figures of the others from nobody.
    """
    speeds: dict[int, float] = {}
    for count in jobs:
        log.info("training %d at once", count)
        try:
            speeds[count] = measure_together(commands, place, steps, count)
        except UserError as error:
            log.error("%d trainings at once: %s", count, error)
    how = "medseg.train, images of all per second, second epoch; each on its share of the cores"
    figures = [Figure(f"trainings at once: {count}", speed, "images/s", how) for count, speed in speeds.items()]
    if 1 in speeds:
        figures += [
            Figure(f"trainings at once: {count}, over one", speed / speeds[1], "x", "ratio of the two")
            for count, speed in speeds.items()
            if count > 1
        ]
    return figures


def measure_report(runs: Path, place: Path) -> Figure:
    """Time `medseg report` of the runs in a folder."""
    seconds = run("report", str(runs), f"output={quoted(place / 'report')}")
    count = len(list(runs.rglob("status.json")))
    return Figure("report", seconds, "s", f"medseg.report of {count} runs")
