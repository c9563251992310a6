"""Fixtures shared by all tests. Real data and golden vectors lie beside the project; without them their tests skip."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from medseg.system.bf16 import share_bf16_speedup
from medseg.system.signals import SIGNALS

# Set before anything imports them: no test may reach the network or ask anybody anything.
os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"
os.environ["WANDB_MODE"] = "offline"
# Several tests share the cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# What trainer.precision=auto comes to is one for all tests, also for those whose processes have another home.
share_bf16_speedup()

# Whoever starts the tests in the background has Ctrl-C ignored in them and in all that they start; tests press it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

HANDLERS = {number: signal.getsignal(number) for number in (signal.SIGINT, *SIGNALS)}
"""Before any test, also before fixtures of modules, which are made before those of tests."""

SHARED = Path(os.environ.get("MEDSEG_SHARED", Path(__file__).resolve().parents[2] / "shared"))


def shared_folder(name: str) -> Path:
    folder = SHARED / name
    if not folder.is_dir():
        pytest.skip(f"needs {folder} (or set MEDSEG_SHARED)")
    return folder


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of the real archives."""
    return shared_folder("data")


@pytest.fixture(scope="session")
def golden() -> Path:
    """The folder of the golden vectors of the released networks."""
    return shared_folder("golden")


@pytest.fixture(autouse=True)
def signal_handlers() -> Iterator[None]:
    """An interrupted training ignores further signals, and so would all processes that later tests start."""
    restore_handlers()
    yield
    restore_handlers()


def restore_handlers() -> None:
    for number, handler in HANDLERS.items():
        signal.signal(number, handler)
