"""`medseg evaluate` of a whole experiment."""

from __future__ import annotations

import json
import logging
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from medseg.commands.evaluate import check_images
from medseg.errors import ConfigError, UserError
from medseg.reporting.report import compare
from medseg.runs.evaluations import DONE_BEFORE, OTHER_CLASSES
from medseg.runs.folder import RunFolder
from medseg.runs.reading import read_runs
from medseg.sweeps import evaluations
from medseg.sweeps.evaluations import evaluate_runs, single_run
from tests.helpers import command, compose_config, train
from tests.reporting.fabricate import fabricate


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    states = {("unet", "kvasir", 2): "failed"}
    return fabricate(tmp_path_factory.mktemp("sweep") / "mine", {"unet": 0.0}, seeds=(0, 1, 2), states=states, images=4)


def test_a_run_or_a_checkpoint_alone_is_evaluated_in_this_process(sweep: Path) -> None:
    run = str(next(sweep.glob("*seed0")))
    assert single_run(run) == single_run([run]) == run
    assert single_run("no/such/place") == "no/such/place", "which is refused as ever"
    assert single_run(str(sweep)) is None
    assert single_run([run, run]) is None


def pretend(monkeypatch: pytest.MonkeyPatch, ends: list[tuple[int, str]]) -> list[list[str]]:
    """Have jobs end with these exit codes and last lines; return the arguments of those that begin."""
    begun: list[list[str]] = []

    def start(command: list[str], *_: Any) -> Any:
        begun.append(command)
        code, line = ends[len(begun) - 1]
        return SimpleNamespace(lines=[line] if line else [], result=lambda: code, pid=0)

    monkeypatch.setattr(evaluations, "JobProcess", start)
    return begun


def test_every_finished_run_is_evaluated_with_the_words_of_the_command(
    sweep: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    begun = pretend(monkeypatch, [(0, ""), (0, "")])
    words = [f"checkpoint={sweep}", "data=cvc", "tta=true"]
    with caplog.at_level(logging.INFO):
        evaluate_runs(compose_config("evaluate", *words), words)
    runs = sorted(sweep.glob("*seed[01]"))
    assert begun == [
        [sys.executable, "-m", "medseg", "evaluate", f"checkpoint='{run}'", "force=false", "data=cvc", "tta=true"]
        for run in runs
    ]
    assert "1 of 3 runs are not finished, so not evaluated" in caplog.text
    assert "evaluations: 2 evaluated" in caplog.text


def test_what_fails_is_named_and_the_others_go_on(
    sweep: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    begun = pretend(monkeypatch, [(-9, "loading"), (2, "error: predicts 2 classes, CVC has 3")])
    words = [f"checkpoint={sweep}", "force=true"]
    with caplog.at_level(logging.INFO), pytest.raises(UserError, match="2 jobs failed of 2; the same command"):
        evaluate_runs(compose_config("evaluate", *words), words)
    assert [arguments[5] for arguments in begun] == ["force=true"] * 2
    assert "out of memory?" in caplog.text
    assert caplog.text.count("ERROR") == 3, "the reason of one that was killed, and both names"


def test_what_is_there_already_is_counted_apart(
    sweep: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pretend(monkeypatch, [(0, f"INFO {DONE_BEFORE}: runs/a"), (2, "error: no images")])
    words = [f"checkpoint={sweep}"]
    with caplog.at_level(logging.INFO), pytest.raises(UserError, match="1 job failed of 2"):
        evaluate_runs(compose_config("evaluate", *words), words)
    assert "evaluations: 1 done before, 1 failed" in caplog.text
    assert "no images" not in caplog.text, "its process has printed it"


def test_runs_of_other_classes_are_skipped_with_a_line(
    sweep: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pretend(monkeypatch, [(0, f"WARNING {OTHER_CLASSES}: best.ckpt predicts 2 classes"), (0, "")])
    words = [f"checkpoint={sweep}"]
    with caplog.at_level(logging.INFO):
        evaluate_runs(compose_config("evaluate", *words), words)
    assert "evaluations: 1 skipped, 1 evaluated" in caplog.text
    pretend(monkeypatch, [(0, f"WARNING {OTHER_CLASSES}: x")] * 2)
    with pytest.raises(UserError, match="no run has as many classes as these data, so none was evaluated"):
        evaluate_runs(compose_config("evaluate", *words), words)


def test_one_of_many_runs_says_that_it_has_other_classes(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from medseg.commands import evaluate as command_module
    from medseg.training.evaluation_data import OtherClassesError

    def refuse(*_: Any) -> None:
        raise OtherClassesError("best.ckpt predicts 2 classes, CVC has 3")

    monkeypatch.setattr("medseg.training.evaluation.evaluate_checkpoint", refuse)
    monkeypatch.setattr(sys, "argv", ["medseg", "evaluate"])
    with pytest.raises(OtherClassesError):
        command_module.evaluate(compose_config("evaluate", "checkpoint=x.ckpt"))
    monkeypatch.setenv(evaluations.ONE_OF_MANY, "1")
    command_module.evaluate(compose_config("evaluate", "checkpoint=x.ckpt"))
    assert f"{OTHER_CLASSES}: best.ckpt predicts 2 classes, CVC has 3" in caplog.text


def test_an_interruption_ends_all_of_it(sweep: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt() -> int:
        raise KeyboardInterrupt

    begun = []
    job = SimpleNamespace(lines=[], result=interrupt, pid=0)
    monkeypatch.setattr(evaluations, "JobProcess", lambda *given: begun.append(given) or job)
    words = [f"checkpoint={sweep}"]
    with pytest.raises(KeyboardInterrupt):
        evaluate_runs(compose_config("evaluate", *words), words)
    assert len(begun) == 1


def test_what_cannot_be_evaluated_is_refused_in_one_line(sweep: Path, tmp_path: Path) -> None:
    for words, message in (
        ([f"checkpoint={sweep}", f"output={tmp_path}"], "output is the folder of one evaluation"),
        ([f"checkpoint={tmp_path}"], "no runs in it"),
    ):
        with pytest.raises(UserError, match=message):
            evaluate_runs(compose_config("evaluate", *words), words)
    with pytest.raises(ConfigError, match=r"holds runs, no images; .* checkpoint=\[A,B\]"):
        check_images(str(sweep))
    check_images(str(tmp_path))
    check_images(None)


@pytest.mark.slow
def test_an_experiment_is_evaluated_goes_on_and_is_reported(tmp_path: Path) -> None:
    for seed in (0, 1):
        train(tmp_path, "trainer.max_epochs=1", f"seed={seed}")
    runs = read_runs(tmp_path / "runs").runs
    broken = RunFolder(runs[0].folder).best_checkpoint
    shutil.copyfile(broken, tmp_path / "whole.ckpt")
    broken.write_bytes(broken.read_bytes()[:1000])
    words = ("runs", "data=synthetic", "data.dataset.style=nuclei", "data.dataset.count=10", "trainer.accelerator=cpu")
    done = command("evaluate", *words, cwd=tmp_path)
    assert done.returncode == 1
    assert "evaluations: 1 failed, 1 evaluated" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("error: 1 job failed of 2; the same command tries again")
    shutil.copyfile(tmp_path / "whole.ckpt", broken)
    again = command("evaluate", *words, cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert again.stderr.count("evaluated already, so not repeated") == 1
    assert "evaluations: 1 evaluated, 1 done before" in again.stderr
    assert again.stdout.count(": Dice ") == 2
    made = compare(read_runs(tmp_path / "runs"))
    assert [column.label for column in made.comparison.columns] == [
        "synthetic",
        "synthetic -> synthetic, count=10, style=nuclei",
    ]
    (cell,) = made.comparison.column_cells(made.comparison.columns[1])
    assert len(cell.runs) == 2
    assert json.loads((cell.runs[0].predictions.parent / "summary.json").read_text())["words"] == [*words[1:4]]
