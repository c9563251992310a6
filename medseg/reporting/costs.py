"""What a row of a table costs: what its runs have recorded, and what `medseg benchmark` measured."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medseg.errors import UserError
from medseg.runs.packed.archive import with_files
from medseg.runs.run import Run
from medseg.runs.schema import Schema, check, is_size
from medseg.system.files import read_json

log = logging.getLogger("medseg")

Size = tuple[int, int]


@dataclass(frozen=True)
class Costs:
    """Costs of a network; None where it was not measured.

    Args:
        parameters: of the network.
        training_seconds: of all epochs, mean over the finished runs.
        size: (height, width) of the images that the following were measured with.
        macs: multiply-accumulates for one image, as the benchmark or the training counted them.
        latency_ms: of one image, median.
        memory_mib: the most that training takes.
        measured_on: device, precision and batch, in words.
    """

    parameters: int | None = None
    training_seconds: float | None = None
    size: Size | None = None
    macs: int | None = None
    latency_ms: float | None = None
    memory_mib: float | None = None
    measured_on: str = ""


Benchmarks = Mapping[Path, Mapping[Path, dict[str, Any]]]
"""Experiment -> file -> content."""


def costs_of(runs: Sequence[Run], measured: Benchmarks, size: Size | None = None) -> Costs:
    """Return the costs of the runs of a row; `measured`: the benchmarks of their experiments.

    Of several benchmarks of the network, the one at `size` counts; without that, at the size of a run's test images;
    without that, the newest. With a `size`, one at another size does not count.
    """
    finished = [run for run in runs if run.finished]
    seconds = [run.training_seconds for run in finished if run.training_seconds is not None]
    parameters = next((run.parameters for run in finished if run.parameters is not None), None)
    training = sum(seconds) / len(seconds) if seconds else None
    wanted = [size] if size else list(dict.fromkeys(filter(None, map(size_of, finished))))
    matching = [one for one in benchmarks(runs, measured) if size is None or size_in(one) == size]
    counted = next((run for run in finished if run.summary.get("macs") and size_of(run) in (size, *wanted[:1])), None)
    macs = counted.summary["macs"] if counted else None
    if not matching:
        return Costs(parameters, training, size_of(counted) if counted else None, macs)
    # Of the same standing, the last: the newest.
    best = min(reversed(matching), key=lambda benchmark: size_in(benchmark) not in wanted)
    return Costs(
        parameters=parameters if parameters is not None else best.get("parameters"),
        training_seconds=training,
        size=size_in(best),
        macs=best.get("macs") or (macs if counted and size_of(counted) == size_in(best) else None),
        latency_ms=(best.get("latency_ms") or {}).get("p50"),
        memory_mib=(best.get("peak_memory_mib") or {}).get("train"),
        measured_on=f"{best['device']['name']}, {best['precision']}, batch {best['batch_size']}",
    )


def size_of(run: Run) -> Size | None:
    """Return the (height, width) of a run's test images."""
    size = run.summary.get("evaluation_size")
    return (size[0], size[1]) if size else None


def size_in(benchmark: dict[str, Any]) -> Size:
    """Return the (height, width) that a benchmark measured with."""
    return (benchmark["image_size"][0], benchmark["image_size"][1])


def benchmarks(runs: Sequence[Run], measured: Benchmarks) -> list[dict[str, Any]]:
    """Return the benchmarks of the network of some runs, the newest last."""
    of_network: dict[Path, dict[str, Any]] = {}
    for experiment in dict.fromkeys(run.folder.parent for run in runs):
        files = measured.get(experiment)
        if files:
            # The network is the same but for the channels and classes of each dataset.
            one_each = {run.data: run for run in runs if run.folder.parent == experiment and run.finished}
            networks = [run.config.get("model") for run in one_each.values()]
            of_network |= {file: content for file, content in files.items() if content["arguments"] in networks}
    order = sorted(of_network, key=lambda file: (of_network[file]["measured"], file.name, str(file)))
    return [of_network[file] for file in order]


def read_benchmarks(runs: Sequence[Run]) -> Benchmarks:
    """Read the benchmarks in the experiments of some runs; a damaged one is logged."""
    measured: dict[Path, dict[Path, dict[str, Any]]] = {run.folder.parent: {} for run in runs}
    for experiment, sound in measured.items():
        for file in sorted((experiment / "benchmarks").glob("*.json")):
            try:
                content = read_json(file)
                if content.keys() >= NEEDED:  # else it is of whole commands, not of a network
                    sound[file] = check(content, BENCHMARK, file)
            except UserError as error:
                log.warning("%s", with_files(str(error)))
    return measured


NEEDED = {"arguments", "image_size", "device", "precision", "batch_size", "measured"}

BENCHMARK: Schema = {
    "arguments": dict,
    "image_size": is_size,
    "device": {"name": str},
    "precision": str,
    "batch_size": int,
    "measured": str,
    "macs": (int, None),
    "parameters": (int, None),
    "latency_ms": ({"p50": (float, None)}, None),
    "peak_memory_mib": ({"train": (float, None)}, None),
}
