"""Measure a GPU in minutes: networks, loading, trainings that share it; then train two experiments as far as time goes.

    python -m experiments.performance.gpu RESULTS --source ~/Downloads --minutes 9
    python -m experiments.performance.gpu RESULTS --dry-run --minutes 5              # the same in small, on the CPU

RESULTS gets at most eight files of at most 16 MiB: `networks.csv`, `program.csv`, `loading.csv`, `parts.csv` (what is
done, what ran out of time, what failed and why), and the finished runs without checkpoints, in up to two archives for
each experiment. Each figure is written when it is measured, each part ends by itself or at its limit, and all of it
before `--minutes` are over. The same command goes on: parts that are done, networks that are measured and runs that are
finished are not repeated; the runs are taken from the archives, so RESULTS can come from another machine.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from experiments.performance.run_archives import pack, unpack
from medseg.benchmarking.results import merge_rows
from medseg.system.process import available_cores

FOLDER = Path(__file__).resolve().parent

NETWORKS = (
    "convunext", "amsunet", "unet", "attention_unet_32", "unetpp", "resunet_32", "cmunext", "cmunext_s", "cmunext_l",
    "unext", "unext_s", "unext_l", "segnext_t", "segnext_s", "segnext_b", "segnext_l", "attention_unet", "resunet",
    "unet2015", "mkunet", "mkunet_t", "mkunet_s", "mkunet_m", "mkunet_l", "tinyunet", "egeunet", "dcsaunet",
)  # fmt: skip
"""Those of the papers first: what comes last is measured where time is left."""

EXPERIMENTS = ("lightweight", "convunext")
"""Whose `comparison` is trained, in this order."""

SEEDS = (0, 1, 2)

TO_PACK = 0.08
"""Share of the time that is kept for packing the results."""

TO_STOP = 15.0
"""Seconds that a part has to end when its time is over, before it is killed."""


class Part(NamedTuple):
    """Something that is done in separate processes.

    name: in `parts.csv`.
    commands: run beside each other.
    share: of the whole time, which it may take at most; None for all that is left.
    """

    name: str
    commands: Sequence[Sequence[str]]
    share: float | None


def script(name: str, *words: str) -> list[str]:
    """Return the command of a script in this folder."""
    return [sys.executable, "-m", f"experiments.performance.{name}", *words]


def parts_of(options: argparse.Namespace, work: Path) -> list[Part]:
    """Return the parts in their order."""
    small, results = options.dry_run, options.results
    device = "cpu" if small else "gpu"
    source = [] if options.source is None else [f"data.source='{options.source.expanduser().resolve()}'"]
    first = ["data=synthetic", "data.dataset.count=20"] if small else [f"data={options.data[0]}", *source]
    where = [f"data_dir='{work / 'data'}'"]
    networks = ["unet model.base_channels=4"] if small else NETWORKS
    size = ["image_size=32", "batch_size=2", "seconds=0.01"] if small else ["image_size=256", "batch_size=16"]
    size += [] if small else ["inference_batch_size=64", "seconds=0.3"]
    measured = [*size, f"trainer={device}", f"csv='{results / 'networks.csv'}'", "--networks", *networks]
    image = ["data.image_size=64" if small else "data.image_size=256"]
    jobs, steps = (["2"], "2") if small else (["1", "2", "4", "8"], "40")
    program = [
        "model=unext_s",
        *first,
        *image,
        f"trainer={device}",
        "data.batch_size=4" if small else "data.batch_size=16",
    ]
    program += [
        "--no-start",
        "--repeats",
        "1",
        "--steps",
        steps,
        "--jobs",
        *jobs,
        "--csv",
        str(results / "program.csv"),
    ]
    counts = ["0", "1"] if small else ["0", "1", "2", "4", "8", str(available_cores())]
    loading = [*first, *where, *image, "data.batch_size=16", "--seconds", "0" if small else "3"]
    loading += ["--csv", str(results / "loading.csv"), "--workers"]
    parts = [
        Part("networks", [script("networks", *measured)], 0.3),
        Part("compiled networks", [] if small else [script("networks", *measured, "--compile")], 0.15),
        Part("loading", [script("loading", *loading, *counts)], 0.1),
        Part("loading on the device", [script("loading", "augmentation=on_device", *loading, "0")], 0.05),
        Part("trainings at once", [script("program", *program)], 0.3 if small else 0.2),
    ]
    for number, experiment in enumerate(EXPERIMENTS):
        # A sweep for each seed, so that several trainings share the device; their folders are read as one experiment.
        sweeps = []
        for seed in SEEDS[:1] if small else SEEDS:
            words = [f"+experiments={experiment}/comparison", f"seed={seed}", f"trainer={device}", "logger=csv", *where]
            words += [f"runs_dir='{work / 'runs' / experiment / f'seed{seed}'}'"]
            words += [*first, "model=unext_s", "budget=smoke"] if small else [f"data={','.join(options.data)}", *source]
            words += [] if small else [*image, f"data.num_workers={max(1, available_cores() // len(SEEDS))}"]
            sweeps.append([sys.executable, "-m", "medseg", "train", "-m", *words])
        parts.append(Part(experiment, sweeps, None if number else 0.5 if small else 0.4))
    return [part for part in parts if part.commands]


def run_part(part: Part, seconds: float, log: Path) -> tuple[str, str]:
    """Run the commands of a part; return its state (done, out of time, failed) and why."""
    processes = []
    with log.open("ab") as stream:
        # A session for each: the limit ends its whole tree.
        options = {"cwd": FOLDER.parents[1], "stderr": subprocess.STDOUT, "start_new_session": True}
        processes = [subprocess.Popen(command, stdout=stream, **options) for command in part.commands]
    ended = False
    try:
        ended = wait(processes, seconds)
    finally:
        if not ended:
            stop(processes)
    if not ended:
        return "out of time", f"after {seconds:.0f} s"
    if any(process.returncode for process in processes):
        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return "failed", lines[-1] if lines else "without a word"
    return "done", ""


def stop(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    """End processes with all that they started; a sweep has some seconds to end its jobs."""
    for kind in (signal.SIGTERM, signal.SIGKILL):
        for process in processes:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, kind)
        wait(processes, TO_STOP)


def wait(processes: Sequence[subprocess.Popen[bytes]], seconds: float) -> bool:
    """Wait until all processes have ended; return whether they did in time."""
    end = time.monotonic() + seconds
    try:
        for process in processes:
            process.wait(timeout=max(0.0, end - time.monotonic()))
    except subprocess.TimeoutExpired:
        return False
    return True


def note(file: Path, part: str, state: str, why: str, seconds: float) -> None:
    """Write what became of a part."""
    print(f"{part}: {state}, {seconds:.0f} s {why}", flush=True)
    merge_rows(file, [{"variant": part, "state": state, "seconds": seconds, "why": why}])


def done(file: Path) -> set[str]:
    """Return the parts that need not be repeated."""
    lines = [] if not file.exists() else file.read_text(encoding="utf-8").splitlines()
    return {name for name, state, *_ in (line.split(",") for line in lines[1:]) if state == "done"}


def main(arguments: Sequence[str] | None = None) -> None:
    """Do all parts that are not done, and pack the results."""
    began = time.monotonic()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, help="folder of the results, of an earlier call to go on")
    parser.add_argument("--source", type=Path, help="folder of the archives of the datasets")
    parser.add_argument("--data", nargs="+", default=["kvasir", "isic", "dsb"], help="datasets of the experiments")
    parser.add_argument("--minutes", type=float, default=9.0, help="that all of it may take")
    parser.add_argument("--work", type=Path, help="folder for data and runs; a temporary one is removed at the end")
    parser.add_argument("--dry-run", action="store_true", help="in small, on the CPU, with drawn images")
    options = parser.parse_args(arguments)
    options.results = options.results.resolve()
    options.results.mkdir(parents=True, exist_ok=True)
    work = (options.work or Path(tempfile.mkdtemp(prefix="medseg-gpu-"))).resolve()
    work.mkdir(parents=True, exist_ok=True)
    whole, notes = 60 * options.minutes, options.results / "parts.csv"
    try:
        for experiment in EXPERIMENTS:
            unpack(options.results, experiment, work / "runs" / experiment)
        finished = done(notes)
        for part in parts_of(options, work):
            left = whole * (1 - TO_PACK) - (time.monotonic() - began) - TO_STOP
            if part.name in finished or left < 1:
                continue
            started = time.monotonic()
            limit = left if part.share is None else min(left, part.share * whole)
            state, why = run_part(part, limit, work / f"{part.name}.log")
            note(notes, part.name, state, why, time.monotonic() - started)
            if part.name in EXPERIMENTS:
                left_out = pack(work / "runs" / part.name, options.results, part.name)
                if left_out:
                    note(notes, f"{part.name}, packed", f"{left_out} runs left out", "no room", 0.0)
    finally:
        if options.work is None:
            shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a time limit's: what is running ends with this process
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("interrupted: the same command goes on")
