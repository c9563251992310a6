"""`continue_from`: a finished run goes on for more epochs, as a run of its own."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from medseg.errors import ConfigError
from medseg.runs.equivalence import same
from medseg.runs.folder import RunFolder
from medseg.runs.reading import read_runs
from medseg.runs.tuning import Trial, Tuning
from medseg.system.files import read_csv, write_json
from tests.helpers import train

CONSTANT = ("scheduler=none", "data.image_size=32")
"""A learning rate that does not depend on the number of epochs."""


def losses(run: RunFolder) -> list[tuple[str, str]]:
    return [(row["train/loss"], row["val/dice"]) for row in read_csv(run.metrics)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("continuing")


@pytest.fixture(scope="module")
def short(folder: Path) -> RunFolder:
    return train(folder, *CONSTANT, "trainer.max_epochs=2")


def test_a_continued_run_is_what_an_unbroken_one_is(folder: Path, short: RunFolder) -> None:
    before = (short.metrics.read_bytes(), short.last_checkpoint.read_bytes())
    longer = train(folder, *CONSTANT, "trainer.max_epochs=4", f"continue_from={short.path}")
    unbroken = train(folder, *CONSTANT, "trainer.max_epochs=4", "experiment=unbroken")
    assert longer.path != short.path
    assert losses(longer) == losses(unbroken)
    assert len(losses(longer)) == 4
    assert longer.per_image.read_bytes() == unbroken.per_image.read_bytes()
    assert (short.metrics.read_bytes(), short.last_checkpoint.read_bytes()) == before


def test_a_longer_training_is_told_of_the_run_it_can_go_on_from(
    folder: Path, short: RunFolder, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="medseg"):
        train(folder, *CONSTANT, "trainer.max_epochs=3")
    assert f"to go on from it: continue_from={short.path}" in caplog.text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["trainer.max_epochs=2"], "this run has 2 epochs; give trainer.max_epochs=... with more"),
        (["trainer.max_epochs=4", "seed=1"], "this run has seed 0; give seed=0"),
        (
            ["trainer.max_epochs=4", "optimizer.lr=0.5"],
            "only the number of epochs may differ, but optimizer.lr was 0.001 and is 0.5",
        ),
    ],
)
def test_only_more_epochs_of_the_same_can_be_added(
    words: list[str], message: str, folder: Path, short: RunFolder
) -> None:
    with pytest.raises(ConfigError, match=message):
        train(folder, *CONSTANT, *words, f"continue_from={short.path}")


def test_a_tuned_run_goes_on_with_the_values_that_were_chosen(folder: Path) -> None:
    given = (*CONSTANT, "experiment=tuned", "trainer.max_epochs=2")
    values = {"optimizer.lr": 0.003}
    tuned = train(folder, *given, "trainer.max_epochs=1", "protocol=tuned", "optimizer.lr=0.003")
    tuning = Tuning("grid", {"optimizer.lr": [0.003]}, {}, [Trial("", values, "trained", 0.5, 1, 1.0)], 0)
    write_json(tuned.tuning, tuning.as_plain())
    message = "settings of this run are chosen already; leave out protocol=tuned, and give optimizer.lr=0.003$"
    with pytest.raises(ConfigError, match=message):
        train(folder, *given, "protocol=tuned", f"continue_from={tuned.path}")
    with pytest.raises(ConfigError, match=r"may differ, but optimizer.lr was 0.003 and is 0.001$"):
        train(folder, *given, f"continue_from={tuned.path}")
    assert len(losses(train(folder, *given, "optimizer.lr=0.003", f"continue_from={tuned.path}"))) == 2


def test_runs_of_several_seeds_stay_one_row(folder: Path, short: RunFolder) -> None:
    other = train(folder, *CONSTANT, "trainer.max_epochs=2", "seed=1")
    runs = []
    for run in (short, other):
        seed = run.path.name[-1]
        longer = train(folder, *CONSTANT, "trainer.max_epochs=4", f"continue_from={run.path}", f"seed={seed}")
        runs += read_runs([longer.path]).runs
    assert runs[0].seed != runs[1].seed
    assert same(*runs)
    assert runs[0].setting == runs[1].setting


def test_a_run_that_early_stopping_ended_is_not_continued(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    stop = ("callbacks=early_stopping", "+callbacks.early_stopping.stopping_threshold=0.0", "experiment=stopped")
    stopped = train(folder, *CONSTANT, *stop, "trainer.max_epochs=3")
    with pytest.raises(ConfigError, match="early stopping ended this run after 1 epoch;"):
        train(folder, *CONSTANT, *stop, "trainer.max_epochs=5", f"continue_from={stopped.path}")
    with caplog.at_level(logging.INFO, logger="medseg"):
        train(folder, *CONSTANT, *stop, "trainer.max_epochs=6")
    assert "continue_from" not in caplog.text


def test_a_continued_run_resumes_without_the_run_that_it_goes_on_from(folder: Path) -> None:
    interrupt = "+callbacks.interrupt._target_=tests.training.test_job.Interrupt"  # in the third epoch
    words = (*CONSTANT, "experiment=gone", interrupt)
    short = train(folder, *words, "trainer.max_epochs=1")
    longer = (*words, "trainer.max_epochs=4", f"continue_from={short.path}")
    with pytest.raises(KeyboardInterrupt):
        train(folder, *longer)
    short.path.rename(folder / "moved")
    run = train(folder, *longer)
    assert len(losses(run)) == 4
    # A finished run needs neither that run nor checkpoints to be looked up again.
    run.last_checkpoint.unlink()
    assert train(folder, *longer).path == run.path


def test_other_data_are_refused_before_anything_is_written(folder: Path, short: RunFolder) -> None:
    content = short.last_checkpoint.read_bytes()
    other = train(folder, "scheduler=none", "data.image_size=32", "+data.dataset.seed=1", "trainer.max_epochs=2")
    short.last_checkpoint.write_bytes(other.last_checkpoint.read_bytes())
    before = set((folder / "runs" / "main").iterdir())
    with pytest.raises(ConfigError, match="this run was trained on other data than there are now"):
        train(folder, *CONSTANT, "trainer.max_epochs=9", f"continue_from={short.path}")
    assert set((folder / "runs" / "main").iterdir()) == before
    short.last_checkpoint.write_bytes(content)
