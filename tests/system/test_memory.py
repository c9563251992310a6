"""The settings of the C library's allocator."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

TAKE = """
import resource, torch
from medseg.system.memory import keep_freed_memory
kept = {keep} and keep_freed_memory()
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(40):  # where a block comes to lie differs a little each time, until all of it has been touched once
    torch.ones(2**24).sum()
before = faults()
for _ in range(10):
    torch.ones(2**24).sum()
print(kept, faults() - before)
"""


def run(keep: bool, **environment: str) -> tuple[str, int]:
    kept, faults = subprocess.run(
        [sys.executable, "-c", TAKE.format(keep=keep)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    return kept, int(faults)


@pytest.mark.slow
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="this is a setting of glibc")
def test_memory_that_is_freed_is_taken_again_without_asking_the_system() -> None:
    kept, faults = run(True)
    assert kept == "True"
    _, more = run(False)
    assert faults < more / 10


def test_what_the_environment_says_stays() -> None:
    assert run(True, MALLOC_TRIM_THRESHOLD_="100000")[0] == "False"
