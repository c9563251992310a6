"""Measure several networks in turn."""

from __future__ import annotations

import logging
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from medseg.benchmarking.setting import Setting
from medseg.benchmarking.worker import Worker
from medseg.errors import UserError

log = logging.getLogger(__name__)

Failures = dict[int, str]
"""Why networks could not be measured, by their place among the settings."""


def measure(
    settings: Sequence[Setting], *, repeats: int, seconds: float, thorough: bool = False
) -> tuple[dict[int, dict[str, Any]], Failures]:
    """Measure networks, and return what was measured and what failed, by place in `settings`.

    After the warm-up of all of them there are `repeats` rounds; in a round, each network is measured once, in every
    second round in reverse order. What slows the machine down for a while hits all of them alike.

    Args:
        settings: the networks.
        repeats: number of rounds.
        seconds: how long one measurement takes, roughly; a round has three for each network.
        thorough: measure the machine's limits as well, before and after the rounds, and afterwards where the time of a
            training step goes.
    """
    limits = measure_limits(settings[0], seconds) if thorough else []
    measured: dict[int, dict[str, Any]] = {}
    failed: Failures = {}
    speeds: dict[int, list[dict[str, Any]]] = {place: [] for place in range(len(settings))}
    workers: dict[int, Worker] = {}

    def drop(place: int, error: UserError) -> None:
        failed[place] = str(error)
        log.error("%s: %s", settings[place].title, error)
        workers.pop(place).close()

    try:
        for place, setting in enumerate(settings):
            log.info("warming up %s", setting.title)
            workers[place] = Worker(setting, seconds)
            try:
                memory = workers[place].ask("peak_memory")
                measured[place] = {"peak_memory_mib": memory, **workers[place].ask("facts")}
                workers[place].ask("warm_up")
                measured[place]["first_call_seconds"] = workers[place].ask("first_calls")
            except UserError as error:
                drop(place, error)
        for number in range(repeats):
            log.info("round %d of %d", number + 1, repeats)
            order = list(workers)
            for place in order if number % 2 == 0 else reversed(order):
                try:
                    speeds[place].append(workers[place].ask("speed"))
                except UserError as error:
                    drop(place, error)
        limits += measure_limits(settings[0], seconds) if thorough else []
        for place in list(workers):
            try:
                measured[place] |= {**summarise(speeds[place]), **workers[place].ask("cost")}
                measured[place]["limits"] = best(limits)
                measured[place] |= workers[place].ask("profile") if thorough else {}
            except UserError as error:
                drop(place, error)
    finally:
        for worker in workers.values():
            worker.close()
    return {place: found for place, found in measured.items() if place not in failed}, failed


def measure_limits(setting: Setting, seconds: float) -> list[dict[str, float]]:
    """Measure the limits of a setting's device, in a process that ends with it; an empty list where that fails."""
    log.info("measuring the limits of the machine")
    worker = Worker(setting, seconds, "limits")
    try:
        return [worker.ask("limits")]
    except UserError as error:
        log.error("the limits of the machine: %s", error)
        return []
    finally:
        worker.close()


def best(measured: Sequence[Mapping[str, float]]) -> dict[str, float] | None:
    """Return the highest of several measurements: what slowed the machine down for a while is no limit of it."""
    return {name: max(found[name] for found in measured) for name in measured[0]} if measured else None


def summarise(rounds: Sequence[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Return what the rounds of one network come to: medians and ranges over them, percentiles over all single images.

    Args:
        rounds: what `Subject.speed` returned in each.
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
