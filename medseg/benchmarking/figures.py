"""The figures of a benchmark that follow from what was measured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MULTIPLIED_IN = {"bf16-mixed": "bf16", "16-mixed": "bf16"}
"""What matrices are multiplied in under a precision, as the limits name it, where it is not float32.

The units that multiply bf16 multiply float16 at the same speed."""


def derive(benchmark: Mapping[str, Any]) -> dict[str, float | None]:
    """Return the figures of a benchmark as plain numbers, higher is better or lower as the name says.

    Of figures measured in rounds, the median.
    train_images_per_second, inference_images_per_second, latency_p50_ms, latency_p95_ms (of one image),
    train_memory_mib, inference_memory_mib, first_train_seconds, first_inference_seconds: as measured.
    train_step_ms: of a batch.
    train_flops_per_second: achieved in training, counted as 3 x 2 x MACs for each image: two operations to a
    multiply-accumulate, and a backward pass of twice the forward pass. inference_flops_per_second: 2 x MACs.
    train_bytes_per_second: what goes through the operators of a training step (see `bytes_through_operators`) over its
    time.
    Those with `_of_limit`: the same, as part of what the machine does at most: matrix products in this precision, and
    a copy. More than 1 is possible, where an algorithm saves arithmetic or caches save traffic. None where the limits
    were not measured.
    """
    train = benchmark["train_images_per_second"]["median"]
    inference = benchmark["inference_images_per_second"]["median"]
    step_seconds = benchmark["batch_size"] / train
    moved = benchmark["operator_bytes"]
    flops = {"train": 6 * benchmark["macs"] * train, "inference": 2 * benchmark["macs"] * inference}
    rate = moved / step_seconds if moved else None
    limits = benchmark["limits"] or {}
    arithmetic = limits.get(f"{MULTIPLIED_IN.get(benchmark['precision'], 'float32')}_flops_per_second")
    copying = limits.get("copy_bytes_per_second")
    return {
        "train_images_per_second": train,
        "inference_images_per_second": inference,
        "latency_p50_ms": benchmark["latency_ms"]["p50"],
        "latency_p95_ms": benchmark["latency_ms"]["p95"],
        "train_step_ms": 1000 * step_seconds,
        "train_memory_mib": benchmark["peak_memory_mib"]["train"],
        "inference_memory_mib": benchmark["peak_memory_mib"]["inference"],
        "first_train_seconds": benchmark["first_call_seconds"]["train"],
        "first_inference_seconds": benchmark["first_call_seconds"]["inference"],
        "train_flops_per_second": flops["train"],
        "train_flops_of_limit": flops["train"] / arithmetic if arithmetic else None,
        "inference_flops_per_second": flops["inference"],
        "inference_flops_of_limit": flops["inference"] / arithmetic if arithmetic else None,
        "train_bytes_per_second": rate,
        "train_bytes_of_limit": rate / copying if rate and copying else None,
    }
