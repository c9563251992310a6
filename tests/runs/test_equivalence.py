"""A repeated command finds its run under the name that an older version gave it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra.core.hydra_config import HydraConfig

from medseg.runs import configuration, equivalence
from medseg.runs.folder import RunFolder
from medseg.runs.plan import RunPlan, plan_run
from tests.helpers import TINY, compose_config, train

(RECORDED,) = (Path(__file__).parent.parent / "recorded" / "first_version").iterdir()
OLD_NAME = "unet-synthetic-cpu-00000000-seed0"
"""With another hash than this version gives."""


def plan(place: Path, *words: str) -> RunPlan:
    return plan_run(
        compose_config("train", *TINY, f"runs_dir={place / 'runs'}", f"data_dir={place}", *words), HydraConfig.get()
    )


def keep(
    place: Path,
    name: str = OLD_NAME,
    change: Callable[[dict[str, Any]], object] = lambda settings: None,
    **record: Any,
) -> RunFolder:
    """Lay down the recorded run under another name, with a changed configuration and further facts in its record."""
    folder = RunFolder(shutil.copytree(RECORDED, place / "runs" / "main" / name))
    settings = yaml.safe_load(folder.config.read_text())
    change(settings)
    folder.config.write_text(yaml.safe_dump(settings))
    folder.record.write_text(json.dumps({**json.loads(folder.record.read_text()), **record}))
    return folder


def test_the_recorded_run_has_its_name_still(tmp_path: Path) -> None:
    assert plan(tmp_path).folder.path.name == RECORDED.name


def test_a_run_of_another_name_that_means_the_same_is_the_run(tmp_path: Path) -> None:
    old = keep(tmp_path)
    planned = plan(tmp_path)
    assert planned.folder.path == old.path
    assert planned.record["name"] == OLD_NAME
    assert planned.record["setting"] == "unet-synthetic-cpu-00000000"
    # The command neither repeats it nor begins another one.
    before = old.per_image.read_bytes()
    assert train(tmp_path).path == old.path
    assert [path.name for path in (tmp_path / "runs" / "main").iterdir()] == [OLD_NAME]
    assert old.per_image.read_bytes() == before


@pytest.mark.parametrize(
    "words",
    [
        ("model.dropout=0", "loss.ce_weight=1", "optimizer.lr=1e-3"),
        ("data.num_workers=2", "logger=tensorboard", "compile=true"),
        ("trainer=auto", "trainer.accelerator=cpu"),
        ("data.num_classes=2",),
        ("data.image_size=[64,64]",),
    ],
)
def test_other_words_for_the_same_configuration(words: tuple[str, ...], tmp_path: Path) -> None:
    old = keep(tmp_path)
    assert plan(tmp_path, *words).folder.path == old.path


@pytest.mark.parametrize(
    "words",
    [
        ("optimizer.lr=0.002",),
        ("seed=1",),
        ("experiment=other",),
        ("augmentation=none",),
        ("callbacks=ema",),
        ("scheduler=none",),
        ("+trainer.limit_train_batches=2",),
        ("data.fold=0",),
        ("channels_last=false",),
        ("data.num_classes=3",),
    ],
)
def test_another_configuration_is_another_run(words: tuple[str, ...], tmp_path: Path) -> None:
    old = keep(tmp_path)
    assert plan(tmp_path, *words).folder.path.name != old.path.name


def test_an_option_that_the_run_did_not_have_is_at_its_default(tmp_path: Path) -> None:
    def before_the_option(settings: dict[str, Any]) -> None:
        del settings["model"]["deep_supervision"], settings["channels_last"], settings["optimizer"]["fused"]

    old = keep(tmp_path, change=before_the_option)
    assert plan(tmp_path).folder.path == old.path
    assert plan(tmp_path, "channels_last=true").folder.path == old.path
    for word in ("model.deep_supervision=true", "channels_last=false", "optimizer.fused=false"):
        assert plan(tmp_path, word).folder.path != old.path


@pytest.mark.parametrize(
    ("record", "found"),
    [
        ({}, True),
        ({"defaults": {}}, True),
        ({"defaults": {"model.gone": 2}}, False),
        ({"overrides": ["model=unet", "model.gone=3"]}, False),
        # A budget may have set it, and a run of that version does not tell.
        ({"choices": {**json.loads((RECORDED / "run.json").read_text())["choices"], "budget": "smoke"}}, False),
    ],
)
def test_an_option_that_is_gone(record: dict[str, Any], found: bool, tmp_path: Path) -> None:
    old = keep(tmp_path, change=lambda settings: settings["model"].update(gone=3), **record)
    assert (plan(tmp_path).folder.path == old.path) == found


def test_a_group_that_the_run_did_not_have(tmp_path: Path) -> None:
    choices = json.loads((RECORDED / "run.json").read_text())["choices"]
    del choices["callbacks"]
    old = keep(tmp_path, change=lambda settings: settings.pop("callbacks"), choices=choices, defaults={})
    assert plan(tmp_path).folder.path == old.path
    assert plan(tmp_path, "callbacks=ema").folder.path != old.path


def test_a_default_that_really_changed_is_another_run(tmp_path: Path) -> None:
    keep(tmp_path, "unet-synthetic-cpu-1-seed0", lambda s: s["optimizer"].update(weight_decay=0.1), defaults={})
    # One step of the augmentation less, or none at all.
    keep(tmp_path, "unet-synthetic-cpu-2-seed0", lambda s: s["augmentation"]["transforms"].pop(), defaults={})
    keep(tmp_path, "unet-synthetic-cpu-3-seed0", lambda s: s["augmentation"]["transforms"].clear(), defaults={})
    assert plan(tmp_path).folder.path.name == RECORDED.name


def test_of_several_the_finished_one(tmp_path: Path) -> None:
    keep(tmp_path, "unet-synthetic-cpu-1-seed0").set_state("failed")
    finished = keep(tmp_path, "unet-synthetic-cpu-2-seed0")
    keep(tmp_path, "unet-synthetic-cpu-3-seed0").set_state("running")
    assert plan(tmp_path).folder.path == finished.path
    exact = keep(tmp_path, RECORDED.name)
    exact.set_state("interrupted")
    assert plan(tmp_path).folder.path == exact.path, "the exact name comes first"


@pytest.mark.parametrize("file", ["config.yaml", "run.json"])
@pytest.mark.parametrize("content", [b"", b"[1]", b"\xff\xfe", b"model: {", b'{"choices": 3, "model": 4, "data": 5}'])
def test_a_damaged_run_is_left_out(file: str, content: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    damaged = keep(tmp_path, "unet-synthetic-cpu-1-seed0")
    (damaged.path / file).write_bytes(content)
    intact = keep(tmp_path)
    assert plan(tmp_path).folder.path == intact.path
    assert [record for record in caplog.records if str(damaged.path) in record.getMessage()]


def test_nothing_is_read_where_no_run_may_be_meant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keep(tmp_path, "unet-synthetic-cpu-00000000-seed3")
    keep(tmp_path, "unet-kvasir-cpu-00000000-seed0")
    keep(tmp_path, RECORDED.name)
    monkeypatch.setattr(equivalence, "read_run", lambda *_, **__: pytest.fail("a run is read"))
    plan(tmp_path)
    plan(tmp_path, "model=convunext")


def test_a_configuration_is_parsed_once_in_a_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keep(tmp_path, "unet-synthetic-cpu-1-seed0", lambda settings: settings["optimizer"].update(lr=7))
    read, original = [], configuration.parse_yaml
    monkeypatch.setattr(configuration, "parse_yaml", lambda text: read.append(text) or original(text))
    configuration.parse_config.cache_clear()
    for lr in (0.1, 0.2, 0.3):
        plan(tmp_path, f"optimizer.lr={lr}")
    assert len(read) == 1


@pytest.mark.parametrize("stored", ["{here}/mine", "mine"])
def test_the_users_images_are_the_same_ones_however_their_folder_is_written(
    stored: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def of_a_folder(settings: dict[str, Any]) -> None:
        settings["data"] |= {"root": stored.format(here=tmp_path), "source": str(tmp_path / "mine")}
        settings["data"]["dataset"] = {"_target_": "medseg.data.datasets.Folder", "class_names": None, "num_classes": 2}

    choices = {**json.loads((RECORDED / "run.json").read_text())["choices"], "data": "folder"}
    old = keep(tmp_path, "unet-folder-cpu-1-seed0", of_a_folder, choices=choices)
    monkeypatch.chdir(tmp_path)
    words = [word for word in TINY if not word.startswith("data.dataset")]
    for root in ("mine", "./mine/../mine", str(tmp_path / "mine")):
        cfg = compose_config("train", *words, "data=folder", f"data.root={root}", "runs_dir=runs")
        assert (tmp_path / plan_run(cfg, HydraConfig.get()).folder.path) == old.path
