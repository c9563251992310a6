"""Loggers by `_target_`: Lightning's, one's own, and those that cannot be built."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest
from hydra.core.hydra_config import HydraConfig
from lightning.pytorch.loggers import CometLogger, CSVLogger, MLFlowLogger, WandbLogger
from omegaconf import OmegaConf

from medseg.errors import ConfigError
from medseg.runs.plan import plan_run
from medseg.system.files import read_csv
from medseg.training.loggers.build import RunInfo, arguments_of, build_loggers, store_id, stored_ids
from tests.helpers import compose_config, train

RUN = RunInfo(
    Path("runs/main/unet-kvasir-0123abcd-seed1"),
    {
        "name": "unet-kvasir-0123abcd-seed1",
        "experiment": "main",
        "setting": "unet-kvasir-0123abcd",
        "seed": 1,
        "choices": {"model": "unet", "data": "kvasir", "logger": "csv", "callbacks": ["ema", "early_stopping"]},
        "overrides": ["model=unet", "+model.depth=4", "seed=1", "data.num_workers=0", "logger.wandb.mode=disabled"],
        "defaults": {"optimizer.lr": 0.001},
    },
    "0123456789abcdef" * 2,
    {
        "seed": 1,
        "model": {"depth": 4, "norm": "batch"},
        "optimizer": {"lr": 0.01},
        "data": {"num_workers": 0},
        "logger": {"wandb": {"mode": "disabled"}},
    },
)

OWN = "+logger.mine._target_=tests.training.loggers.own_loggers."
CSV = "+logger.mine._target_=lightning.pytorch.loggers.CSVLogger"


def test_a_run_has_a_short_title_and_the_settings_that_tell_it_apart() -> None:
    assert RUN.title == "unet-kvasir-seed1"
    assert RUN.settings == {
        "model": "unet", "data": "kvasir", "callbacks": "ema,early_stopping",
        "seed": 1, "model.depth": 4, "optimizer.lr": 0.01,
    }  # fmt: skip


def test_a_class_gets_what_its_signature_names() -> None:
    folder = f"{RUN.folder}/mine"
    assert arguments_of(CSVLogger, "mine", RUN) == {"save_dir": folder, "name": RUN.title}
    assert arguments_of(WandbLogger, "mine", RUN) == {
        "save_dir": folder, "name": RUN.title, "version": RUN.id[:12], "id": RUN.id[:12],
    }  # fmt: skip
    assert arguments_of(MLFlowLogger, "mine", RUN) == {
        "save_dir": folder, "run_name": RUN.title, "experiment_name": "main",
    }  # fmt: skip
    assert arguments_of(CometLogger, "mine", RUN) == {"experiment_key": RUN.id}


def test_the_id_that_a_logger_gives_a_run_is_kept(tmp_path: Path) -> None:
    class Named(CSVLogger):
        run_id = "abc"

    store_id(tmp_path, "one", CSVLogger(tmp_path))
    assert stored_ids(tmp_path) == {}
    store_id(tmp_path, "one", Named(tmp_path))
    store_id(tmp_path, "two", Named(tmp_path))
    assert stored_ids(tmp_path) == {"one": "abc", "two": "abc"}
    (tmp_path / "loggers.json").write_text("{")
    assert stored_ids(tmp_path) == {}


def test_several_at_once_each_have_curves_hyperparameters_and_the_test(tmp_path: Path) -> None:
    run = train(tmp_path, CSV, f"{OWN}Database".replace("mine", "own"), "+logger.own.table=curves")
    scores = json.loads(run.summary.read_text())["headline"]
    (file,) = run.path.glob("mine/unet-synthetic-cpu-seed0/version_0/metrics.csv")
    rows = read_csv(file)
    assert [row["val/dice"] for row in rows if row["val/dice"]] == [row["val/dice"] for row in read_csv(run.metrics)]
    assert float(rows[-1]["test/dice"]) == pytest.approx(scores["dice"]["mean"])
    assert "base_channels: 4" in file.with_name("hparams.yaml").read_text()
    kept = sqlite3.connect(run.path / "own" / "log.db").execute("select * from curves").fetchall()
    (one,) = {(name, version) for name, version, *_ in kept}
    assert one == ("unet-synthetic-cpu-seed0", json.loads(run.record.read_text())["id"][:12])
    values = {key: value for _, _, key, value, _ in kept}
    assert (values["base_channels"], values["status"]) == (4, "success")
    assert values["setting"] == run.path.name.removesuffix("-seed0")
    assert values["test/dice"] == pytest.approx(scores["dice"]["mean"])
    steps = [step for _, _, key, _, step in kept if key == "train/loss"]
    assert len(steps) == 2
    assert steps[0] < steps[1]
    assert [step for _, _, key, _, step in kept if key == "test/dice"] == steps[1:]


def test_an_interrupted_run_goes_on_without_a_loss(tmp_path: Path) -> None:
    words = (CSV, "trainer.max_epochs=4", "+callbacks.stop._target_=tests.training.test_job.Interrupt")
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, *words)
    run = train(tmp_path, *words)
    files = sorted(run.path.glob("mine/*/version_*/metrics.csv"))
    epochs = [row["epoch"] for file in files for row in read_csv(file) if row["val/dice"]]
    assert epochs == ["0", "1", "2", "3"]


def test_a_logger_of_fabric(tmp_path: Path) -> None:
    node = OmegaConf.create({"mine": {"_target_": "tests.training.loggers.own_loggers.FromFabric"}})
    (mirror,) = build_loggers(node, replace(RUN, folder=tmp_path))
    mirror.begin()
    mirror.log_metrics({"val/dice": 0.5}, 1)
    mirror.after_save_checkpoint(None)
    mirror.save()
    assert mirror.on
    mirror.end(0)
    assert mirror._logger.kept == [*RUN.config, "run", "val/dice"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("+logger.mine.save_dir=x", "logger.mine needs a class"),
        ("+logger.mine=x", "logger.mine needs a class"),
        (f"{CSV} +logger.mine.nmae=x", "logger.mine.nmae: CSVLogger takes no 'nmae'; did you mean 'name'?"),
        (f"{CSV[:-6]}Loger", "lightning.pytorch.loggers has no 'CSVLoger'"),
        (
            f"{OWN}NoLogger",
            "logger.mine: tests.training.loggers.own_loggers.NoLogger made a NoLogger; a logger must be",
        ),
        (f"{OWN}Database +logger.mine.table=1", "logger.mine: OperationalError: near"),
        (
            "+logger.mine._target_=lightning.pytorch.loggers.neptune.NeptuneLogger",
            "RuntimeError: NeptuneLogger is no longer supported",
        ),
    ],
)
def test_a_logger_that_cannot_be_built_is_one_line_before_the_run(words: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        train(tmp_path, *words.split())
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.glob("runs/main/*/config.yaml"))


def test_a_wrong_logger_costs_no_run_that_is_there(tmp_path: Path) -> None:
    run = train(tmp_path, "trainer.max_epochs=1")
    with pytest.raises(ConfigError):
        train(tmp_path, "trainer.max_epochs=1", "force=true", f"{OWN}NoLogger")
    assert run.finished
    assert run.best_checkpoint.is_file()


def test_a_server_that_is_gone_is_one_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert train(tmp_path, f"{OWN}Unreachable", "trainer.max_epochs=1").finished
    warnings = [record.getMessage() for record in caplog.records if record.name == "medseg.training.loggers.mirror"]
    (warning,) = warnings
    assert warning.startswith("logger.mine is off from here on (ConnectionRefusedError")


def test_a_logger_does_not_change_the_name_of_a_run() -> None:
    names = set()
    for words in (
        (),
        ("logger=csv",),
        ("logger=[tensorboard,mlflow]",),
        (CSV, "+logger.mine.flush_logs_every_n_steps=1"),
    ):
        cfg = compose_config("train", *words)
        plan = plan_run(cfg, HydraConfig.get())
        assert not [key for key in plan.record["defaults"] if key.startswith("logger")]
        names.add(plan.facts["name"])
    assert len(names) == 1
