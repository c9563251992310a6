"""What `auto` comes to."""

from __future__ import annotations

import pytest
import torch

from medseg.acceleration.precision import pick_precision


@pytest.mark.parametrize(
    ("speedup", "expected"),
    [
        (2.13, ("bf16-mixed", "a matrix product is 2.13 times as fast in bf16 on this CPU")),
        (1.3, ("bf16-mixed", "a matrix product is 1.3 times as fast in bf16 on this CPU")),
        (1.29, ("32-true", "a matrix product is 1.29 times as fast in bf16 on this CPU; bf16 pays from 1.3 times")),
        (0.55, ("32-true", "a matrix product is 0.55 times as fast in bf16 on this CPU; bf16 pays from 1.3 times")),
    ],
)
def test_on_a_cpu_by_measurement(speedup: float, expected: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("medseg.acceleration.precision.bf16_speedup", lambda: speedup)
    assert pick_precision("auto", "cpu") == expected
    assert pick_precision("16-mixed", "cpu") == ("16-mixed", "as configured")
    assert pick_precision("auto", "mps")[0] == "32-true"


@pytest.mark.parametrize(
    ("capability", "expected"), [((7, 5), "32-true"), ((8, 0), "bf16-mixed"), ((9, 0), "bf16-mixed")]
)
def test_on_a_gpu_by_capability(capability: tuple[int, int], expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)
    assert pick_precision("auto", "gpu")[0] == expected
