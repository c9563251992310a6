"""A sweep measures before its first job what its jobs would measure each."""

from __future__ import annotations

import os
from types import SimpleNamespace

import pytest
from omegaconf import OmegaConf

from medseg.sweeps import sweep as sweeps
from medseg.sweeps.composition import SweptCommand
from medseg.sweeps.launchers import RAY, SLURM
from medseg.sweeps.planned_job import PlannedJob
from medseg.sweeps.sweep import Sweep, has_measured_precision

BASIC = "hydra._internal.core_plugins.basic_launcher.BasicLauncher"


def job(precision: str = "auto", accelerator: str = "auto", launcher: str = BASIC) -> PlannedJob:
    cfg = OmegaConf.create({"trainer": {"precision": precision, "accelerator": accelerator}})
    return PlannedJob(("model=unet",), cfg, "", OmegaConf.create({"_target_": launcher}), None)


@pytest.mark.parametrize(
    ("planned", "expected"),
    [
        (job(), True),
        (job(accelerator="cpu", launcher=RAY), True),
        (job(precision="32-true"), False),
        (job(accelerator="gpu"), False),
        (job(launcher=SLURM), False),  # its nodes may be of another kind
        (PlannedJob((), OmegaConf.create({}), "", OmegaConf.create({"_target_": BASIC}), None), False),
    ],
)
def test_which_jobs_need_it(planned: PlannedJob, expected: bool) -> None:
    assert has_measured_precision(planned) is expected


def test_it_is_known_before_the_first_job(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setenv("SHARED", "")
    monkeypatch.setattr(sweeps, "share_bf16_speedup", lambda: os.environ.update(SHARED="yes"))
    command = SweptCommand(("medseg.train",), "train", lambda _: None, None)
    monkeypatch.setattr(Sweep, "command", command, raising=False)
    monkeypatch.setattr(Sweep, "check_data", lambda self, jobs: None)
    monkeypatch.setattr(Sweep, "launch", lambda self, jobs: seen.append(os.environ["SHARED"]) or [])
    sweep = Sweep(None, None)
    sweep.composer = SimpleNamespace(combinations=lambda arguments: [], plan=lambda combinations: [job()])
    sweep.sweep([])
    assert seen == ["yes"]
