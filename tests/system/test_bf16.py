"""How much faster bf16 is here: measured once, and the same for all that a process starts."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from medseg.system import bf16


@pytest.fixture
def measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A machine on which nothing was measured yet: what the next measurements come to, the first one last."""
    monkeypatch.setenv(bf16.VARIABLE, "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    values = [9.0, 8.0, 0.5, 2.1]
    monkeypatch.setattr(bf16, "measure_speedup", values.pop)
    return values


def test_a_measurement_leaves_random_numbers_and_threads_alone() -> None:
    torch.manual_seed(0)
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    assert bf16.measure_speedup() > 0
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads


def test_it_is_measured_once_for_a_machine(measured: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    assert bf16.bf16_speedup() == 2.1
    monkeypatch.setenv(bf16.VARIABLE, "")  # another process
    assert bf16.bf16_speedup() == 2.1
    assert len(measured) == 3


def test_machines_that_share_a_home_have_values_of_their_own(
    measured: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert bf16.bf16_speedup() == 2.1
    here = bf16.describe_machine()
    monkeypatch.setattr(bf16, "describe_machine", lambda: {**here, "model name": "another"})
    assert bf16.bf16_speedup() == 0.5, "neither the file nor the variable of the first one counts"
    monkeypatch.setattr(bf16, "describe_machine", lambda: here)
    assert bf16.bf16_speedup() == 2.1


@pytest.mark.parametrize("value", ["nan", "inf", "-1", "two"])
def test_a_variable_that_is_no_speedup_does_not_count(
    value: str, measured: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(bf16.VARIABLE, f"{bf16.name_of(bf16.describe_machine())}:{value}")
    assert bf16.bf16_speedup() == 2.1


def test_limits_of_onednn_make_another_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    free = bf16.name_of(bf16.describe_machine())
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    assert bf16.name_of(bf16.describe_machine()) != free


DAMAGED = [b"", b"{", b"[]", b'{"speedup": "2"}', b'{"speedup": -1}', b'{"speedup": true}', b"\xff\x00"]


@pytest.mark.parametrize("content", DAMAGED)
def test_a_damaged_cache_is_measured_and_written_again(
    content: bytes, measured: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = bf16.cache_file(bf16.describe_machine())
    assert file is not None
    file.parent.mkdir(parents=True)
    file.write_bytes(content)
    assert bf16.bf16_speedup() == 2.1
    monkeypatch.setenv(bf16.VARIABLE, "")
    assert bf16.bf16_speedup() == 2.1


def test_without_a_cache_the_process_and_its_children_remember(
    measured: list[float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))  # no folder can be made there
    assert [bf16.bf16_speedup() for _ in range(2)] == [2.1, 2.1]
    code = "from medseg.system import bf16; print(bf16.bf16_speedup())"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert float(printed) == 2.1
    monkeypatch.setenv(bf16.VARIABLE, "")
    assert bf16.bf16_speedup() == 0.5, "another process measures again"


def test_two_that_measure_at_once_agree(measured: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    def slowly() -> float:
        bf16.write_cache(bf16.describe_machine(), 1.29)  # another process is faster
        return 1.31

    monkeypatch.setattr(bf16, "measure_speedup", slowly)
    assert bf16.bf16_speedup() == 1.29


def test_a_sweep_finds_it_out_for_its_jobs_without_torch(tmp_path: Path) -> None:
    code = (
        "import os, sys; from medseg.system import bf16; bf16.share_bf16_speedup();"
        "print('torch' in sys.modules, os.environ[bf16.VARIABLE].partition(':')[2])"
    )
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path), bf16.VARIABLE: ""}
    shared = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    loaded, value = shared.stdout.split()
    assert loaded == "False"
    (file,) = (tmp_path / "medseg").glob("bf16-*.json")
    assert f'"speedup": {float(value)}' in file.read_text()
