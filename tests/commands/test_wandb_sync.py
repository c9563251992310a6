"""`medseg wandb-sync`: which runs it finds, what it hands to W&B, the comparison as a run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from medseg.commands import wandb_sync
from medseg.errors import ConfigError, UserError
from medseg.metrics.measures import MEASURES
from medseg.reporting.comparison import compare_runs
from medseg.reporting.wandb_report import log_comparison
from medseg.runs.reading import read_runs
from medseg.training.loggers import wandb_login as account
from medseg.training.loggers import wandb_offline
from tests.helpers import command, compose_config
from tests.reporting.fabricate import fabricate
from tests.training.loggers.test_wandb import history, opened, records
from tests.wandb_server import KEY, serving


def sync(folder: Path, *overrides: str) -> None:
    wandb_sync.wandb_sync(compose_config("wandb_sync", f"runs=['{folder}']", *overrides))


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The commands that would have been run, by somebody with an account."""
    commands: list[list[str]] = []

    class Done:
        returncode = 0

    def run(words: list[str], **_: object) -> Done:
        commands.append(words)
        return Done()

    monkeypatch.setattr(wandb_offline.subprocess, "run", run)
    monkeypatch.setattr(wandb_sync, "check_wandb_account", lambda: None)
    return commands


def test_every_part_of_every_run_in_the_order_of_time(tmp_path: Path, sent: list[list[str]]) -> None:
    parts = [
        tmp_path / "sweep" / "b-seed0" / "wandb" / "offline-run-20260102_000000-one",
        tmp_path / "sweep" / "a-seed0" / "wandb" / "offline-run-20260101_000000-two",
        tmp_path / "sweep" / "b-seed0" / "wandb" / "offline-run-20260103_000000-one",
    ]
    for part in parts:
        part.mkdir(parents=True)
    (tmp_path / "sweep" / "a-seed0" / "wandb" / "run-20260101_000000-online").mkdir()
    sync(tmp_path / "sweep", "project=polyps", "entity=lab")
    (words,) = sent
    assert words[2:5] == ["wandb", "sync", "--yes"]
    assert words[5:9] == ["--project", "polyps", "--entity", "lab"]
    assert words[9:] == [str(parts[1]), str(parts[0]), str(parts[2])]


def test_the_part_of_a_copied_run_is_sent_once(tmp_path: Path, sent: list[list[str]]) -> None:
    name = "wandb/offline-run-20260101_000000-two"
    for run in ("a-seed0", "backup/a-seed0", "z"):
        (tmp_path / "sweep" / run / name).mkdir(parents=True)
    sync(tmp_path / "sweep")
    (tmp_path / "sweep" / "z" / name / "run-two.wandb.synced").touch()
    sync(tmp_path / "sweep")
    first, second = sent
    assert first[5:] == [str(tmp_path / "sweep" / "a-seed0" / name)]
    assert second[5:] == [str(tmp_path / "sweep" / "z" / name)], "of which W&B knows that it was sent"


def test_what_it_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="no such folder"):
        sync(tmp_path / "none")
    with pytest.raises(UserError, match="no offline W&B runs; trainings write them with logger=wandb"):
        sync(tmp_path)
    with pytest.raises(ConfigError, match="which runs"):
        wandb_sync.wandb_sync(compose_config("wandb_sync"))
    (tmp_path / "run" / "wandb" / "offline-run-20260101_000000-x").mkdir(parents=True)
    with pytest.raises(ConfigError, match="dry_run is 3"):
        sync(tmp_path, "dry_run=3")
    monkeypatch.setattr(account, "log_in", lambda *, verify: False)
    with pytest.raises(UserError, match="needs an account: run `wandb login`"):
        sync(tmp_path)


def test_the_comparison_is_a_run_in_the_group_of_the_sweep(tmp_path: Path) -> None:
    folder = fabricate(tmp_path / "runs" / "first", {"unet": 0.0, "convunext": 0.03}, seeds=(0, 1), images=20)
    (folder / "report").mkdir()
    (folder / "report" / "report.md").write_text("# first\n")
    kept = log_comparison(read_runs([folder]).runs)
    assert kept.parent.parent == folder
    written = records(folder)
    (run,) = opened(written)
    assert (run.run_group, run.job_type, run.project) == ("first", "report", "medseg")
    (table,) = [step["comparison"] for step in history(written)]
    (file,) = folder.glob("wandb/offline-run-*/files/media/table/comparison_*.table.json")
    content = json.loads(file.read_text())
    assert table["nrows"] == len(content["data"])
    shown = {tuple(row[:3]): row[3] for row in content["data"]}
    for (row, column), cell in compare_runs(read_runs([folder]).runs, MEASURES["dice"]).cells.items():
        for name, score in cell.scores.items():
            assert shown[row.label, column.label, name] == pytest.approx(score.mean)
    # The same comparison again is the same run, and no run of the sweep.
    log_comparison(read_runs([folder]).runs)
    assert len({one.run_id for one in opened(records(folder))}) == 1
    assert len(read_runs([folder]).runs) == 4


def test_the_command_says_what_it_would_send(tmp_path: Path) -> None:
    folder = fabricate(tmp_path / "runs" / "first", {"unet": 0.0}, images=8)
    (folder / next(folder.glob("unet*")).name / "wandb" / "offline-run-20260101_000000-x").mkdir(parents=True)
    done = command("wandb_sync", "runs/first", "report=true", "dry_run=true", cwd=tmp_path)
    assert "Traceback" not in done.stderr
    assert "2 W&B run folders below runs/first" in done.stdout, done.stderr


@pytest.fixture
def kept_offline(tmp_path: Path) -> Path:
    """A run that W&B has kept offline, below runs/first."""
    import wandb

    folder = tmp_path / "runs" / "first" / "unet-seed0"
    folder.mkdir(parents=True)
    settings = wandb.Settings(console="off", silent=True)
    run = wandb.init(dir=folder, project="medseg", id="abc", mode="offline", settings=settings)
    run.log({"val/dice": 0.5})
    run.finish()
    wandb.teardown()
    return folder


@pytest.mark.slow
def test_what_the_server_takes_is_sent_once(
    tmp_path: Path, kept_offline: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    with serving() as server:
        monkeypatch.setenv("WANDB_BASE_URL", server.url)
        done = command("wandb_sync", "runs/first", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert "UpsertBucket" in server.operations
        first = len(server.operations)
        assert command("wandb_sync", "runs/first", cwd=tmp_path).returncode == 0
        assert set(server.operations[first:]) == {"Viewer"}


@pytest.mark.parametrize(("key", "reason"), [(KEY, "user is not logged in"), ("short", "must have 40")])
def test_an_account_that_is_refused_is_one_line(
    tmp_path: Path, kept_offline: Path, monkeypatch: pytest.MonkeyPatch, key: str, reason: str
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", key)
    with serving(refuses=True) as server:
        monkeypatch.setenv("WANDB_BASE_URL", server.url)
        done = command("wandb_sync", "runs/first", cwd=tmp_path)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: W&B: ")
    assert reason in line
    assert "look at WANDB_API_KEY" in line


def test_a_run_that_is_refused_is_not_success(
    tmp_path: Path, kept_offline: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    with serving(refused="UpsertBucket") as server:
        monkeypatch.setenv("WANDB_BASE_URL", server.url)
        done = command("wandb_sync", "runs/first", cwd=tmp_path)
    assert done.returncode == 1
    assert "error: 1 of 1 W&B run folders were not sent (see above)" in done.stderr
