"""How much faster this machine's processor multiplies matrices in bf16 than in float32: measured once, then known.

Whether bf16 pays cannot be read off a processor's name: with AMX a product is many times as fast, with `avx512_bf16`
alone 2.1 times on one processor and half as fast on another. So a tenth of a second is spent on measuring it, and the
outcome is stored in the user's cache folder. What a process has measured holds for all that it starts.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import logging
import os
import platform
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from medseg.errors import UserError
from medseg.system.files import read_json, write_json

log = logging.getLogger(__name__)

VARIABLE = "MEDSEG_BF16_SPEEDUP"
"""Of the environment: `<machine>:<speed-up>`, so that a job which is started on another machine does not believe it."""

SIZE = 512
"""Rows and columns: large enough that arithmetic takes the time, small enough for 20 products of each kind."""

SECONDS, LEAST_ROUNDS = 0.1, 3

FLAGS = ("avx", "amx", "asimd", "sve", "bf16")
"""How the flags of a processor begin that decide how it multiplies."""


def bf16_speedup() -> float:
    """Return how many times as fast a product of matrices is in bf16 on this CPU, to two decimals.

    That is what this process, or one that started it, has measured before; else what is in the cache; else it is
    measured.
    """
    machine = describe_machine()
    speedup = known_speedup(machine)
    if speedup is None:
        speedup = measure_speedup()
        stored = read_cache(machine)  # by another process, while this one measured
        speedup = write_cache(machine, speedup) if stored is None else stored
    os.environ[VARIABLE] = f"{name_of(machine)}:{speedup}"
    return speedup


def may_depend_on_bf16(precision: str, accelerator: str) -> bool:
    """Tell whether the speed-up may decide the precision of a training with this configuration."""
    return precision == "auto" and accelerator in ("auto", "cpu")


def share_bf16_speedup() -> None:
    """Measure it for the processes that this one starts, in a separate process: torch is not imported here.

    Where that fails, they measure themselves.
    """
    machine = describe_machine()
    speedup = known_speedup(machine)
    if speedup is None:
        with suppress(OSError, subprocess.SubprocessError, ValueError):
            command = [sys.executable, "-m", __name__]
            speedup = float(subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout)
    if speedup is not None:
        os.environ[VARIABLE] = f"{name_of(machine)}:{speedup}"


def known_speedup(machine: dict[str, Any]) -> float | None:
    """Return what has been measured before, from the environment or the cache; None where nothing has."""
    name, _, value = os.environ.get(VARIABLE, "").partition(":")
    if name == name_of(machine):
        with suppress(ValueError):
            return possible_speedup(float(value)) or read_cache(machine)
    return read_cache(machine)


def possible_speedup(value: Any) -> float | None:
    """Return a stored value that can be a speed-up; None for another one."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if number and 0 < value < 1e6 else None


def measure_speedup() -> float:
    """Measure it: the best of several products of each kind, in turn, so that a busy machine slows down both.

    On one thread: a second one would wait for a core that another program uses, and the ratio is the same.
    """
    import torch  # not above: a sweep only looks into the cache

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        # No random numbers: a training must not depend on whether this was measured in its process.
        matrices = [torch.ones(SIZE, SIZE, dtype=dtype) for dtype in (torch.float32, torch.bfloat16)]
        times: list[list[float]] = [[], []]
        for matrix in matrices:
            torch.mm(matrix, matrix)  # the first one prepares
        end = time.perf_counter() + SECONDS
        while time.perf_counter() < end or len(times[0]) < LEAST_ROUNDS:
            for matrix, seconds in zip(matrices, times, strict=True):
                start = time.perf_counter()
                torch.mm(matrix, matrix)
                seconds.append(time.perf_counter() - start)
    finally:
        torch.set_num_threads(threads)
    float32, bf16 = map(min, times)
    return round(float32 / bf16, 2)


def describe_machine() -> dict[str, Any]:
    """Return what the speed-up depends on: the processor, those of its features that may be used, torch's version."""
    facts: dict[str, Any] = {"machine": platform.machine(), "processor": platform.processor()}
    text = ""
    with suppress(OSError):
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    for line in text.partition("\n\n")[0].splitlines():  # of the first core
        key, _, value = (part.strip() for part in line.partition(":"))
        if key.lower() in ("flags", "features"):
            facts["flags"] = sorted(flag for flag in value.split() if flag.startswith(FLAGS))
        elif key in ("model name", "cpu family", "model", "stepping", "CPU implementer", "CPU part", "CPU variant"):
            facts[key] = value
    with suppress(importlib.metadata.PackageNotFoundError):
        facts["torch"] = importlib.metadata.version("torch")
    # With these, users limit what oneDNN, which multiplies for torch, makes use of.
    facts |= {key: value for key, value in sorted(os.environ.items()) if key.endswith("DNN_MAX_CPU_ISA")}
    return facts


def name_of(machine: dict[str, Any]) -> str:
    """Return a short name: nodes with other processors that share a home folder have other names."""
    return hashlib.sha256(json.dumps(machine, sort_keys=True).encode()).hexdigest()[:16]


def cache_file(machine: dict[str, Any]) -> Path | None:
    """Return the file of a machine in the user's cache folder; None for a user without one."""
    folder = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if not folder.is_absolute():  # which is to be ignored then
        try:
            folder = Path.home() / ".cache"
        except RuntimeError:
            return None
    return folder / "medseg" / f"bf16-{name_of(machine)}.json"


def read_cache(machine: dict[str, Any]) -> float | None:
    """Return the stored speed-up of a machine; None where there is none, or the file is damaged."""
    file = cache_file(machine)
    with suppress(UserError, OSError):
        return possible_speedup(read_json(file, optional=True).get("speedup")) if file else None
    return None


def write_cache(machine: dict[str, Any], speedup: float) -> float:
    """Store the speed-up of a machine, where that can be, and return it."""
    file = cache_file(machine)
    if file is not None:
        try:
            write_json(file, {**machine, "speedup": speedup})
        except OSError as error:
            log.debug("%s: not stored: %s", file, error)
    return speedup


if __name__ == "__main__":
    print(bf16_speedup())
