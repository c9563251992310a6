"""Measure whole commands, each in a separate process: preparing, starting, waiting for data, evaluating, reporting.

    python experiments/performance/program.py                                       # drawn images, no download
    python experiments/performance/program.py data=kvasir data.source=~/Downloads --csv program.csv
    python experiments/performance/program.py model=convunext trainer=gpu data.num_workers=4 --report runs/main
    python experiments/performance/program.py model=unext_s trainer=gpu --jobs 1 2 4 8     # how many share a GPU best?

The other arguments are overrides of `medseg train`; those of the data are passed to `medseg prepare` as well. Prepared
data and runs go to a temporary folder (TMPDIR) and are removed, so `data.source` must name the folder of the archives.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any, NamedTuple

from medseg.__main__ import command_names

FOLDER = Path(__file__).resolve().parent


class Figure(NamedTuple):
    """One measured figure, and in a few words how it was measured."""

    figure: str
    value: float
    unit: str
    how: str


def run(command: str, *words: str, exit_code: int = 0, cores: Sequence[int] | None = None) -> float:
    """Run `medseg <command>`, on some cores alone where they are given, and return the seconds it takes.

    Raises `RuntimeError` with its last message when it ends otherwise than with `exit_code`.
    """
    path = os.pathsep.join([str(FOLDER), *filter(None, [os.environ.get("PYTHONPATH")])])  # of training_watch
    pinned = [] if cores is None else ["taskset", "--cpu-list", ",".join(map(str, cores))]
    started = time.perf_counter()
    done = subprocess.run(
        [*pinned, sys.executable, "-m", "medseg", command, *words],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = time.perf_counter() - started
    if done.returncode != exit_code:
        last = [f"it ended with {done.returncode}", *done.stderr.strip().splitlines()][-1]
        raise RuntimeError(f"medseg {command}: {last}")
    return seconds


def cores() -> list[int]:
    """Return the cores that this process may use."""
    return sorted(os.sched_getaffinity(0))


def quoted(path: Path) -> str:
    """Write a path for Hydra."""
    return "'" + str(path).replace("\\", "\\\\").replace("'", "\\'") + "'"


def measure_start() -> Iterator[Figure]:
    """Time `--help` of every command, and a misspelt option."""
    seconds = {name: run(name, "--help") for name in command_names()}
    slowest = max(seconds, key=lambda name: seconds[name])
    yield Figure("help", seconds[slowest], "s", f"medseg {slowest}, the slowest of {len(seconds)} commands")
    yield Figure("misspelt option", run("train", "modle=unet", exit_code=2), "s", "medseg train modle=unet")


def measure_prepare(words: Sequence[str], temporary: Path, repeats: int) -> Iterator[Figure]:
    """Time `medseg prepare` on one core and on all, in turn; the data of the last go to `data` in `temporary`."""
    shares = {"one core": cores()[:1], f"{len(cores())} cores": cores()}
    speeds: dict[str, list[float]] = {name: [] for name in shares}
    for number in range(repeats):
        for name, share in shares.items():
            folder = temporary / ("data" if number == repeats - 1 and share == cores() else f"{number} {name}")
            run("prepare", *words, f"data_dir={quoted(folder)}", cores=share)
            (file,) = folder.glob("prepared/*/fingerprint.json")
            prepared = json.loads(file.read_text(encoding="utf-8"))
            speeds[name].append(prepared["count"] / prepared["seconds"])
    for name, values in speeds.items():
        how = f"medseg prepare, median of {repeats}, without the start of Python"
        yield Figure(f"prepare, {name}", statistics.median(values), "images/s", how)


def watched(words: Sequence[str], temporary: Path, file: Path, steps: int) -> list[str]:
    """Return the overrides of a training of two epochs under the eyes of `TrainingWatch`."""
    return [
        *words,
        f"data_dir={quoted(temporary / 'data')}",
        f"runs_dir={quoted(file.parent / 'runs')}",
        "logger=csv",
        "trainer.max_epochs=2",
        f"+trainer.limit_train_batches={steps}",
        "+callbacks.watch._target_=training_watch.TrainingWatch",
        f"+callbacks.watch.file={quoted(file)}",
    ]


def measure_training(words: Sequence[str], temporary: Path, steps: int) -> Iterator[Figure]:
    """Run a short `medseg train` on the prepared data."""
    file = temporary / "watched.json"
    began = time.time()
    run("train", *watched(words, temporary, file, steps))
    (status,) = temporary.glob("runs/main/*/status.json")  # written last
    return training_figures(json.loads(file.read_text(encoding="utf-8")), began, status.stat().st_mtime)


def training_figures(noted: Mapping[str, Any], began: float, ended: float) -> Iterator[Figure]:
    """Return the figures of a training: what `TrainingWatch` noted, and the Unix times of command and last file."""
    validation, test = noted["validation"], noted["test"]

    def beyond(part: Mapping[str, float]) -> float:
        return 1000 * (part["seconds"] - part["network_seconds"]) / part["images"]

    waiting = 100 * noted["waiting_seconds"] / noted["epoch_seconds"]
    speed = noted["loader_images"] / noted["loader_seconds"]
    network = 1000 * validation["network_seconds"] / validation["images"]
    yield Figure("first training step", noted["first_step"] - began, "s", "medseg train on prepared data, from command")
    yield Figure("loader alone", speed, "images/s", "of training, in its process, no network")
    yield Figure("waiting for data", waiting, "%", "of the second epoch's training steps")
    yield Figure("network in validation", network, "ms/image", "second epoch")
    yield Figure("validation beyond the network", beyond(validation), "ms/image", "second epoch; data and scores")
    yield Figure("test beyond the network", beyond(test), "ms/image", "data, scores and distances")
    yield Figure("after the test", ended - noted["test_ended"], "s", "tables, predictions, pictures")


def measure_sharing(words: Sequence[str], temporary: Path, steps: int, jobs: Sequence[int]) -> Iterator[Figure]:
    """Train several times at once, for each number of trainings; a number that is too much for the device is printed.

    Trainings have different seeds and wait for each other before the second epoch, whose steps are timed.
    """
    for count in jobs:
        each = max(1, len(cores()) // count)
        folder = temporary / f"{count} at once"
        folder.mkdir()
        files = [folder / f"watched{seed}.json" for seed in range(count)]
        barrier = (f"+callbacks.watch.barrier={quoted(folder)}", f"+callbacks.watch.count={count}")
        with ThreadPoolExecutor(count) as threads:
            trainings = []
            for seed, file in enumerate(files):
                share = [cores()[(seed * each + core) % len(cores())] for core in range(each)]
                training = [*watched(words, temporary, file, steps), f"seed={seed}", *barrier]
                trainings.append(threads.submit(run, "train", *training, cores=share))
            wait(trainings, return_when=FIRST_EXCEPTION)
            (folder / "over").touch()  # whoever waits for one that failed would wait for ever
        if failed := [str(error) for error in (training.exception() for training in trainings) if error]:
            print(f"{count} trainings at once: {failed[0]}")
            continue
        noted = [json.loads(file.read_text(encoding="utf-8")) for file in files]
        speed = sum(one["epoch_images"] / one["epoch_seconds"] for one in noted)
        yield Figure(f"trainings at once: {count}", speed, "images/s", "medseg train, all in the second epoch")


def measure_report(runs: Path, temporary: Path) -> Iterator[Figure]:
    """Time `medseg report` of the runs in a folder."""
    seconds = run("report", str(runs), f"output={quoted(temporary / 'report')}")
    yield Figure("report", seconds, "s", f"medseg report of {len(list(runs.rglob('status.json')))} runs")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print, and write the CSV file where one is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("overrides", nargs="*", help="model, data, augmentation and trainer, as for medseg train")
    parser.add_argument("--repeats", type=int, default=3, help="times that the data are prepared")
    parser.add_argument("--steps", type=int, default=40, help="training steps of an epoch at most")
    parser.add_argument("--jobs", type=int, nargs="+", default=[], help="numbers of trainings at the same time")
    parser.add_argument("--no-start", action="store_true", help="leave out the start of every command")
    parser.add_argument("--report", type=Path, help="run or experiment folder whose report is timed")
    parser.add_argument("--csv", type=Path, help="file for the figures")
    options = parser.parse_intermixed_args(arguments)
    words = ["model=unext_s", *options.overrides]  # of two, the last counts
    of_data = [word for word in words if word.lstrip("+~").startswith("data")]
    figures: list[Figure] = []
    earlier: list[list[str]] = []  # of a file that is there: what is not measured again stays
    if options.csv is not None and options.csv.exists():
        with options.csv.open(encoding="utf-8", newline="") as file:
            earlier = list(csv.reader(file))[1:]
    with tempfile.TemporaryDirectory(prefix="medseg-") as name:
        temporary = Path(name)
        parts = [
            [] if options.no_start else measure_start(),
            measure_prepare(of_data, temporary, options.repeats),
            measure_training(words, temporary, options.steps),
            measure_sharing(words, temporary, options.steps, options.jobs),
            [] if options.report is None else measure_report(options.report, temporary),
        ]
        for figure in itertools.chain.from_iterable(parts):
            print(f"{figure.figure:32} {figure.value:10.4g} {figure.unit:9} {figure.how}", flush=True)
            figures.append(figure)
            if options.csv is not None:  # each as soon as it is there: what comes after may take too long
                rows = [*(row for row in earlier if row[0] not in {one.figure for one in figures}), *figures]
                with options.csv.open("w", encoding="utf-8", newline="") as file:
                    csv.writer(file, lineterminator="\n").writerows([Figure._fields, *rows])


if __name__ == "__main__":
    try:
        main()
    except RuntimeError as error:
        sys.exit(f"error: {error}")
