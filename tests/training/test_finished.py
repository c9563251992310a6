"""Finished runs that a command is repeated for: other data are refused, and what they lack is one line."""

from __future__ import annotations

import logging
import os
import shlex
import shutil
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from medseg.data.datasets.base import Dataset, Listing, Sample
from medseg.data.sources.source import FolderSource, Source
from medseg.errors import UserError
from medseg.runs.folder import RunFolder
from medseg.runs.plan import RunPlan, settings_of
from medseg.system.files import write_json
from medseg.training import starting_point
from medseg.training.continuing import find_shorter
from medseg.training.finished import check_finished
from tests.forking import run_forked
from tests.helpers import TINY
from tests.sweeps.planned import plan_job, write_run

METRIC = "+metrics.mine._target_=fractions.Fraction"


class Sites(Dataset):
    """A custom dataset, whose files are in the folder that `data.source` names."""

    name, title, licence = "sites", "Sites", "CC0-1.0"

    def __init__(self, style: str, count: int) -> None:
        pass

    def list_samples(self, source: Source) -> Listing:
        raise NotImplementedError

    def read(self, source: Source, sample: Sample) -> Any:
        raise NotImplementedError


def plan_of(folder: Path, *words: str) -> RunPlan:
    plan = plan_job(folder, *words).plan
    assert plan is not None
    return plan


def finished(folder: Path, *words: str, source_identity: str = "", **summary: Any) -> RunPlan:
    """Leave what a finished run leaves, and return its plan."""
    job = plan_job(folder, *words)
    write_run(job, [1.0])
    assert job.plan is not None
    write_json(job.plan.folder.data, {"source_identity": source_identity})
    write_json(job.plan.folder.summary, {"headline": {"dice": {"mean": 0.5}}, "nsd_tolerance": 2.0, **summary})
    return job.plan


def lines(plans: Sequence[RunPlan], caplog: pytest.LogCaptureFixture) -> list[str]:
    caplog.clear()
    check_finished(plans)
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


def test_a_run_on_the_files_of_another_folder_is_refused(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for site in ("a", "b"):
        (tmp_path / site).mkdir()
        (tmp_path / site / f"{site}.png").touch()
    sites = f"data.dataset._target_={__name__}.Sites"
    run = finished(
        tmp_path, sites, f"data.source={tmp_path / 'a'}", source_identity=FolderSource(tmp_path / "a").identity
    )
    (other, without) = (plan_of(tmp_path, sites, *words) for words in ([f"data.source={tmp_path / 'b'}"], []))
    assert other.folder.path == without.folder.path == run.folder.path
    assert lines([run, without], caplog) == []
    message = f"data.source={tmp_path}/b: {run.folder.path} was trained on other files, those in {tmp_path}/a; another"
    with pytest.raises(UserError, match=message):
        check_finished([run, other])
    (tmp_path / "b").rename(tmp_path / "c")
    assert lines([other], caplog) == [f"Sites: data.source={tmp_path}/b does not exist"]
    (tmp_path / "a" / "c.png").touch()
    assert lines([run], caplog) == [f"the files in {tmp_path}/a have changed since; force=true trains on them anew"]
    (tmp_path / "a").rename(tmp_path / "moved")
    assert lines([run], caplog) == [], "which it does not need any more"


def test_a_copy_of_the_files_of_a_finished_run_is_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    first, copy, packed = (tmp_path / name for name in ("a", "b", "c.zip"))
    first.mkdir()
    (first / "x.png").write_bytes(b"1")
    os.utime(first / "x.png", (1, 1))
    shutil.copytree(first, copy, copy_function=shutil.copyfile)
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("x.png", b"1")
    sites = f"data.dataset._target_={__name__}.Sites"
    for seed in (0, 1):
        finished(tmp_path, sites, f"seed={seed}", f"data.source={first}", source_identity=FolderSource(first).identity)

    def plans(source: Path) -> list[RunPlan]:
        return [plan_of(tmp_path, sites, f"seed={seed}", f"data.source={source}") for seed in (0, 1)]

    for source in (copy, packed):
        told = f"the files in {source} may be other files than those in {first}; force=true trains on them anew"
        assert lines(plans(source), caplog) == [told]
    (copy / "x.png").write_bytes(b"12")
    with pytest.raises(UserError, match="was trained on other files"):
        check_finished(plans(copy))
    # Whether those that it was trained on were others is not known any more.
    os.utime(first / "x.png", (2, 2))
    assert "may be other files" in lines(plans(copy), caplog)[0]
    shutil.rmtree(first)
    assert "may be other files" in lines(plans(copy), caplog)[0]


def test_a_damaged_finished_run_is_a_warning_and_the_others_are_looked_at(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "a").mkdir()
    words = (f"data.dataset._target_={__name__}.Sites", f"data.source={tmp_path / 'a'}")
    runs = [
        finished(tmp_path, *words, f"seed={seed}", source_identity=FolderSource(tmp_path / "a").identity)
        for seed in range(5)
    ]
    folders = [run.folder for run in runs]
    folders[0].data.unlink()
    folders[1].summary.write_text('{"headline": {"dice"')
    folders[2].summary.write_text('{"headline": 3}')
    folders[3].config.write_text("data: [")
    warnings = lines([plan_of(tmp_path, *words, f"seed={seed}", "scores=[nsd]") for seed in range(5)], caplog)
    assert warnings[0] == f"{folders[0].data}: missing"
    starts = [f"{file}: damaged" for file in (folders[1].summary, folders[2].summary, folders[3].config)]
    assert all(line.startswith(start) for line, start in zip(warnings[1:4], starts, strict=True)), warnings
    assert warnings[4].startswith("the test of 1 of the finished runs was scored otherwise")
    assert len(warnings) == 5


def test_what_finished_runs_lack_is_one_line_for_all_of_them(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for seed in (0, 1):
        finished(tmp_path, f"seed={seed}")
    asked = ("scores=[nsd]", "save_probabilities=true", METRIC)
    plans = [plan_of(tmp_path, f"seed={seed}", *asked) for seed in (0, 1)]
    experiment, words = tmp_path / "runs" / "main", f"'scores=[nsd]' {METRIC}"
    begin = "the test of 2 of the finished runs"
    score = f"was scored otherwise; without training anew: medseg score {experiment}"
    keep = f"kept no probabilities; without training anew: medseg evaluate {experiment}"
    both = [f"{begin} {score} {words}", f"{begin} {keep} save_probabilities=true"]
    assert lines(plans, caplog) == both
    run = plans[0].folder
    assert lines(plans[:1], caplog) == [
        f"its test {score}/{run.path.name} {words}", f"its test {keep}/{run.path.name} save_probabilities=true",
    ]  # fmt: skip
    # A sweep whose jobs are finished already tells the same.
    places = (f"runs_dir={tmp_path / 'runs'}", f"data_dir={tmp_path / 'data'}")
    done = run_forked("medseg.train", "-m", *TINY, *places, "seed=0,1", *asked[:2], cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    told = [line.removeprefix("WARNING ") for line in done.stderr.splitlines() if "training anew" in line]
    assert told == [both[0].removesuffix(f" {METRIC}"), both[1]]
    # What was done since is not told of again.
    keep_probabilities(run, "synthetic-test", data_identity="which older versions did not write of the test")
    write_json(run.summary, {"headline": {"nsd": {}, "mine": {}}, "nsd_tolerance": 2.0, "own_metrics": {"mine": {}}})
    assert lines(plans[:1], caplog) == []


@pytest.mark.parametrize(
    ("name", "of"),
    [("drawn-test", {}), ("synthetic-fold0-test", {"fold": 0}), ("synthetic-random-test", {"split_name": "random"})],
)
def test_probabilities_that_an_evaluation_of_its_test_has_kept_are_not_asked_for(
    name: str, of: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    facts = {"data_identity": "own", "split_name": None, "fold": None, **of}
    words = [f"data.fold={of['fold']}"] if "fold" in of else []
    run = finished(tmp_path, *words, **facts).folder
    asked = plan_of(tmp_path, *words, "save_probabilities=true")
    for other in ({"data_identity": "other"}, {"split_name": "another"}, {"fold": 1}):
        keep_probabilities(run, f"{other}-test", **{**facts, **other})
        assert len(lines([asked], caplog)) == 1, other
    keep_probabilities(run, f"{name}-tta", **facts)
    assert len(lines([asked], caplog)) == 1
    keep_probabilities(run, name, **facts)
    assert lines([asked], caplog) == []


def test_columns_that_no_run_has_are_told_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run = finished(tmp_path, data_identity="own").folder
    file = tmp_path / "sites.csv"
    asked = plan_of(tmp_path, f"data.metadata={file}")
    assert lines([asked], caplog) == [f"data.metadata={file}: {file} cannot be read (No such file or directory)"]
    file.write_text("id,site\na,north\n")
    run.splits.write_text("id,split,group\na,test,\n")
    assert lines([asked], caplog) == [
        f"its test has no columns of {file}; without training anew: medseg evaluate {run.path} data.metadata={file}"
    ]
    evaluation = run.evaluations / "synthetic-test"
    evaluation.mkdir(parents=True)
    (evaluation / "images.csv").write_text("id,split,group,site\na,test,,north\n")
    write_json(evaluation / "summary.json", {"data": "synthetic", "split": "test", "data_identity": "own"})
    assert lines([asked], caplog) == []
    run.splits.write_text("id,split,group,site\na,test,,north\n")
    (evaluation / "images.csv").unlink()
    assert lines([asked], caplog) == []


def keep_probabilities(run: RunFolder, name: str, **summary: Any) -> None:
    """Leave what an evaluation with `save_probabilities=true` leaves."""
    folder = run.evaluations / name
    folder.mkdir(parents=True)
    (folder / "probabilities.npz").touch()
    write_json(folder / "summary.json", {"data": "drawn", "split": "test", **summary})


def test_the_command_of_custom_metrics_is_one_that_a_shell_and_hydra_take(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    finished(tmp_path)
    given = [METRIC, "+metrics.mine.a=null", "+metrics.mine.b='x y'", "+metrics.mine.c=[1,2]", "+metrics.mine.d='null'"]
    asked = plan_of(tmp_path, *given)
    (warning,) = lines([asked], caplog)
    _, _, folder, *words = shlex.split(warning.partition("anew: ")[2])
    assert folder == str(asked.folder.path)
    assert plan_of(tmp_path, *words).cfg.metrics == asked.cfg.metrics


def test_weights_of_another_seed_are_told_of_and_no_training_goes_on_with_them(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    starts = [tmp_path / f"unet-0123abcd-seed{seed}" for seed in (0, 1)]
    for start in starts:
        (start / "checkpoints").mkdir(parents=True)
        (start / "checkpoints" / "best.ckpt").touch()
    run = finished(tmp_path, f"initial_weights={starts[0]}")
    same, other = (
        plan_of(tmp_path, f"initial_weights={path}") for path in (starts[0] / "checkpoints" / "best.ckpt", starts[1])
    )
    assert same.folder.path == other.folder.path == run.folder.path
    (tmp_path / "start").symlink_to(starts[0])
    (tmp_path / "start.ckpt").symlink_to(starts[0] / "checkpoints" / "best.ckpt")
    linked = [plan_of(tmp_path, f"initial_weights={tmp_path / name}") for name in ("start", "start.ckpt")]
    monkeypatch.chdir(starts[0])
    linked.append(plan_of(tmp_path, "initial_weights=checkpoints/best.ckpt"))
    for each in linked:
        assert each.folder.path == run.folder.path
        assert settings_of(each.cfg, None)["initial_weights"].startswith(str(starts[0]))
    assert lines([run, same, *linked], caplog) == []
    (warning,) = lines([other], caplog)
    assert warning.startswith(f"{run.folder.path.name} began with initial_weights={starts[0]}; force=true")
    monkeypatch.setattr(starting_point, "checkpoint_to_resume", lambda folder: object())
    monkeypatch.setattr(starting_point, "find_pretrained", lambda cfg, checkpoint: None)
    for each in (same, *linked):
        assert starting_point.find_starting_point(each.cfg, each).is_resumed
    longer = ("trainer.max_epochs=9", f"continue_from={run.folder.path}")
    assert not plan_of(tmp_path, f"initial_weights={tmp_path / 'start'}", *longer).finished
    with pytest.raises(UserError, match=f"^continue_from=.*: this run began with initial_weights={starts[0]}; give it"):
        plan_of(tmp_path, f"initial_weights={starts[1]}", *longer)
    write_json(run.folder.summary, {"epochs": run.cfg.trainer.max_epochs})
    offered = [find_shorter(plan_of(tmp_path, f"initial_weights={start}", longer[0])) for start in starts]
    assert [shorter and shorter.path for shorter in offered] == [run.folder.path, None]
    with pytest.raises(UserError, match=f"the interrupted run began with initial_weights={starts[0]}; give it these"):
        starting_point.find_starting_point(other.cfg, other)
