"""A trial of a tuning sees no test image, ends early where it is behind, and leaves no weights; `test=false`."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback

from medseg.data.prepared.dataset import PreparedDataset
from medseg.runs.folder import RunFolder
from medseg.runs.reading import read_runs
from medseg.runs.tuning import read_trial
from medseg.sweeps.sweep import is_finished
from medseg.system.files import read_csv, write_csv, write_json
from medseg.training.trials import MedianPruning
from tests.helpers import train
from tests.sweeps.planned import plan_job, write_run

SMALL = ("data.image_size=32", "test=false")
TRIAL = (*SMALL, "experiment=main/tuning", "tuning={trial:abc,pruning:median}", "trainer.max_epochs=4")


class Spoil(Callback):
    """Make the weights infinite in the second epoch, as a learning rate that is too high does."""

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.current_epoch == 1:
            next(pl_module.parameters()).data.fill_(float("inf"))


def curve(run: RunFolder) -> list[tuple[str, ...]]:
    return [(row["train/loss"], row["val/loss"], row["val/dice"]) for row in read_csv(run.metrics)]


def sibling(folder: Path, name: str, dice: list[float], code: str = "abc") -> None:
    """Leave the folder of another trial."""
    write_json(folder / name / "run.json", {"trial": code})
    write_csv(folder / name / "metrics.csv", [{"epoch": n, "val/dice": score} for n, score in enumerate(dice)])


def test_without_a_test_it_is_trained_and_the_same_command_tests_it_later(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    run = train(tmp_path, *SMALL)
    assert run.status["state"] == "trained"
    assert not run.test.exists()
    assert "trained; no test scores: test=false" in capsys.readouterr().out
    assert read_runs(run.path)[0].error == "no test scores: test=false"
    before = curve(run)
    train(tmp_path, *SMALL)
    assert curve(run) == before
    with caplog.at_level(logging.INFO, logger="medseg"):
        tested = train(tmp_path, *SMALL, "test=true")
    assert tested.path == run.path, "a test makes no other run"
    assert (tested.status["state"], curve(tested)) == ("finished", before)
    assert tested.per_image.exists()
    assert "going on with the test" in caplog.text
    assert (tested.status["untested"], tested.status["remark"]) == (False, "")
    caplog.clear()
    for words in (SMALL, (*SMALL, "test=true")):
        with caplog.at_level(logging.INFO, logger="medseg"):
            train(tmp_path, *words)
        assert tested.status["state"] == "finished", "what is tested stays so"
    assert caplog.text.count("finished already, so not repeated") == 2


@pytest.mark.parametrize(("state", "done"), [("trained", False), ("finished", True)])
def test_a_sweep_tests_what_was_trained_without_a_test_once(state: str, done: bool, tmp_path: Path) -> None:
    job = plan_job(tmp_path)
    write_run(job, [1.0], state, untested=True)  # which older versions have left after the test as well
    assert is_finished(job) == done


def test_trials_do_not_depend_on_the_test_images(tmp_path: Path) -> None:
    rates = ("optimizer.lr=0.001", "optimizer.lr=0.02")
    clean = [train(tmp_path, *TRIAL, "trainer.max_epochs=2", rate) for rate in rates]
    split = {row["id"]: row["split"] for row in read_csv(clean[0].splits)}
    (prepared,) = (path.parent for path in (tmp_path / "data").rglob("images.npy"))
    ids = PreparedDataset(prepared).ids
    test = [number for number, name in enumerate(ids) if split[name] == "test"]
    assert test
    for name in ("images.npy", "masks.npy"):
        array = np.load(prepared / name, mmap_mode="r+")
        array[test] = np.random.default_rng(0).integers(0, 2 if "masks" in name else 255, array[test].shape)
        array.flush()
    poisoned = [train(tmp_path, *TRIAL, "trainer.max_epochs=2", rate, "experiment=poisoned/tuning") for rate in rates]
    assert [curve(run) for run in poisoned] == [curve(run) for run in clean]
    assert curve(clean[0]) != curve(clean[1])


def test_a_trial_that_is_behind_is_pruned(tmp_path: Path) -> None:
    place = tmp_path / "runs" / "main" / "tuning"
    sibling(place, "one", [0.9, 0.9, 0.9, 0.9])
    sibling(place, "two", [0.9, 0.9])
    run = train(tmp_path, *TRIAL)
    trial = read_trial(run, {"optimizer.lr": 1e-3})
    assert (trial.state, trial.epochs) == ("pruned", 2), "not in the first third of four epochs"
    assert trial.dice == max(float(row["val/dice"]) for row in read_csv(run.metrics))
    assert not run.best_checkpoint.parent.exists(), "nothing uses its weights"
    assert run.status["remark"] == "pruned: below the median of the other trials"
    before = run.status
    assert train(tmp_path, *TRIAL).status == before, "it has ended"


def test_a_trial_that_diverges_has_ended(tmp_path: Path) -> None:
    run = train(tmp_path, *TRIAL, "+callbacks.spoil._target_=tests.training.test_trials.Spoil")
    trial = read_trial(run, {})
    assert (trial.state, trial.dice, run.finished) == ("diverged", None, True)
    assert "the loss is nan in epoch 1" in run.status["remark"]


@pytest.mark.parametrize(
    ("here", "others", "behind"),
    [
        ([0.5, 0.5], [[0.6, 0.6], [0.7, 0.7]], True),
        ([0.5, 0.5], [[0.6, 0.6]], False),  # too few to have a median
        ([0.5, 0.5], [[0.6], [0.7, 0.7]], False),  # one has not come so far
        ([0.5], [[0.6, 0.6], [0.7, 0.7]], False),  # in the first part
        ([0.5, 0.5, 0.5, 0.5], [[0.6] * 4, [0.7] * 4], False),  # over anyway
        ([0.65, 0.1], [[0.6, 0.6], [0.7, 0.7]], False),  # the best so far is what counts, and equal is not behind
        ([0.5, 0.5], [[0.1, 0.1, 0.9], [0.1, 0.1, 0.9]], False),  # what they came to later does not count
        ([float("nan")] * 2, [[0.6, 0.6], [0.7, 0.7]], True),
        ([0.5, 0.5], [[float("nan")] * 2, [0.7, 0.7]], False),
    ],
)
def test_who_is_behind(here: list[float], others: list[list[float]], behind: bool, tmp_path: Path) -> None:
    sibling(tmp_path, "here", here)
    for number, dice in enumerate(others):
        sibling(tmp_path, f"other{number}", dice)
    sibling(tmp_path, "elsewhere", [1.0] * 4, code="of another setting")
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "run.json").write_text("{")
    pruning = MedianPruning(RunFolder(tmp_path / "here"), "abc")
    assert pruning.is_behind(len(here), 4) is behind
