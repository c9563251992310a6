"""The CSV files of a benchmark: figures by network and variant, and where the time goes."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from medseg.benchmarking.figures import derive

NOISE = r"\((R|TM)\)|\b(CPU|Processor|GPU)\b|@.*"
"""What is left out of a processor's name in the name of a file."""

KEY = ("network", "variant", "precision", "channels_last", "compile", "in_channels", "num_classes", "loss", "optimizer")
"""The columns that tell the rows of a file apart."""


def file_name(benchmark: Mapping[str, Any]) -> str:
    """Name the file after device and setting: `cpu-intel-xeon-2threads-256x256-batch4.csv`."""
    device = benchmark["device"]
    name = re.sub(r"[^a-z0-9]+", "-", re.sub(NOISE, " ", device["name"], flags=re.IGNORECASE).lower()).strip("-")
    height, width = benchmark["image_size"]
    batch, inference = benchmark["batch_size"], benchmark["inference_batch_size"]
    parts = [
        "gpu" if device["type"] == "cuda" else device["type"],
        name or "unknown",
        *([f"{device['threads']}threads"] if device["type"] == "cpu" else []),
        f"{height}x{width}",
        f"batch{batch}",
        *([f"inference{inference}"] if inference != batch else []),
    ]
    return f"{'-'.join(parts)}.csv"


def write_csv_files(place: Path, benchmarks: Sequence[Mapping[str, Any]]) -> list[Path]:
    """Write benchmarks of one device and setting to a CSV file, their operators to another, and return both.

    `place` is a file whose name ends in .csv, or a folder in which the file has the name of `file_name`; the operators'
    has `-operators` at its end. Rows of other networks and variants that a file has already stay.
    """
    file = place if place.suffix == ".csv" else place / file_name(benchmarks[0])
    operators = file.with_name(f"{file.stem}-operators.csv")
    file.parent.mkdir(parents=True, exist_ok=True)
    merge(file, [row(benchmark) for benchmark in benchmarks], KEY)
    merge(operators, [each for benchmark in benchmarks for each in operator_rows(benchmark)], KEY)
    return [file, operators]


def row(benchmark: Mapping[str, Any]) -> dict[str, Any]:
    """Return the row of a benchmark."""
    height, width = benchmark["image_size"]
    device, environment = benchmark["device"], benchmark["environment"]
    limits = benchmark["limits"] or {}
    names = ("float32_flops_per_second", "bf16_flops_per_second", "copy_bytes_per_second")
    spreads = {
        f"{what}_images_per_second_{end}": benchmark[f"{what}_images_per_second"][end]
        for what in ("train", "inference")
        for end in ("min", "max")
    }
    return {
        **identity(benchmark),
        "parameters": benchmark["parameters"],
        "macs": benchmark["macs"],
        **{name: rounded(value) for name, value in {**derive(benchmark), **spreads}.items()},
        **{f"limit_{name}": rounded(limits.get(name)) for name in names},
        "device": device["name"],
        "threads": device["threads"],
        "height": height,
        "width": width,
        "batch_size": benchmark["batch_size"],
        "inference_batch_size": benchmark["inference_batch_size"],
        "repeats": benchmark["repeats"],
        "torch": environment["packages"]["torch"],
        "medseg": environment["medseg"],
        "commit": environment["git_commit"],
        "measured": benchmark["measured"],
    }


def operator_rows(benchmark: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return a row for each of the biggest operators of a benchmark's training step; `share` is 0 to 1."""
    return [
        {
            **identity(benchmark),
            "place": place,
            "operator": operator["name"],
            "share": rounded(operator["share"]),
            "measured": benchmark["measured"],
        }
        for place, operator in enumerate(benchmark["operators"] or [], start=1)
    ]


def identity(benchmark: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns of `KEY`."""
    return {name: benchmark[name] for name in KEY}


def merge(file: Path, rows: Sequence[Mapping[str, Any]], key: Sequence[str]) -> None:
    """Put rows in place of those of the same key in a CSV file, after the others."""
    new = [{name: "" if value is None else str(value) for name, value in row.items()} for row in rows]
    replaced = {tuple(each[name] for name in key) for each in new}
    old = list(csv.DictReader(file.read_text(encoding="utf-8").splitlines())) if file.exists() else []
    kept = [each for each in old if tuple(each.get(name, "") for name in key) not in replaced]
    stream = io.StringIO()
    columns = list(dict.fromkeys(name for each in [*new, *kept] for name in each))
    writer = csv.DictWriter(stream, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows([*kept, *new])
    file.write_text(stream.getvalue(), encoding="utf-8")


def rounded(value: float | None) -> float | str | None:
    """Return a number with four digits, which is more than it is worth."""
    return None if value is None else float(f"{value:.4g}")
