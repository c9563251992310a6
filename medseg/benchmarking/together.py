"""Several trainings that share a device: how many images they train on in all."""

from __future__ import annotations

import json
import os
import tempfile
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from pathlib import Path

from medseg.benchmarking.commands import Commands, can_pin, quoted, run


def measure_together(commands: Commands, place: Path, steps: int, count: int) -> float:
    """Return the images per second that trainings which run at the same time come to in all.

    Each is a `medseg train` of two epochs with a seed of its own, on its share of the cores. They wait for each other
    before the second epoch, whose training steps are timed; starting and evaluating are not in it.

    Args:
        commands: what is trained.
        place: a folder with prepared data in `data`.
        steps: training steps of an epoch at most.
        count: number of trainings.

    Raises `UserError` with the message of a training that fails; the others are ended then.
    """
    shares = share_cores(count)
    with tempfile.TemporaryDirectory(dir=place) as folder:
        meeting = Path(folder)
        with ThreadPoolExecutor(count) as threads:
            trainings = [
                threads.submit(run, "train", *words(commands, place, steps, meeting, seed, count), cores=shares[seed])
                for seed in range(count)
            ]
            try:
                ended, _ = wait(trainings, return_when=FIRST_EXCEPTION)
            finally:
                # Whoever waits for one that failed would wait for ever.
                (meeting / "over").touch()
            for training in ended:
                training.result()
        found = [json.loads((meeting / f"watched{seed}.json").read_text(encoding="utf-8")) for seed in range(count)]
    return float(sum(one["epoch_images"] / one["epoch_seconds"] for one in found))


def words(commands: Commands, place: Path, steps: int, meeting: Path, seed: int, count: int) -> list[str]:
    """Return the words of one of the trainings."""
    file = meeting / f"watched{seed}.json"
    return [
        *commands.watched(place / "data", runs=meeting / "runs", file=file, steps=steps),
        f"seed={seed}",
        f"+callbacks.watch.meeting={quoted(meeting)}",
        f"+callbacks.watch.count={count}",
    ]


def share_cores(count: int) -> list[list[int] | None]:
    """Return the cores of each of `count` processes: as many for all, and one for several where there are too few."""
    if not can_pin():
        return [None] * count
    cores = sorted(os.sched_getaffinity(0))
    each = max(1, len(cores) // count)
    return [[cores[(k * each + i) % len(cores)] for i in range(each)] for k in range(count)]
