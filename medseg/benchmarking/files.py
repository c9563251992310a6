"""The file of a benchmark, which the report reads."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from medseg.benchmarking.setting import Setting
from medseg.runs.environment import describe_environment
from medseg.runs.files import write_json
from medseg.runs.naming import digest


def describe(setting: Setting, measured: Mapping[str, Any], repeats: int) -> dict[str, Any]:
    """Put together what is known of a benchmark, as plain values.

    model, overrides, arguments: the network, as in the `run.json` and the `config.yaml` of its runs; network: the same
    in a few words.
    in_channels, num_classes, image_size (height, width), batch_size, inference_batch_size, loss, optimizer, device
    (type, name, threads), precision, channels_last, compile, variant, repeats: what it was measured with.
    train_images_per_second, inference_images_per_second: median, min and max over the repeats.
    latency_ms: p50, p95, min and max over the calls with one image, and their number.
    first_call_seconds: of the first train and inference step and the first single image, see `Subject.first_calls`.
    peak_memory_mib: train and inference, see `medseg.benchmarking.memory`.
    parameters; macs: of one image.
    limits: of the machine, see `medseg.benchmarking.limits`; operators, operator_bytes: of a training step, see
    `medseg.benchmarking.operators`. None each where they were not measured.
    measured: when it ended, UTC. environment: versions and machine.
    """
    return {
        "model": setting.model,
        "network": setting.network,
        "overrides": list(setting.overrides),
        "arguments": setting.arguments,
        "in_channels": setting.in_channels,
        "num_classes": setting.num_classes,
        "image_size": list(setting.image_size),
        "batch_size": setting.batch_size,
        "inference_batch_size": setting.inference_batch_size,
        "loss": setting.loss,
        "optimizer": setting.optimizer,
        "device": measured["device"],
        "precision": measured["precision"],
        "channels_last": setting.channels_last,
        "compile": setting.compile,
        "variant": setting.variant or "tuned",
        "repeats": repeats,
        "train_images_per_second": measured["train_images_per_second"],
        "inference_images_per_second": measured["inference_images_per_second"],
        "latency_ms": measured["latency_ms"],
        "first_call_seconds": measured["first_call_seconds"],
        "peak_memory_mib": measured["peak_memory_mib"],
        "parameters": measured["parameters"],
        "macs": measured["macs"],
        "limits": measured["limits"],
        "operators": measured.get("operators"),
        "operator_bytes": measured.get("operator_bytes"),
        "measured": datetime.now(UTC).isoformat(timespec="seconds"),
        "environment": describe_environment(),
    }


def write(folder: Path, benchmark: Mapping[str, Any]) -> Path:
    """Write a benchmark to its file in a folder and return that.

    The name is `<model>-<height>x<width>-<hash>.json`; the hash covers the network's arguments and what it was measured
    with, so the same benchmark again replaces its file, and another size or device has another one.
    """
    keys = (
        "arguments", "batch_size", "inference_batch_size", "loss", "optimizer", "device", "precision", "channels_last",
        "compile",
    )  # fmt: skip
    key = digest({name: benchmark[name] for name in keys})
    height, width = benchmark["image_size"]
    model = re.sub(r"[^A-Za-z0-9._-]+", "_", benchmark["model"])
    file = folder / f"{model}-{height}x{width}-{key}.json"
    write_json(file, benchmark)
    return file
