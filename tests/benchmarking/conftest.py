"""Workers that measure nothing."""

from __future__ import annotations

from typing import Any

import pytest

from medseg.benchmarking import rounds
from medseg.benchmarking.setting import Setting
from medseg.errors import UserError


class FakeWorker:
    """Answers at once and notes what is called."""

    asked: list[tuple[str, str]] = []  # noqa: RUF012
    failing: tuple[str, str, int] | None = None

    def __init__(self, setting: Setting, seconds: float) -> None:
        self.setting = setting

    def call(self, method: str) -> Any:
        FakeWorker.asked.append((self.setting.model, method))
        name, when, number = FakeWorker.failing or ("", "", 0)
        if (self.setting.model, method) == (name, when) and FakeWorker.asked.count((name, when)) == number:
            raise UserError("it broke")
        return {
            "peak_memory": {"train": 2.0, "inference": 1.0},
            "facts": {"device": {"type": "cpu", "name": "x", "threads": 1}, "precision": "32-true"},
            "warm_up": None,
            "first_calls": {"train": 4.0, "inference": 3.0, "latency": 2.0},
            "speed": {"train": 1.0, "inference": 2.0, "latency": [3.0]},
            "cost": {"parameters": 1, "macs": 2},
        }[method]

    def close(self) -> None:
        FakeWorker.asked.append((self.setting.model, "close"))


@pytest.fixture
def fake_workers(monkeypatch: pytest.MonkeyPatch) -> type[FakeWorker]:
    FakeWorker.asked, FakeWorker.failing = [], None
    monkeypatch.setattr(rounds, "Worker", FakeWorker)
    return FakeWorker
