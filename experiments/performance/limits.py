"""Measure what a device can do at most: products of matrices and a copy, the fastest of the calls in a few seconds.

python experiments/performance/limits.py --device cuda
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from functools import partial

import torch

from medseg.benchmarking.timing import StepTimer

SIDE = {"cpu": 2048, "cuda": 8192}
"""Rows and columns of the matrices, by type of device."""
COPIED = {"cpu": 2**28, "cuda": 2**31}
"""Bytes of the copied tensor; more than any cache holds."""


def measure_limits(device: torch.device, seconds: float) -> dict[str, float]:
    """Return operations per second of a matrix product in float32 and bf16, and bytes per second of a copy.

    A multiply-accumulate is two operations; a copied byte counts twice, read and written. Products are under PyTorch's
    default settings, float32 thus without TF32, which convolutions on a GPU may use.
    """

    def fastest(step: Callable[[], object]) -> float:
        timer = StepTimer(step, device, seconds)
        timer.warm_up()
        return min(timer.one_by_one())

    side, copied = SIDE[device.type], COPIED[device.type]
    limits = {}
    for name, dtype in (("float32", torch.float32), ("bf16", torch.bfloat16)):
        a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
        limits[f"{name}_flops_per_second"] = 2 * side**3 / fastest(partial(torch.mm, a, b, out=a.clone()))
    source = torch.ones(copied // 4, device=device)
    limits["copy_bytes_per_second"] = 2 * copied / fastest(partial(source.clone().copy_, source))
    return limits


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=SIDE, default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--seconds", type=float, default=2.0, help="of each of the three measurements")
    options = parser.parse_args(arguments)
    limits = measure_limits(torch.device(options.device), options.seconds)
    print(f"products of matrices: {limits['float32_flops_per_second'] / 1e12:.3g} TFLOP/s in float32,")
    print(f"  {limits['bf16_flops_per_second'] / 1e12:.3g} TFLOP/s in bf16")
    print(f"copy: {limits['copy_bytes_per_second'] / 1e9:.3g} GB/s, read and written")


if __name__ == "__main__":
    main()
