"""The tables of a comparison of variants, for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from medseg.benchmarking.figures import derive
from medseg.benchmarking.setting import Setting
from medseg.benchmarking.show import heading, show_spread, three_digits
from medseg.benchmarking.variants import reference
from medseg.reporting.render.table import Column, Table
from medseg.reporting.render.text import as_text

Benchmarks = Mapping[int, Mapping[str, Any]]
"""What `medseg.benchmarking.files.describe` returned, by place among the settings."""

FIGURES = {
    "train_images_per_second": "training (images/s)",
    "inference_images_per_second": "inference (images/s)",
    "latency_p50_ms": "latency p50 (ms)",
    "latency_p95_ms": "latency p95 (ms)",
    "train_step_ms": "training step (ms)",
    "train_memory_mib": "memory, training (MiB)",
    "inference_memory_mib": "memory, inference (MiB)",
    "first_train_seconds": "first training step (s)",
    "first_inference_seconds": "first inference step (s)",
    "train_flops_per_second": "training, GFLOP/s",
    "inference_flops_per_second": "inference, GFLOP/s",
    "train_bytes_per_second": "training, GB/s",
}
"""What the tables show of the figures, under which title."""

RATE, OF_LIMIT = "_per_second", "_of_limit"
"""How the names of a rate and of its part of the machine's limit end."""


def write_comparison(settings: Sequence[Setting], benchmarks: Benchmarks, failed: Mapping[int, str]) -> str:
    """Write for each network what was measured in each variant and how the variants compare; then where the time goes.

    Args:
        settings: the networks in their variants.
        benchmarks: what was measured of them.
        failed: why others could not be measured.
    """
    parts = opening(settings, benchmarks) if benchmarks else []
    for places in by_network(settings):
        if any(place in benchmarks for place in places):
            parts.append(write_network(settings, benchmarks, places))
        parts += [f"{settings[place].title}: failed" for place in places if place in failed]
        parts.append("")
    if benchmarks:
        parts.append(where_time_goes(settings, benchmarks))
    return "\n".join(parts)


def by_network(settings: Sequence[Setting]) -> list[list[int]]:
    """Return the places of the settings, those of one network together."""
    found: dict[str, list[int]] = {}
    for place, setting in enumerate(settings):
        found.setdefault(setting.network, []).append(place)
    return list(found.values())


def write_network(settings: Sequence[Setting], benchmarks: Benchmarks, places: Sequence[int]) -> str:
    """Write the table of a network: a row for each figure, its value in each variant and the ratios of these."""
    there = {settings[place].variant or "": benchmarks[place] for place in places if place in benchmarks}
    derived = {name: derive(benchmark) for name, benchmark in there.items()}
    base = reference(list(there))

    def figure(name: str) -> Column[str]:
        return Column(name, name, lambda key: show(key, there[name], derived[name]), number=True)

    def factor(name: str) -> Column[str]:
        title = f"{name} / {base}"
        return Column(title, title, lambda key: ratio(derived[name][key], derived[base][key]), number=True)

    first = Column[str]("figure", settings[places[0]].network, lambda key: FIGURES[key])
    columns = [first, *map(figure, there), *(factor(name) for name in there if name != base)]
    return as_text(Table("comparison", "", columns, list(FIGURES)))


def show(key: str, benchmark: Mapping[str, Any], derived: Mapping[str, float | None]) -> str | None:
    """Write a figure: one measured in rounds with its range, a rate in billions with its part of the limit."""
    value = derived[key]
    if value is None:
        return None
    if key in benchmark:
        return show_spread(benchmark[key])
    if not key.endswith(RATE):
        return three_digits(value)
    part = derived[key.removesuffix(RATE) + OF_LIMIT]
    return three_digits(value / 1e9) if part is None else f"{three_digits(value / 1e9)} ({part:.0%})"


def ratio(value: float | None, base: float | None) -> str | None:
    """Write how many times `base` a value is."""
    return f"x {three_digits(value / base)}" if value is not None and base else None


def opening(settings: Sequence[Setting], benchmarks: Benchmarks) -> list[str]:
    """Say in lines what was measured with what, by variant, and what the machine can do."""
    first = next(iter(benchmarks.values()))
    lines = heading(first, options=False)[:-1]
    described = {settings[place].variant: describe(settings[place], found) for place, found in benchmarks.items()}
    lines += [f"{name}: {text}" for name, text in described.items()]
    if first["limits"]:
        teraflops = {name: first["limits"][f"{name}_flops_per_second"] / 1e12 for name in ("float32", "bf16")}
        products = ", ".join(f"{three_digits(value)} TFLOP/s in {name}" for name, value in teraflops.items())
        copied = three_digits(first["limits"]["copy_bytes_per_second"] / 1e9)
        lines.append(f"limits measured: products of matrices {products}; copy {copied} GB/s, read and written")
        lines.append("GFLOP/s: 6 x MACs x images/s in training, 2 x in inference; GB/s: what the operators move")
    return [*lines, ""]


def describe(setting: Setting, benchmark: Mapping[str, Any]) -> str:
    """Say what a variant is, in words."""
    operations = "released operations" if setting.released_operations else "medseg's operations"
    return ", ".join(
        [
            operations,
            *(["accelerated"] if setting.acceleration else []),
            benchmark["precision"],
            "channels_last" if setting.channels_last else "N x C x H x W",
            "compiled" if setting.compile else "eager",
            "freed memory kept" if setting.keeps_memory else "default allocator",
        ]
    )


def where_time_goes(settings: Sequence[Setting], benchmarks: Benchmarks) -> str:
    """Write the biggest operators of each training step, with their shares of its time."""
    columns: Sequence[Column[int]] = (
        Column("network", "network", lambda place: settings[place].network),
        Column("variant", "variant", lambda place: settings[place].variant),
        Column("operators", "biggest operators of a training step", lambda place: operators(benchmarks[place])),
    )
    places = [place for places in by_network(settings) for place in places if place in benchmarks]
    return as_text(Table("operators", "", columns, places))


def operators(benchmark: Mapping[str, Any]) -> tuple[str, ...]:
    """Write operators with their shares."""
    return tuple(f"{operator['share']:4.0%} {operator['name']}" for operator in benchmark["operators"] or ())
