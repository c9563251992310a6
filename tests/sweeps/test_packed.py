"""A sweep that goes on on another machine, from the file of `medseg pack`."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from medseg.runs.folder import RunFolder
from medseg.runs.reading import read_runs
from tests.helpers import command
from tests.sweeping import sweep


@pytest.mark.slow
def test_the_same_command_trains_only_what_is_missing_and_repeats_no_trial(tmp_path: Path) -> None:
    here, there = tmp_path / "ann" / "here", tmp_path / "bob" / "there"
    here.mkdir(parents=True)
    there.mkdir(parents=True)
    words = (
        "protocol=tuned",
        "tuning.space.optimizer.lr=[1e-3,1e-2]",
        "trainer.max_epochs=1",
        "+callbacks.fault.what=nothing",
    )
    done = sweep(here, *words, "seed=0,1")
    assert done.returncode == 0, done.stderr
    packed = command("pack", "runs/swept", "output=sweep.zip", cwd=here)
    assert packed.returncode == 0, packed.stderr
    assert "2 runs (2 finished), 2 trials of tunings, without checkpoints" in packed.stdout
    with zipfile.ZipFile(here / "sweep.zip") as archive:
        everything = b"".join(map(archive.read, archive.namelist()))
    assert str(tmp_path).encode() not in everything
    assert b"/ann/" not in everything

    shown = command("report", "runs/swept", "images=0", "figures=false", "output=of_folder", cwd=here)
    assert shown.returncode == 0, shown.stderr
    (here / "sweep.zip").rename(there / "sweep.zip")
    of_file = command("report", "sweep.zip", "images=0", "figures=false", "output=of_file", cwd=there)
    assert of_file.returncode == 0, of_file.stderr
    for file in (file for file in (here / "of_folder").rglob("*") if file.is_file()):
        assert (there / "of_file" / file.relative_to(here / "of_folder")).read_bytes() == file.read_bytes(), file.name

    unpacked = command("unpack", "sweep.zip", cwd=there)
    assert unpacked.returncode == 0, unpacked.stderr
    assert "4 runs in sweep.zip: 4 unpacked" in unpacked.stdout
    before = {run.folder: RunFolder(run.folder).status for run in read_runs(there / "runs" / "swept").runs}
    again = sweep(there, *words, "seed=0,1,2,3")
    assert again.returncode == 0, again.stderr
    tree = read_runs(there / "runs" / "swept")
    assert [(run.seed, run.state) for run in tree.runs] == [(seed, "finished") for seed in range(4)]
    assert len(tree.trials) == 2
    assert all(trial.status.get("unpacked") for trial in tree.trials), "none is repeated"
    assert [run.files.lacks_checkpoints for run in tree.runs] == [True, True, False, False]
    assert all(RunFolder(folder).status == status for folder, status in before.items())
