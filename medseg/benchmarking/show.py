"""The table of a benchmark, for people."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from medseg.benchmarking.setting import Setting
from medseg.reporting.render.table import Column, Table
from medseg.reporting.render.text import as_text


def write_benchmarks(
    settings: Sequence[Setting], benchmarks: Mapping[int, Mapping[str, Any]], failed: Mapping[int, str]
) -> str:
    """Write one row for each network, those that failed included, and above it what they were measured with.

    Args:
        settings: the networks.
        benchmarks: what `medseg.benchmarking.files.describe` returned, by place in `settings`.
        failed: why others could not be measured.
    """
    records = [(setting, None if place in failed else benchmarks[place]) for place, setting in enumerate(settings)]
    opening = heading(next(iter(benchmarks.values()))) if benchmarks else []
    return "\n".join([*opening, as_text(Table("benchmarks", "", COLUMNS, records))])


Measured = tuple[Setting, Mapping[str, Any] | None]
"""A network and its benchmark; None where that failed."""


def at(*keys: str) -> Callable[[Measured], Any]:
    """Return what looks up a value of a benchmark."""

    def value(record: Measured) -> Any:
        found: Any = record[1]
        for key in keys if found is not None else ():
            found = found[key]
        return found

    return value


COLUMNS: Sequence[Column[Measured]] = (
    Column("network", "network", lambda r: r[0].title if r[1] is not None else f"{r[0].title}: failed"),
    Column("parameters", "parameters", at("parameters"), "{:,}".format, number=True),
    Column("macs", "MACs (G)", at("macs"), lambda number: f"{number / 1e9:.3f}", number=True),
    Column("train", "training (images/s)", at("train_images_per_second"), lambda s: show_spread(s), number=True),
    Column(
        "inference", "inference (images/s)", at("inference_images_per_second"), lambda s: show_spread(s), number=True
    ),
    Column("p50", "latency p50 (ms)", at("latency_ms", "p50"), lambda n: three_digits(n), number=True),
    Column("p95", "p95", at("latency_ms", "p95"), lambda n: three_digits(n), number=True),
    Column("train_memory", "memory, training (MiB)", at("peak_memory_mib", "train"), "{:,.0f}".format, number=True),
    Column("inference_memory", "inference", at("peak_memory_mib", "inference"), "{:,.0f}".format, number=True),
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
