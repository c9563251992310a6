"""The table of a benchmark, for people."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from medseg.benchmarking.setting import Setting
from medseg.reporting.render.table import Column, Table
from medseg.reporting.render.text import as_text


def write_table(settings: Sequence[Setting], benchmarks: Mapping[int, Mapping[str, Any]]) -> str:
    """Write one row for each network, those that failed included, and above it what they were measured with.

    Args:
        settings: the networks.
        benchmarks: what `medseg.benchmarking.results.describe` returned, by index of `settings`; none of those that
            failed.
    """
    records = [(setting, benchmarks.get(number)) for number, setting in enumerate(settings)]
    lines = heading(next(iter(benchmarks.values()))) if benchmarks else []
    return "\n".join([*lines, as_text(Table("benchmarks", "", COLUMNS, records))])


Record = tuple[Setting, Mapping[str, Any] | None]
"""A network and its benchmark; None where that failed."""


def value_of(*keys: str) -> Callable[[Record], Any]:
    """Return what looks up a value of a benchmark."""

    def value(record: Record) -> Any:
        content: Any = record[1]
        for key in keys if content is not None else ():
            content = content[key]
        return content

    return value


def write_spread(speed: Mapping[str, float]) -> str:
    """Write a median and its range."""
    return f"{three_digits(speed['median'])} ({three_digits(speed['min'])} to {three_digits(speed['max'])})"


def three_digits(number: float) -> str:
    """Write a positive number with three digits or more: 0.123, 1.23, 12.3, 123, 1,234."""
    decimals = 3 if number < 1 else 2 if number < 10 else 1 if number < 100 else 0
    return f"{number:,.{decimals}f}"


def column(key: str, title: str, keys: tuple[str, ...], write: Callable[[Any], str] = three_digits) -> Column[Record]:
    """Return a column of numbers."""
    return Column(key, title, value_of(*keys), write, number=True)


COLUMNS: Sequence[Column[Record]] = (
    Column("network", "network", lambda r: r[0].title if r[1] is not None else f"{r[0].title}: failed"),
    column("parameters", "parameters", ("parameters",), "{:,}".format),
    column("macs", "MACs (G)", ("macs",), lambda number: f"{number / 1e9:.3f}"),
    column("train", "training (images/s)", ("train_images_per_second",), write_spread),
    column("inference", "inference (images/s)", ("inference_images_per_second",), write_spread),
    column("p50", "latency p50 (ms)", ("latency_ms", "p50")),
    column("p95", "p95", ("latency_ms", "p95")),
    column("train_memory", "memory, training (MiB)", ("peak_memory_mib", "train"), "{:,.0f}".format),
    column("inference_memory", "inference", ("peak_memory_mib", "inference"), "{:,.0f}".format),
)


def heading(benchmark: Mapping[str, Any]) -> list[str]:
    """Write what all networks of a command were measured with."""
    device = benchmark["device"]
    threads = f", {device['threads']} threads" if device["type"] == "cpu" else ""
    height, width = benchmark["image_size"]
    chosen = [
        benchmark["precision"],
        *(name for name in ("channels_last", "compile", "activation_checkpointing") if benchmark[name]),
    ]
    versions = benchmark["environment"]["packages"]
    inference = benchmark["inference_batch_size"]
    others = f" ({inference} in inference)" if inference != benchmark["batch_size"] else ""
    memory = "of the device" if device["type"] == "cuda" else "of the process, Python and PyTorch left out"
    return [
        f"{device['name']}{threads}; {', '.join(chosen)}; torch {versions['torch']}",
        f"batches of {benchmark['batch_size']}{others} images of {height} x {width}; latency of one image; "
        f"{benchmark['loss']}, {benchmark['optimizer']}",
        f"median (minimum to maximum) of {benchmark['repeats']} repeats; memory: the peak {memory}",
        "",
    ]
