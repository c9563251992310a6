"""Memory: the peak is what was taken in between."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace

import pytest

from medseg.benchmarking.worker import Worker
from tests.benchmarking.networks import Greedy, setting
from tests.networks import OneConv


def test_peak_memory_is_what_was_taken_in_between() -> None:
    code = """
import numpy as np, torch
from medseg.benchmarking.memory import PeakMemory
earlier = np.ones(2**25)  # 256 MiB
del earlier
memory = PeakMemory(torch.device("cpu"))
memory.begin()
kept = np.ones(2**22)     # 32 MiB
passing = np.ones(2**23)  # 64 MiB
del passing
first = memory.peak()
memory.begin()
print(first, memory.peak())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    first, then = map(float, done.stdout.split())
    assert first == pytest.approx(96, abs=4)
    assert then == pytest.approx(32, abs=4), "an earlier peak is forgotten, what is kept is not"


def test_memory_that_is_freed_and_kept_does_not_count() -> None:
    code = """
import numpy as np, torch
from medseg.system.memory import keep_freed_memory
from medseg.benchmarking.memory import PeakMemory
assert keep_freed_memory()
memory = PeakMemory(torch.device("cpu"))
earlier = np.ones(2**24)  # 128 MiB
last = np.ones(1)         # beyond it, so that the end of the heap is in use
del earlier
memory.begin()
print(memory.peak())
"""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert float(done.stdout) == pytest.approx(0, abs=4)


@pytest.mark.slow
def test_peaks_of_a_network() -> None:
    # Not with freed memory kept: how much of that is used again is the C library's business.
    worker, plain = (Worker(replace(setting(network), keep_memory=False), 0.01) for network in (Greedy, OneConv))
    try:
        greedy, small = worker.call("peak_memory"), plain.call("peak_memory")
    finally:
        worker.close()
        plain.close()
    # Inference: the tensor and its square. Training: the same, and their gradients on the way back.
    assert greedy["inference"] == pytest.approx(128, abs=32)
    assert 128 < greedy["train"] < 4 * 64 + 32
    # What the libraries set up for themselves (measured: 12 MiB).
    assert max(small.values()) < 32
