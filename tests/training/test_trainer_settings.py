"""Arguments of Lightning's trainer: refused before anything is prepared, or right, also when the run is resumed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from medseg.config.checks.check import check
from medseg.errors import ConfigError
from medseg.system.files import read_csv
from tests.helpers import TINY, command, compose_config, train
from tests.training.test_resuming import ARGUMENTS, same_end


@pytest.mark.parametrize(
    "argument",
    [
        "trainer.check_val_every_n_epoch=3", "+trainer.val_check_interval=2", "+trainer.val_check_interval=0.5",
        "+trainer.val_check_interval=1", "+trainer.max_steps=3", "+trainer.max_time=00:00:10:00",
        "+trainer.fast_dev_run=true", "+trainer.fast_dev_run=2", "+trainer.limit_train_batches=0",
        "+trainer.limit_val_batches=0", "+trainer.limit_test_batches=1", "+trainer.overfit_batches=1",
        "+trainer.overfit_batches=0.5", "+trainer.min_epochs=3", "+trainer.min_steps=3",
        "+trainer.enable_checkpointing=false", "+trainer.num_sanity_val_steps=2", "+trainer.default_root_dir=here",
        "+trainer.barebones=true", "+trainer.logger=false", "+trainer.callbacks=[]", "+trainer.plugins=[]",
        "+trainer.use_distributed_sampler=true", "+trainer.num_nodes=2",
    ],
)  # fmt: skip
def test_what_a_run_cannot_have_is_refused(argument: str) -> None:
    key = argument.lstrip("+").partition("=")[0]
    with pytest.raises(ConfigError, match=rf"^{key} is .*; it must be "):
        check(compose_config("train", *TINY, argument), "train")


def test_what_is_as_good_as_none_is_taken() -> None:
    idle = (
        "+trainer.val_check_interval=1.0", "+trainer.max_steps=-1", "+trainer.overfit_batches=0",
        "+trainer.fast_dev_run=false", "+trainer.limit_test_batches=1.0", "+trainer.enable_checkpointing=true",
        "+trainer.barebones=false", "+trainer.min_epochs=2", "+trainer.max_time=null",
    )  # fmt: skip
    check(compose_config("train", *TINY, *idle), "train")


def test_it_is_said_before_anything_is_prepared(tmp_path: Path) -> None:
    done = command("train", *TINY, "+trainer.limit_test_batches=1", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr == ("error: trainer.limit_test_batches is 1; it must be left out; every test image is scored\n")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("split", "batches"), [("train", "4 batches"), ("val", "1 batch")])
def test_a_part_of_the_batches_that_is_less_than_one(split: str, batches: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=rf"limit_{split}_batches is 0\.1, of {batches} in an epoch; "):
        train(tmp_path, f"+trainer.limit_{split}_batches=0.1")
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [
        ("+trainer.limit_train_batches=2", "+trainer.limit_val_batches=1"),
        ("trainer.check_val_every_n_epoch=2", "scheduler=plateau"),
        # Interrupted before there is a best epoch.
        ("trainer.check_val_every_n_epoch=3",),
        ("+trainer.min_epochs=4", "callbacks=early_stopping", "+callbacks.early_stopping.stopping_threshold=0.0"),
        ("+trainer.reload_dataloaders_every_n_epochs=1", "+trainer.log_every_n_steps=1"),
    ],
    ids=lambda arguments: arguments[0].lstrip("+").partition("=")[0],
)
def test_what_it_can_have_is_right(arguments: tuple[str, ...], tmp_path: Path) -> None:
    unbroken = train(tmp_path, *ARGUMENTS, *arguments, "experiment=unbroken")
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, *ARGUMENTS, *arguments)
    run = train(tmp_path, *ARGUMENTS, *arguments)
    assert "resuming" in run.log.read_text()
    assert same_end(run, unbroken)
    rows = read_csv(run.metrics)
    assert [row["epoch"] for row in rows] == ["0", "1", "2", "3"]
    measured = [row for row in rows if row["val/dice"]]
    best = max(measured, key=lambda row: float(row["val/dice"]))
    assert json.loads(run.summary.read_text())["best_epoch"] == int(best["epoch"]) + 1
