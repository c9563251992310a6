"""The files of a benchmark: one in JSON for each network, which the report reads, and a table in CSV."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from medseg.benchmarking.setting import Setting
from medseg.errors import UserError
from medseg.runs.environment import describe_environment
from medseg.runs.naming import digest
from medseg.system.files import read_csv, replacing_text, write_json


def describe(setting: Setting, measured: Mapping[str, Any], repeats: int) -> dict[str, Any]:
    """Put together what is known of a benchmark, as plain values.

    model, overrides, arguments: the network, as in the `run.json` and the `config.yaml` of its runs; network: the same
    in a few words.
    in_channels, num_classes, image_size (height, width), batch_size, inference_batch_size, loss, optimizer, device
    (type, name, threads), precision, channels_last, compile, activation_checkpointing, repeats: what it was
    measured with.
    train_images_per_second, inference_images_per_second: median, min and max over the repeats.
    latency_ms: p50, p95, min and max over the calls with one image, and their number.
    first_call_seconds: of the first train and inference step and the first single image, see
    `NetworkBenchmark.first_calls`.
    peak_memory_mib: train and inference, see `medseg.benchmarking.memory`.
    parameters; macs: of one image.
    measured: when it ended, UTC. environment: versions and machine.
    """
    names = (
        "model", "network", "overrides", "arguments", "in_channels", "num_classes", "image_size", "batch_size",
        "inference_batch_size", "loss", "optimizer", "channels_last", "compile", "activation_checkpointing",
    )  # fmt: skip
    return {
        **{name: getattr(setting, name) for name in names},
        **measured,
        "repeats": repeats,
        "measured": datetime.now(UTC).isoformat(timespec="seconds"),
        "environment": describe_environment(),
    }


def write_file(folder: Path, benchmark: Mapping[str, Any]) -> Path:
    """Write a benchmark to its file in a folder and return that.

    The name is `<model>-<height>x<width>-<hash>.json`; the hash covers the network's arguments and what it was measured
    with, so the same benchmark again replaces its file, and another size or device has another one.
    """
    keys = (
        "arguments", "batch_size", "inference_batch_size", "loss", "optimizer", "device", "precision", "channels_last",
        "compile",
    )  # fmt: skip
    # Without this option, a benchmark has the file that it had before there was one.
    later = [name for name in ("activation_checkpointing",) if benchmark[name]]
    key = digest({name: benchmark[name] for name in (*keys, *later)})
    height, width = benchmark["image_size"]
    model = re.sub(r"[^A-Za-z0-9._-]+", "_", benchmark["model"])
    file = folder / f"{model}-{height}x{width}-{key}.json"
    write_json(file, benchmark)
    return file


def write_csv(path: Path, benchmarks: Sequence[Mapping[str, Any]]) -> Path:
    """Write benchmarks to a CSV file, replacing earlier ones of the same settings, and return the file.

    `path` is a file that ends in .csv, or a folder for `benchmarks.csv`.
    """
    file = csv_file(path)
    merge_rows(file, [csv_row(benchmark) for benchmark in benchmarks])
    return file


def csv_file(path: Path) -> Path:
    """Return the file that `write_csv` writes to."""
    return path if path.suffix == ".csv" else path / "benchmarks.csv"


KEY = (
    "network", "variant", "in_channels", "num_classes", "height", "width", "batch_size", "inference_batch_size", "loss",
    "optimizer", "device", "threads", "precision", "channels_last", "compile",
    "activation_checkpointing",
)  # fmt: skip
"""The columns that tell the rows of a CSV file apart; `variant` is in those of experiments/performance alone."""


def csv_row(benchmark: Mapping[str, Any]) -> dict[str, Any]:
    """Return a benchmark as one row; of figures measured in rounds, median, minimum and maximum."""
    (height, width), device = benchmark["image_size"], benchmark["device"]
    values = {**benchmark, "height": height, "width": width, "device": device["name"], "threads": device["threads"]}
    values["device_type"] = device["type"]
    row = {name: values[name] for name in (*KEY, "device_type", "parameters", "macs") if name in values}
    for kind in ("train", "inference"):
        speed = benchmark[f"{kind}_images_per_second"]
        row |= {f"{kind}_images_per_second": speed["median"]}
        row |= {f"{kind}_images_per_second_{end}": speed[end] for end in ("min", "max")}
        row |= {f"{kind}_memory_mib": benchmark["peak_memory_mib"][kind]}
        row |= {f"first_{kind}_seconds": benchmark["first_call_seconds"][kind]}
    row |= {f"latency_{name}_ms": benchmark["latency_ms"][name] for name in ("p50", "p95")}
    environment = benchmark["environment"]
    versions = {"torch": environment["packages"]["torch"], "medseg": environment["medseg"]}
    row |= {"repeats": benchmark["repeats"], **versions, "commit": environment["git_commit"]}
    return {**row, "measured": benchmark["measured"]}


def read_rows(file: Path) -> list[dict[str, str]]:
    """Read the rows of a CSV file of benchmarks; none where there is no file.

    Raises `UserError` for another table, or one that a spreadsheet wrote with semicolons: its rows would be lost.
    """
    rows = read_csv(file)
    if rows and not set(KEY) & set(rows[0]):
        raise UserError(
            f"{file}: not a table of benchmarks (columns with commas between them, such as network); give another csv="
        )
    return rows


def merge_rows(file: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Put rows behind those of a CSV file, replacing those that are alike in `KEY`; floats with four digits.

    Raises `UserError` as `read_rows`.
    """
    new = [{name: _text(value) for name, value in row.items()} for row in rows]
    old = read_rows(file)

    def key(row: Mapping[str, str]) -> tuple[str, ...]:
        return tuple(row.get(name, "") for name in KEY)

    replaced = set(map(key, new))
    remaining = [row for row in old if key(row) not in replaced]
    with replacing_text(file) as stream:
        columns = dict.fromkeys(name for row in [*new, *remaining] for name in row)
        writer = csv.DictWriter(stream, list(columns), restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows([*remaining, *new])


def _text(value: Any) -> str:
    if value is None:
        return ""
    return str(float(f"{value:.4g}")) if isinstance(value, float) else str(value)
