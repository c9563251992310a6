"""Devices and precision that are picked, and what is said about them."""

from __future__ import annotations

import logging

import pytest

from medseg.cores import available_cores
from medseg.training.build import build_trainer
from tests.helpers import compose_config


def said(caplog: pytest.LogCaptureFixture, devices: int) -> str:
    caplog.clear()
    cfg = compose_config("train", "trainer=cpu", f"trainer.devices={devices}")
    with caplog.at_level(logging.WARNING, "medseg"):
        build_trainer(cfg.trainer)
    return caplog.text


def test_more_processes_than_cores_are_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    cores = available_cores()
    assert f"trainer.devices={cores + 1}: so many processes share {cores} CPU core" in said(caplog, cores + 1)
    assert "share" not in said(caplog, cores)
