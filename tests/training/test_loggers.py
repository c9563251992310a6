from __future__ import annotations

import json
from pathlib import Path

import pytest

from medseg.errors import ConfigError, UserError
from tests.helpers import train


def records(folder: Path) -> list[dict]:
    """Read an offline W&B run back from its file."""
    from wandb.proto import wandb_internal_pb2
    from wandb.sdk.internal.datastore import DataStore

    found = []
    for file in sorted(folder.glob("wandb/offline-run-*/*.wandb")):
        store = DataStore()
        store.open_for_scan(str(file))
        while (data := store.scan_data()) is not None:
            record = wandb_internal_pb2.Record()
            record.ParseFromString(data)
            found.append(record)
    return found


def test_wandb_keeps_an_offline_run_without_asking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    run = train(tmp_path, "logger=wandb", "logger.wandb.tags=[first]", "experiment=study", "trainer.max_epochs=1")
    assert run.finished
    kept = records(run.path)
    (opened,) = [record.run for record in kept if record.WhichOneof("record_type") == "run"]
    assert opened.run_id == run.status["wandb_id"]
    assert opened.display_name == run.path.name
    assert opened.run_group == run.path.name.removesuffix("-seed0")
    assert opened.job_type == "train"
    assert set(opened.tags) == {"study", "first"}
    config = {item.key: json.loads(item.value_json) for item in opened.config.update}
    assert config["model"]["base_channels"] == 4
    logged = {
        (item.key or "/".join(item.nested_key))
        for record in kept
        if record.WhichOneof("record_type") == "history"
        for item in record.history.item
    }
    assert {"train/loss", "val/loss", "val/dice", "val/iou", "trainer/global_step"} <= logged
    assert "test/dice" in logged
    assert any(name.startswith("val/images") for name in logged)
    assert list(run.path.glob("wandb/offline-run-*/files/media/images/mask/**/*.png")), "the mask overlays"


def test_tensorboard_and_both(tmp_path: Path) -> None:
    run = train(tmp_path, "logger=tensorboard", "trainer.max_epochs=1")
    assert list(run.path.glob("tensorboard/events.out.tfevents.*"))


def test_wandb_modes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="must be offline or online"):
        train(tmp_path, "logger=wandb", "logger.wandb.mode=disabled")
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    with pytest.raises(UserError, match="needs an account"):
        train(tmp_path, "logger=wandb", "logger.wandb.mode=online")
    assert not (tmp_path / "runs" / "main").exists() or not list((tmp_path / "runs" / "main").glob("*/config.yaml"))
