"""The table of a benchmark, for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from medseg.benchmarking.setting import Setting
from medseg.tables import Column, write_table


def write_benchmarks(
    settings: Sequence[Setting], benchmarks: Mapping[int, Mapping[str, Any]], failed: Mapping[int, str]
) -> str:
    """Write one row for each network, those that failed included, and above it what they were measured with.

    Args:
        settings: the networks.
        benchmarks: what `medseg.benchmarking.files.describe` returned, by place in `settings`.
        failed: why others could not be measured.
    """
    columns = [
        Column("network", "network"),
        Column("parameters", "parameters", "{:,}".format, number=True),
        Column("macs", "MACs (G)", lambda number: f"{number / 1e9:.3f}", number=True),
        Column("train", "training (images/s)", show_spread, number=True),
        Column("inference", "inference (images/s)", show_spread, number=True),
        Column("p50", "latency p50 (ms)", three_digits, number=True),
        Column("p95", "p95", three_digits, number=True),
        Column("train_memory", "memory, training (MiB)", "{:,.0f}".format, number=True),
        Column("inference_memory", "inference", "{:,.0f}".format, number=True),
    ]
    rows: list[list[Any]] = []
    for place, setting in enumerate(settings):
        if place in failed:
            rows.append([f"{setting.title}: failed", *[None] * (len(columns) - 1)])
            continue
        found = benchmarks[place]
        latency, memory = found["latency_ms"], found["peak_memory_mib"]
        rows.append(
            [
                setting.title,
                found["parameters"],
                found["macs"],
                found["train_images_per_second"],
                found["inference_images_per_second"],
                latency["p50"],
                latency["p95"],
                memory["train"],
                memory["inference"],
            ]
        )
    return "\n".join(
        [*(heading(next(iter(benchmarks.values()))) if benchmarks else []), write_table(columns, rows, "table")]
    )


def heading(benchmark: Mapping[str, Any], *, options: bool = True) -> list[str]:
    """Say in lines what all networks of a command were measured with; `options`: those that variants change too."""
    device = benchmark["device"]
    threads = f", {device['threads']} threads" if device["type"] == "cpu" else ""
    height, width = benchmark["image_size"]
    chosen = [benchmark["precision"], *(name for name in ("channels_last", "compile") if benchmark[name])]
    versions = benchmark["environment"]["packages"]
    inference = benchmark["inference_batch_size"]
    others = f" ({inference} in inference)" if inference != benchmark["batch_size"] else ""
    memory = "of the device" if device["type"] == "cuda" else "of the process, Python and PyTorch left out"
    return [
        f"{device['name']}{threads}; {', '.join(chosen) + '; ' if options else ''}torch {versions['torch']}",
        f"batches of {benchmark['batch_size']}{others} images of {height} x {width}; latency of one image; "
        f"{benchmark['loss']}, {benchmark['optimizer']}",
        f"median (minimum to maximum) of {benchmark['repeats']} repeats; memory: the peak {memory}",
        "",
    ]


def show_spread(speed: Mapping[str, float]) -> str:
    """Write a median and its range."""
    return f"{three_digits(speed['median'])} ({three_digits(speed['min'])} to {three_digits(speed['max'])})"


def three_digits(number: float) -> str:
    """Write a positive number with three digits or more: 0.123, 1.23, 12.3, 123, 1,234."""
    decimals = 3 if number < 1 else 2 if number < 10 else 1 if number < 100 else 0
    return f"{number:,.{decimals}f}"
