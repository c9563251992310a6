"""A training with a pretrained encoder: what it leaves, how it goes on and is used where the file is gone."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra.core.hydra_config import HydraConfig

import medseg
from medseg.commands.card import card
from medseg.errors import ConfigError, UserError
from medseg.runs.folder import RunFolder
from medseg.runs.plan import RunPlan, plan_run
from medseg.system.files import read_json, read_yaml
from medseg.trained.checkpoint import Checkpoint
from medseg.trained.exporting.export import export_checkpoint
from medseg.training.pretrained import Pretrained, find_pretrained
from tests.helpers import compose_config, train
from tests.pretrained.builds import LITE, PACKAGE, RESNET, no_network, released, save

SMALL = (
    "data.image_size=32", "data.dataset.count=12", "data.batch_size=4", "data.num_workers=0", "model=smp",
    f"model.encoder_name={RESNET}", "+model.decoder_channels=[8,8,8,8,8]", "trainer=cpu", "trainer.max_epochs=3",
    "trainer.precision=32", "logger=csv",
)  # fmt: skip
INTERRUPT = "+callbacks.interrupt._target_=tests.training.test_job.Interrupt"


def planned(*overrides: str) -> RunPlan:
    cfg = compose_config("train", *SMALL, *overrides)
    return plan_run(cfg, HydraConfig.get())


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pretrained")


@pytest.fixture(scope="module")
def run(place: Path) -> RunFolder:
    """Train with a file; it is interrupted, the file is removed, and it goes on."""
    file = save(released(), place / "w.pth")
    words = (f"model.encoder_weights={file}", INTERRUPT)
    with pytest.raises(KeyboardInterrupt):
        train(place, *SMALL, *words, tiny=False)
    file.unlink()
    run = train(place, *SMALL, *words, tiny=False)
    assert len((run.metrics).read_text().splitlines()) == 4
    return run


def test_the_folder_tells_what_was_loaded(run: RunFolder) -> None:
    assert run.finished
    record = read_json(run.pretrained)
    assert (record["source"], record["file"], record["matched"]) == ("w.pth", "w.pth", "by name")
    assert (record["unused"], len(record["sha256"])) == (["fc.weight", "fc.bias"], 64)
    assert (record["mean"], record["std"]) == ([0.5] * 3, [0.5] * 3), "those of timm's test_resnet"
    assert read_yaml(run.config)["model"]["encoder_weights"].endswith("/w.pth")


def test_the_encoders_normalisation_is_used_everywhere(run: RunFolder, place: Path) -> None:
    from medseg.training.evaluation import evaluate_checkpoint

    metadata = Checkpoint.read(run.best_checkpoint).metadata
    assert metadata.normalisation == ([0.5] * 3, [0.5] * 3)
    assert metadata.configuration.model["encoder_weights"] == "w.pth", "the folder is the trainer's own business"
    words = [f"data_dir={place / 'data'}", f"checkpoint={run.path}"]
    again = evaluate_checkpoint(compose_config("evaluate", *words), words)[0]
    assert (again / "per_image.csv").read_bytes() == run.per_image.read_bytes()

    network = medseg.load(run.path)
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    prediction = network.predict(image)
    module = Checkpoint.read(run.best_checkpoint).build().eval()
    with torch.no_grad():
        expected = module(torch.from_numpy(image).permute(2, 0, 1)[None] / 255 / 0.5 - 1).softmax(1)[0]
    np.testing.assert_allclose(prediction.probabilities, expected.numpy(), atol=1e-4)


@pytest.mark.slow
def test_it_is_exported_with_its_normalisation(run: RunFolder, tmp_path: Path) -> None:
    file = tmp_path / "network.pt2"
    cfg = compose_config(
        "export", f"checkpoint={run.path}", f"output={file}", "format=torch", "with_preprocessing=true"
    )
    export_checkpoint(cfg)
    image = torch.randint(0, 256, (1, 3, 40, 48)).float()
    with torch.no_grad():
        exported = torch.export.load(file).module()(image)
        network = Checkpoint.read(run.best_checkpoint).build().eval()
        torch.testing.assert_close(exported, network(image / 255 / 0.5 - 1).softmax(1), rtol=1e-3, atol=1e-4)


def test_a_finished_run_is_known_again_without_the_file(
    run: RunFolder, place: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = run.best_checkpoint.stat().st_mtime_ns
    again = train(place, *SMALL, f"model.encoder_weights={place / 'w.pth'}", INTERRUPT, tiny=False)
    assert again.path == run.path
    save({"other": torch.zeros(1)}, place / "w.pth")
    with caplog.at_level(logging.WARNING):
        train(place, *SMALL, f"model.encoder_weights={place / 'w.pth'}", INTERRUPT, tiny=False)
    assert "w.pth has changed since" in caplog.text
    (place / "w.pth").unlink()
    assert run.best_checkpoint.stat().st_mtime_ns == before


def test_a_longer_run_goes_on_without_the_file(run: RunFolder, place: Path) -> None:
    words = [*SMALL[:-3], "trainer.max_epochs=4", *SMALL[-2:], f"model.encoder_weights={place / 'w.pth'}", INTERRUPT]
    longer = train(place, *words, f"continue_from={run.path}", tiny=False)
    assert read_json(longer.pretrained) == read_json(run.pretrained)
    assert Checkpoint.read(longer.best_checkpoint).metadata.normalisation == ([0.5] * 3, [0.5] * 3)


def test_the_card_tells_it_and_no_folder(run: RunFolder, place: Path, tmp_path: Path) -> None:
    card(compose_config("card", f"runs=[{run.path}]", f"output={tmp_path / 'card.md'}"))
    text = (tmp_path / "card.md").read_text()
    assert "pretrained encoder: w.pth, SHA-256" in text
    assert "the mean (0.5, 0.5, 0.5)" in text
    assert "over the training split" not in text
    assert str(place) not in text.partition("## How to use it")[0]


def test_what_is_wrong_stops_a_run_before_anything_is_written(run: RunFolder, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nothing\.pth: no such file"):
        train(tmp_path, *SMALL, f"model.encoder_weights={tmp_path / 'nothing.pth'}", tiny=False)
    wrong = save({"conv.weight": torch.zeros(2, 3, 3, 3)}, tmp_path / "wrong.pth")
    with pytest.raises(UserError, match=r"wrong.pth does not fit the encoder of test_resnet"):
        train(tmp_path, *SMALL, f"model.encoder_weights={wrong}", tiny=False)
    with pytest.raises(ConfigError, match="give one of the two"):
        train(tmp_path, *SMALL, f"model.encoder_weights={wrong}", f"initial_weights={run.path}", tiny=False)
    few = [word for word in SMALL if "model" not in word]
    custom = ("model=custom", "+model._target_=tests.networks.OneConv", f"+model.encoder_weights={wrong}")
    with pytest.raises(UserError, match="OneConv has no encoder to load"):
        train(tmp_path, *few, *custom, tiny=False)
    assert not list((tmp_path / "runs").glob("*/*"))


def test_without_weights_no_connection_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    no_network(monkeypatch)
    assert find_pretrained(compose_config("train", *SMALL, "model.encoder_weights=null"), None) == Pretrained()
    run = train(tmp_path, *SMALL, "model.encoder_weights=false", "trainer.max_epochs=1", tiny=False)
    assert run.finished
    assert not run.pretrained.exists()


def test_a_run_of_medseg_gives_its_encoder_and_its_normalisation(run: RunFolder, place: Path) -> None:
    """The decoder may be another one."""
    words = (*SMALL, "model.arch=unetplusplus", "trainer.max_epochs=1", "optimizer.lr=0")
    other = train(place, *words, f"model.encoder_weights={run.path}", tiny=False)
    record = read_json(other.pretrained)
    assert (record["matched"], record["normalisation_of"]) == ("by name", "the run that they are from")
    first, second = (Checkpoint.read(each.best_checkpoint).state for each in (run, other))
    names = [name for name in first if ".encoder." in name and name.endswith("weight")]
    assert names
    assert all(torch.equal(first[name], second[name]) for name in names)


def test_one_run_is_meant_however_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))

    def named(option: str, value: object) -> str:
        return planned(f"model.{option}={value}").folder.path.name

    assert len({named("encoder_weights", file) for file in (tmp_path / "w.pth", "w.pth", "~/w.pth")}) == 1
    assert named("encoder_weights", "w.pth") != named("encoder_weights", "v.pth")
    assert named("encoder_weights", "null") == named("encoder_weights", "false")
    assert named("encoder_name", RESNET) == named("encoder_name", f"tu-{RESNET}")
    assert named("encoder_name", RESNET).startswith(f"smp_unet_tu-{RESNET}-")
    assert named("encoder_name", "resnet18") != named("encoder_name", "tu-resnet18")


@pytest.mark.parametrize("value", ["true", "3.5", "[a]"])
def test_another_kind_of_value_is_refused(value: str) -> None:
    with pytest.raises(ConfigError, match=r"model.encoder_weights is .*; it must be a file, package:<name>"):
        compose_config("train", *SMALL, f"model.encoder_weights={value}")


def test_grey_images_take_the_mean_of_the_three(tmp_path: Path) -> None:
    file = save(released(), tmp_path / "w.pth")
    words = ("trainer.max_epochs=1", f"model.encoder_weights={file}", "data.in_channels=1")
    run = train(tmp_path, *SMALL, *words, tiny=False)
    record = read_json(run.pretrained)
    assert (record["mean"], record["first_convolution"]) == ([0.5], "first convolution fitted from 3 to 1 channels")
    assert Checkpoint.read(run.best_checkpoint).metadata.mean == [0.5]


def test_images_of_other_channels_have_the_normalisation_of_the_data(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = save(released(), tmp_path / "w.pth")
    cfg = compose_config("train", *SMALL, f"model.encoder_weights={file}", "data.in_channels=4")
    with caplog.at_level(logging.INFO):
        assert find_pretrained(cfg, None).normalisation is None
    assert "4 channels: images are normalised with mean and std of the training split" in caplog.text


@pytest.mark.slow
def test_the_command_of_the_issue(tmp_path: Path) -> None:
    pytest.importorskip(PACKAGE, reason="the extra 'weights' is not installed")
    few = [word for word in SMALL if "encoder_name" not in word]
    words = (f"model.encoder_name={LITE}", f"model.encoder_weights=package:{PACKAGE}", "trainer.max_epochs=1")
    run = train(tmp_path, *few, *words, tiny=False)
    assert json.loads(run.pretrained.read_text())["tensors"] == 240
    assert run.path.name.startswith(f"smp_unet_tu-{LITE}-synthetic-")
