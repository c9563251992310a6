from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from medseg.errors import ConfigError, UserError
from tests.helpers import train


def records(folder: Path) -> list:
    """Read an offline W&B run back from its file."""
    import wandb
    from wandb.proto import wandb_internal_pb2

    # Its service writes behind the back of `finish`; at the end of a process it is awaited, as here.
    wandb.teardown()
    found = []
    for file in sorted(folder.glob("wandb/offline-run-*/*.wandb")):
        for data in logged_chunks(file.read_bytes()):
            record = wandb_internal_pb2.Record()
            record.ParseFromString(data)
            found.append(record)
    return found


def logged_chunks(content: bytes) -> Iterator[bytes]:
    """Split a .wandb file: 7 bytes, then LevelDB's log format, 32 KiB blocks of records with 7-byte headers."""
    position, parts = 7, b""
    while position + 7 <= len(content):
        left = 32768 - position % 32768
        if left < 7:
            position += left
            continue
        _, length, kind = struct.unpack_from("<IHB", content, position)
        parts += content[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield parts
            parts = b""


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


def test_a_resumed_run_goes_on_under_its_wandb_id(tmp_path: Path) -> None:
    arguments = ("logger=wandb", "trainer.max_epochs=4", "+callbacks.stop._target_=tests.training.test_job.Interrupt")
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, *arguments)
    run = train(tmp_path, *arguments)
    opened = [record.run for record in records(run.path) if record.WhichOneof("record_type") == "run"]
    assert len(opened) >= 2
    assert {record.run_id for record in opened} == {run.status["wandb_id"]}


def test_tensorboard(tmp_path: Path) -> None:
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
