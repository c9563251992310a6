"""Measure several networks in turn."""

from __future__ import annotations

import logging
import statistics
from collections.abc import Sequence
from typing import Any

import numpy as np

from medseg.benchmarking.setting import Setting
from medseg.benchmarking.worker import Worker
from medseg.errors import UserError
from medseg.system.bf16 import may_depend_on_bf16, share_bf16_speedup

log = logging.getLogger(__name__)


def measure(
    settings: Sequence[Setting], *, repeats: int, seconds: float
) -> tuple[dict[int, dict[str, Any]], dict[int, str]]:
    """Measure networks; return the figures and the reasons of those that failed, both by index of `settings`.

    After the warm-up of all of them there are `repeats` rounds; in a round, each network is measured once, in every
    second round in reverse order. What slows the machine down for a while hits all of them alike.

    Args:
        settings: the networks.
        repeats: number of rounds.
        seconds: how long one measurement takes, roughly; a round has three for each network.
    """
    measured: dict[int, dict[str, Any]] = {}
    failed: dict[int, str] = {}
    speeds: dict[int, list[dict[str, Any]]] = {number: [] for number in range(len(settings))}
    workers: dict[int, Worker] = {}

    def drop(number: int, error: UserError) -> None:
        failed[number] = str(error)
        log.error("%s: %s", settings[number].title, error)
        workers.pop(number).close()
        measured.pop(number, None)

    if any(may_depend_on_bf16(setting.precision, setting.accelerator) for setting in settings):
        share_bf16_speedup()  # one choice for all networks
    try:
        for number, setting in enumerate(settings):
            log.info("warming up %s", setting.title)
            worker = workers[number] = Worker(setting, seconds)
            try:
                memory = worker.call("peak_memory")  # before anything else, which would raise the peak
                measured[number] = {"peak_memory_mib": memory, **worker.call("facts")}
                worker.call("warm_up")
                measured[number]["first_call_seconds"] = worker.call("first_calls")
            except UserError as error:
                drop(number, error)
        for repeat in range(repeats):
            log.info("round %d of %d", repeat + 1, repeats)
            order = list(workers)
            for number in order if repeat % 2 == 0 else reversed(order):
                try:
                    speeds[number].append(workers[number].call("speed"))
                except UserError as error:
                    drop(number, error)
        for number in list(workers):
            try:
                measured[number] |= {**summarise(speeds[number]), **workers[number].call("cost")}
            except UserError as error:
                drop(number, error)
    finally:
        for worker in workers.values():
            worker.close()
    return measured, failed


def summarise(rounds: Sequence[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Return what the rounds of one network come to: medians and ranges over them, percentiles over all single images.

    Args:
        rounds: what `NetworkBenchmark.speed` returned in each.
    """
    return {
        "train_images_per_second": spread([speed["train"] for speed in rounds]),
        "inference_images_per_second": spread([speed["inference"] for speed in rounds]),
        "latency_ms": percentiles([call for speed in rounds for call in speed["latency"]]),
    }


def spread(values: Sequence[float]) -> dict[str, float]:
    """Return median, minimum and maximum."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def percentiles(values: Sequence[float]) -> dict[str, float]:
    """Return the 50th and 95th percentile, minimum, maximum and number."""
    p50, p95 = np.percentile(values, [50, 95])
    return {"p50": float(p50), "p95": float(p95), "min": min(values), "max": max(values), "calls": len(values)}
