"""TensorBoard: the events of a run, read back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from medseg.runs.folder import RunFolder
from medseg.system.files import read_csv
from medseg.training.loggers.build import RunInfo
from medseg.training.loggers.tensorboard import link
from tests.helpers import train


def events(folder: Path) -> EventAccumulator:
    return EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 0}).Reload()


def hyperparameters(kept: EventAccumulator) -> dict[str, Any]:
    """What the HPARAMS plugin is told, by its tags."""
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    contents = kept.PluginTagToContent("hparams")
    return {tag: HParamsPluginData.FromString(content) for tag, content in contents.items()}


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return train(tmp_path_factory.mktemp("logged"), "logger=tensorboard", "+trainer.log_every_n_steps=1", "seed=3")


def test_the_name_in_tensorboard_is_network_data_and_seed(logged: RunFolder) -> None:
    (name,) = (logged.path.parent / "tensorboard").iterdir()
    assert name.name == "unet-synthetic-cpu-seed3"
    assert name.resolve() == (logged.path / "tensorboard").resolve()
    assert not name.readlink().is_absolute(), "the experiment can be moved"


def test_it_has_the_curves_the_learning_rate_and_the_test(logged: RunFolder) -> None:
    kept = events(logged.path.parent / "tensorboard" / "unet-synthetic-cpu-seed3")
    rows = read_csv(logged.metrics)
    assert [event.value for event in kept.Scalars("val/dice")] == pytest.approx(
        [float(row["val/dice"]) for row in rows]
    )
    assert len(kept.Scalars("lr-AdamW")) == int(rows[-1]["step"])
    (tested,) = kept.Scalars("test/dice")
    assert tested.value == pytest.approx(json.loads(logged.summary.read_text())["headline"]["dice"]["mean"])
    assert tested.step == kept.Scalars("train/loss")[-1].step
    assert "hp_metric" not in kept.Tags()["scalars"]


def test_it_has_the_validation_images_and_the_pictures_of_the_run(logged: RunFolder) -> None:
    kept = events(logged.path / "tensorboard")
    tags = set(kept.Tags()["images"])
    assert {"images/best", "images/median", "images/worst", "images/curves"} <= tags
    validated = {row["id"] for row in read_csv(logged.splits) if row["split"] == "val"}
    assert {f"val/{name}" for name in validated} <= tags
    for name in validated:
        shown = kept.Images(f"val/{name}")
        assert len(shown) == 2, "one for each epoch of two"
        assert (shown[0].width, shown[0].height) == (4 * 64, 64)


def test_it_has_the_settings_for_the_hparams_tab(logged: RunFolder) -> None:
    kept = hyperparameters(events(logged.path / "tensorboard"))
    start = kept["_hparams_/session_start_info"].session_start_info.hparams
    assert start["model"].string_value == "unet"
    assert (start["model.base_channels"].number_value, start["seed"].number_value) == (4, 3)
    assert "_hparams_/session_end_info" in kept
    assert "_hparams_/experiment" not in kept, "the columns would be those of one run alone"


def test_a_resumed_run_has_every_epoch_once(tmp_path: Path) -> None:
    words = ("logger=tensorboard", "trainer.max_epochs=4", "+callbacks.stop._target_=tests.training.test_job.Interrupt")
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, *words)
    run = train(tmp_path, *words)
    steps = [event.step for event in events(run.path / "tensorboard").Scalars("val/dice")]
    assert steps == sorted(set(steps))
    assert len(steps) == 4


def test_links_of_settings_with_one_title_have_the_hash(tmp_path: Path) -> None:
    for digest in ("0123abcd", "4567cdef", "0123abcd"):
        setting = f"unet-kvasir-{digest}"
        link(RunInfo(tmp_path / f"{setting}-seed0", {"setting": setting, "seed": 0}, "", {}))
    names = {file.name for file in (tmp_path / "tensorboard").iterdir()}
    assert names == {"unet-kvasir-seed0", "unet-kvasir-seed0-4567cdef"}
