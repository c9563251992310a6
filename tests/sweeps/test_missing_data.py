"""The data of a sweep's jobs are looked for before the first one begins."""

from __future__ import annotations

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from medseg.errors import UserError
from medseg.sweeps.launchers import RAY, SLURM
from medseg.sweeps.missing_data import check_data
from tests.forking import run_forked
from tests.sweeps.planned import LAUNCHER, plan_job


def test_a_sweep_without_any_of_its_data_stops_with_one_line(tmp_path: Path) -> None:
    done = run_forked("medseg.train", "-m", "data=kvasir", "model=unet,convunext", "seed=0,1,2", cwd=tmp_path)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: no job was started: ")
    assert line.count("kvasir-seg.zip") >= 1
    assert "data.source=DIR" in line
    assert list(tmp_path.iterdir()) == [], "nothing is left behind"


def test_one_line_for_several_datasets(tmp_path: Path) -> None:
    jobs = [plan_job(tmp_path, f"data={name}", f"seed={seed}") for name in ("kvasir", "cvc") for seed in (0, 1)]
    with pytest.raises(UserError, match=r"no job was started: .* missing \(kvasir, cvc\); give data.source=DIR"):
        check_data(jobs, LAUNCHER)


def test_jobs_with_data_begin(tmp_path: Path) -> None:
    missing = plan_job(tmp_path, "data=kvasir")
    check_data([missing, plan_job(tmp_path)], LAUNCHER)
    check_data([missing, plan_job(tmp_path, "data=cvc", "data.download=true")], LAUNCHER)
    check_data([], LAUNCHER)


def test_other_machines_may_have_the_data(tmp_path: Path) -> None:
    jobs = [plan_job(tmp_path, "data=kvasir")]
    check_data(jobs, OmegaConf.create({"_target_": SLURM}))
    check_data(jobs, OmegaConf.create({"_target_": RAY, "ray": {"init": {"address": "auto"}}}))
    with pytest.raises(UserError, match="no job was started"):
        check_data(jobs, OmegaConf.create({"_target_": RAY, "ray": {"init": {"address": None}}}))
