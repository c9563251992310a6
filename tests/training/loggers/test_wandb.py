"""Weights & Biases: what an offline run holds."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from medseg.errors import ConfigError, UserError
from medseg.runs.folder import RunFolder
from medseg.system.files import read_csv
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


def opened(kept: list) -> list:
    return [record.run for record in kept if record.WhichOneof("record_type") == "run"]


def history(kept: list) -> list[dict]:
    """What was logged, step by step."""
    steps = []
    for record in kept:
        if record.WhichOneof("record_type") == "history":
            step: dict = {}
            for item in record.history.item:
                *outer, last = list(item.nested_key) or [item.key]
                inside = step
                for key in outer:
                    inside = inside.setdefault(key, {})
                inside[last] = json.loads(item.value_json)
            steps.append(step)
    return steps


def summary(kept: list) -> dict:
    """The summary as it is at the end."""
    found = {}
    for record in kept:
        if record.WhichOneof("record_type") == "summary":
            for item in record.summary.update:
                found[item.key or "/".join(item.nested_key)] = json.loads(item.value_json)
    return found


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run that has been logged offline, with its checkpoint."""
    place = tmp_path_factory.mktemp("logged")
    options = ("logger=wandb", f"logger.wandb.tags=[first,{'x' * 70}]", "logger.wandb.checkpoint=true")
    return train(place, *options, "experiment=study", "trainer.max_epochs=1")


def test_wandb_keeps_an_offline_run_without_asking(logged: RunFolder) -> None:
    assert logged.finished
    (run,) = opened(records(logged.path))
    assert run.run_id == json.loads(logged.record.read_text())["id"][:12]
    assert run.display_name == logged.path.name
    assert (run.run_group, run.job_type) == ("study", "train")
    # W&B refuses a run for one tag of more than 64 characters.
    assert set(run.tags) == {"study", "unet", "synthetic", "medseg", "full", "first", "x" * 64}
    config = {item.key: json.loads(item.value_json) for item in run.config.update}
    assert config["model"]["base_channels"] == 4
    # What a table over seeds is grouped by.
    assert config["run"]["setting"] == logged.path.name.removesuffix("-seed0")
    assert (config["run"]["model"], config["run"]["seed"]) == ("unet", 0)


def test_wandb_has_the_curves_the_pictures_and_the_test(logged: RunFolder) -> None:
    kept = records(logged.path)
    steps = history(kept)
    names = {name for step in steps for name in step}
    assert {"train/loss", "val/loss", "val/dice", "val/iou", "trainer/global_step", "test/dice", "test/hd95"} <= names
    (panels,) = [step["val/panels"] for step in steps if "val/panels" in step]
    assert panels["_type"] == "table-file"
    assert panels["ncols"] == 4
    (tested,) = [step["test/per_image"] for step in steps if "test/per_image" in step]
    rows = read_csv(logged.test / "per_image.csv")
    assert (tested["nrows"], tested["ncols"]) == (len(rows), len(rows[0]))
    (file,) = logged.path.glob("wandb/offline-run-*/files/media/table/test/per_image_*.table.json")
    table = json.loads(file.read_text())
    column = table["columns"].index("dice")
    assert [row[column] for row in table["data"]] == [float(row["dice"]) for row in rows]
    assert list(logged.path.glob("wandb/offline-run-*/files/media/images/mask/**/*.png")), "the mask overlays"


def test_wandb_summaries_sort(logged: RunFolder) -> None:
    kept = records(logged.path)
    found = summary(kept)
    scores = json.loads(logged.summary.read_text())
    assert found["best_epoch"] == scores["best_epoch"]
    assert found["parameters"] == scores["parameters"]
    goals = {
        record.metric.name: record.metric.summary for record in kept if record.WhichOneof("record_type") == "metric"
    }
    assert goals["val/dice"].max
    assert goals["val/loss"].min
    assert not goals["val/loss"].max


def test_wandb_has_the_checkpoint_where_it_was_asked_for(logged: RunFolder) -> None:
    artifacts = [record.request.log_artifact.artifact for record in records(logged.path)]
    artifacts += [record.artifact for record in records(logged.path) if record.WhichOneof("record_type") == "artifact"]
    (model,) = [artifact for artifact in artifacts if artifact.type == "model"]
    assert [entry.path for entry in model.manifest.contents] == ["best.ckpt"]
    assert json.loads(model.metadata)["test/dice"] == pytest.approx(logged.status["scores"]["dice"])


def test_a_resumed_run_goes_on_under_its_wandb_id(tmp_path: Path) -> None:
    arguments = ("logger=wandb", "trainer.max_epochs=4", "+callbacks.stop._target_=tests.training.test_job.Interrupt")
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, *arguments)
    run = train(tmp_path, *arguments)
    kept = records(run.path)
    assert len(opened(kept)) >= 2
    assert {one.run_id for one in opened(kept)} == {json.loads(run.record.read_text())["id"][:12]}
    steps = [step["trainer/global_step"] for step in history(kept) if "val/dice" in step]
    assert steps == sorted(set(steps)), "every epoch once, in order"
    assert len(steps) == 4


def test_wandb_modes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="must be offline, online or disabled"):
        train(tmp_path, "logger=wandb", "logger.wandb.mode=off")
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    with pytest.raises(UserError, match="needs an account"):
        train(tmp_path, "logger=wandb", "logger.wandb.mode=online")
    assert not (tmp_path / "runs" / "main").exists() or not list((tmp_path / "runs" / "main").glob("*/config.yaml"))


def test_a_run_that_the_process_has_open_is_left_alone(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    import wandb

    quiet = wandb.Settings(console="off", silent=True)
    other = wandb.init(mode="offline", dir=tmp_path, project="mine", id="mine0001", settings=quiet)
    try:
        folder = train(tmp_path, "logger=wandb", "trainer.max_epochs=1").path
        assert wandb.run is other
        other.log({"still": "open"})
    finally:
        other.finish()
    assert "wandb" not in capfd.readouterr().err
    (mine,) = [one for one in records(tmp_path) if one.WhichOneof("record_type") == "history"]
    assert "open" in str(mine)
    assert [run.run_id for run in opened(records(folder))] != ["mine0001"]
    assert "test/dice" in summary(records(folder))
