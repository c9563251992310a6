"""The file of a benchmark, which the report reads."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from medseg.benchmarking.setting import Setting
from medseg.runs.environment import describe_environment
from medseg.runs.folder import write_json
from medseg.runs.naming import config_hash


def describe(setting: Setting, measured: Mapping[str, Any], repeats: int) -> dict[str, Any]:
    """Put together what is known of a benchmark, as plain values.

    model, overrides, arguments: the network, as in the `run.json` and the `config.yaml` of its runs.
    in_channels, num_classes, image_size (height, width), batch_size, loss, optimizer, device (type, name, threads),
    precision, channels_last, compile, repeats: what it was measured with.
    train_images_per_second, inference_images_per_second: median, min and max over the repeats.
    latency_ms: p50, p95, min and max over the calls with one image, and their number.
    peak_memory_mib: train and inference, see `medseg.benchmarking.memory`.
    parameters; macs: of one image.
    measured: when it ended, UTC. environment: versions and machine.
    """
    return {
        "model": setting.model,
        "overrides": list(setting.overrides),
        "arguments": setting.arguments,
        "in_channels": setting.in_channels,
        "num_classes": setting.num_classes,
        "image_size": list(setting.image_size),
        "batch_size": setting.batch_size,
        "loss": setting.loss,
        "optimizer": setting.optimizer,
        "device": measured["device"],
        "precision": measured["precision"],
        "channels_last": setting.channels_last,
        "compile": setting.compile,
        "repeats": repeats,
        "train_images_per_second": measured["train_images_per_second"],
        "inference_images_per_second": measured["inference_images_per_second"],
        "latency_ms": measured["latency_ms"],
        "peak_memory_mib": measured["peak_memory_mib"],
        "parameters": measured["parameters"],
        "macs": measured["macs"],
        "measured": datetime.now(UTC).isoformat(timespec="seconds"),
        "environment": describe_environment(),
    }


def write(folder: Path, benchmark: Mapping[str, Any]) -> Path:
    """Write a benchmark to its file in a folder and return that.

    The name is `<model>-<height>x<width>-<hash>.json`; the hash covers the network's arguments and what it was measured
    with, so the same benchmark again replaces its file, and another size or device has another one.
    """
    keys = ("arguments", "batch_size", "loss", "optimizer", "device", "precision", "channels_last", "compile")
    key = config_hash({name: benchmark[name] for name in keys})
    height, width = benchmark["image_size"]
    model = re.sub(r"[^A-Za-z0-9._-]+", "_", benchmark["model"])
    file = folder / f"{model}-{height}x{width}-{key}.json"
    write_json(file, benchmark)
    return file
