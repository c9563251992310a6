"""What a report reads of run folders: finished, unfinished, waiting, of earlier versions, damaged."""

from __future__ import annotations

import json
import platform
import shutil
from pathlib import Path

import numpy as np
import pytest

from medseg.errors import UserError
from medseg.reporting.records import Run, read_runs
from medseg.runs.files import write_json
from tests.reporting.fabricate import ERROR, fabricate


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    states = {("unet", "dsb", 1): "failed", ("convunext", "dsb", 0): "waiting", ("unet", "kvasir", 0): "interrupted"}
    networks = {"unet": 0.0, "convunext model.kernel_size=9": 0.02}
    return fabricate(
        tmp_path / "runs" / "sweep",
        networks,
        data=("kvasir", "dsb"),
        seeds=(0, 1),
        states=states | {("convunext model.kernel_size=9", "dsb", 0): "waiting"},
    )


def by_key(runs: list[Run]) -> dict[tuple[str, str, int], Run]:
    return {(run.model, run.data, run.seed): run for run in runs}


def test_every_job_is_a_run_in_its_state(sweep: Path) -> None:
    runs = read_runs([sweep])
    assert [run.name for run in runs] == sorted(run.name for run in runs)
    assert len(runs) == 8
    found = by_key(runs)
    assert found["unet", "dsb", 1].state == "failed"
    assert found["unet", "dsb", 1].error == ERROR
    assert found["unet", "kvasir", 0].state == "interrupted"
    assert found["convunext", "dsb", 0].state == "waiting"
    assert not found["convunext", "dsb", 0].folder.exists()
    assert sum(run.finished for run in runs) == 5


def test_a_killed_run_is_interrupted(tmp_path: Path) -> None:
    folder = fabricate(tmp_path / "s", {"unet": 0.0}, states={("unet", "kvasir", 0): "running"})
    (file,) = folder.glob("*/status.json")
    (run,) = read_runs([folder])
    assert run.state == "running"
    gone = {"host": platform.node(), "pid": 2**22 + 1}
    write_json(file, {**run.status, **gone})
    (run,) = read_runs([folder])
    assert (run.state, run.error) == ("interrupted", "its process is gone")


def test_a_run_knows_what_it_was_given(sweep: Path) -> None:
    run = by_key(read_runs([sweep]))["convunext", "kvasir", 1]
    assert (run.experiment, run.seed, run.fold) == ("sweep", 1, None)
    assert run.choices["optimizer"] == "adamw"
    assert "model.kernel_size=9" in run.overrides
    assert run.setting == run.name.removesuffix("-seed1")
    assert run.config["model"]["kernel_size"] == 9
    assert run.parameters == 3_510_000
    assert run.training_seconds == run.summary["training_seconds"]
    assert [epoch["epoch"] for epoch in run.epochs] == [0, 1, 2, 3, 4]
    assert run.environment["device"] == "cpu, 2 threads"


def test_runs_know_their_place_in_the_sweep(sweep: Path) -> None:
    ordered = sorted(read_runs([sweep]), key=lambda run: run.position)
    assert [run.model for run in ordered] == ["unet"] * 4 + ["convunext"] * 4


def test_scores_per_image_are_those_of_the_summary(tmp_path: Path) -> None:
    folder = fabricate(tmp_path / "runs", {"unet": 0.0}, classes=("background", "cell", "membrane"), images=20)
    (run,) = read_runs([folder])
    per_image = run.per_image
    assert per_image.classes == ("cell", "membrane")
    assert per_image.ids[:2] == ("kvasir_0000", "kvasir_0001")
    assert per_image.counts.shape == (20, 2, 4)
    for score in ("dice", "iou", "precision", "recall", "specificity", "hd95", "assd"):
        assert per_image.scores[score].mean() == pytest.approx(run.summary["headline"][score]["mean"], abs=1e-12)


def test_a_distance_that_was_left_out_is_nan(sweep: Path) -> None:
    run = by_key(read_runs([sweep]))["unet", "kvasir", 1]
    file = run.folder / "test" / "per_image.csv"
    lines = file.read_text(encoding="utf-8").splitlines()
    lines[3] = ",".join([*lines[3].split(",")[:-2], "", ""])
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    scores = read_runs([run.folder])[0].per_image.scores
    assert np.flatnonzero(np.isnan(scores["hd95"])).tolist() == [2]
    assert not np.isnan(scores["dice"]).any()


def test_folders_in_any_combination(sweep: Path, tmp_path: Path) -> None:
    other = fabricate(tmp_path / "runs" / "paper" / "comparison", {"resunet": 0.0})
    assert len(read_runs([sweep, other])) == 9
    assert len(read_runs([tmp_path / "runs"])) == 9
    run = read_runs([other])[0]
    assert len(read_runs([other, run.folder])) == 1
    (alone,) = read_runs([by_key(read_runs([sweep]))["convunext", "kvasir", 1].folder])
    assert alone.position == 5


def test_runs_of_earlier_versions_tell_what_they_are(tmp_path: Path) -> None:
    networks = {"unet": 0.0, "convunext optimizer=sgd model.kernel_size=9": 0.0}
    old = fabricate(tmp_path / "old" / "s", networks, seeds=(0, 7), folds=(0, 1), record=False)
    new = fabricate(tmp_path / "new" / "s", networks, seeds=(0, 7), folds=(0, 1))
    for was, now in zip(read_runs([old]), read_runs([new]), strict=True):
        for name in ("name", "state", "experiment", "model", "data", "seed", "fold", "setting", "overrides"):
            assert getattr(was, name) == getattr(now, name), name
        assert was.choices["model"] == now.choices["model"]
        assert was.choices.get("optimizer", "adamw") == now.choices["optimizer"]


def test_no_such_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such folder"):
        read_runs([tmp_path / "runs"])


def test_no_runs_in_it(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no runs in it"):
        read_runs([tmp_path])


def test_damaged_files_are_named(sweep: Path) -> None:
    run = by_key(read_runs([sweep]))["unet", "kvasir", 1]
    file = run.folder / "test" / "per_image.csv"
    file.write_text(file.read_text(encoding="utf-8")[:-40], encoding="utf-8")
    with pytest.raises(UserError, match=r"per_image.csv: damaged"):
        _ = read_runs([run.folder])[0].per_image
    file.unlink()
    with pytest.raises(UserError, match=r"per_image.csv: missing, though the run is finished"):
        _ = read_runs([run.folder])[0].per_image
    (run.folder / "status.json").write_text("{", encoding="utf-8")
    with pytest.raises(UserError, match=r"status.json: damaged"):
        read_runs([run.folder])


def test_a_sweep_without_folders_is_all_waiting(tmp_path: Path) -> None:
    folder = fabricate(tmp_path / "s", {"unet": 0.0}, seeds=(0, 1))
    for run in read_runs([folder]):
        shutil.rmtree(run.folder)
    runs = read_runs([folder])
    assert [run.state for run in runs] == ["waiting", "waiting"]
    assert json.loads((folder / "sweep.json").read_text(encoding="utf-8"))["jobs"][0]["name"] == runs[0].name
