"""A frozen encoder stays as it is, to the last bit, and is trained again when its epochs are over."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from medseg.errors import ConfigError
from medseg.runs.folder import RunFolder
from medseg.training.freezing import FrozenEncoder, frozen_encoder
from tests.helpers import TINY, command, train
from tests.networks import OneConv

SMALL = ("data.image_size=32", "data.dataset.count=12", "optimizer.weight_decay=0.1", "optimizer.lr=0.01")
INTERRUPT = "+callbacks.interrupt._target_=tests.training.test_job.Interrupt"  # in the third epoch


class WithDropout(nn.Module):
    """An encoder with batch norm and dropout, and a head."""

    def __init__(self, in_channels: int, num_classes: int) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Conv2d(in_channels, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Dropout(0.5))
        self.head = nn.Conv2d(4, num_classes, 1)

    def forward(self, image: Tensor) -> Tensor:
        return self.head(self.encoder(image))


CUSTOM = (
    *(word for word in TINY if not word.startswith("model")),
    "+model._target_=tests.training.test_freezing.WithDropout",
)


def weights(run: RunFolder, file: str = "last") -> dict[str, Tensor]:
    content = torch.load(run.path / "checkpoints" / f"{file}.ckpt", weights_only=True)
    return {name.removeprefix("network."): value for name, value in content["state_dict"].items()}


def is_of_encoder(name: str) -> bool:
    return name.startswith(("stem.", "encoder."))


def changed(before: Mapping[str, Tensor], after: Mapping[str, Tensor]) -> set[bool]:
    """Whether weights and statistics have changed: of the encoder, or not."""
    return {is_of_encoder(name) for name in before if not torch.equal(before[name], after[name])}


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return train(tmp_path_factory.mktemp("start"), *SMALL, "trainer.max_epochs=1")


@pytest.mark.parametrize(
    "words",
    [
        ("model.freeze_encoder=true",),
        ("model.freeze_encoder=2", "trainer.gradient_clip_val=0.1", "trainer.precision=bf16-mixed"),
        ("model.freeze_encoder=7", "callbacks=ema", "callbacks.ema.decay=0.5", "activation_checkpointing=true"),
        ("model.freeze_encoder=true", "optimizer=sgd", "scheduler=plateau", "optimizer.encoder_lr_factor=0.1"),
    ],
)
def test_frozen_weights_and_statistics_stay_as_they_are(
    words: tuple[str, ...], start: RunFolder, tmp_path: Path
) -> None:
    run = train(tmp_path, *SMALL, *words, f"initial_weights={start.path}", "trainer.max_epochs=2")
    assert changed(weights(start, "best"), weights(run)) == {False}


def test_the_encoder_is_trained_when_its_epochs_are_over(
    start: RunFolder, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    words = (*SMALL, f"initial_weights={start.path}", "model.freeze_encoder=1", "scheduler=none")
    with caplog.at_level(logging.INFO, logger="medseg"):
        run = train(tmp_path, *words, "trainer.max_epochs=2")
    assert "the encoder is frozen until epoch 2: stem, encoder, 37,196 parameters" in caplog.text
    assert "the encoder is trained from epoch 2 on" in caplog.text
    assert changed(weights(start, "best"), weights(run)) == {False, True}
    # The first epoch is that of an encoder that is always frozen.
    always = train(tmp_path, *words[:-2], "model.freeze_encoder=true", "scheduler=none", "trainer.max_epochs=1")
    first = [each.metrics.read_text().splitlines()[1].split(",")[:-1] for each in (run, always)]
    assert first[0] == first[1]


@pytest.mark.parametrize("epochs", [2, 3])
def test_a_resumed_run_is_what_an_unbroken_one_is(epochs: int, tmp_path: Path) -> None:
    words = (*SMALL, f"model.freeze_encoder={epochs}", INTERRUPT, "trainer.max_epochs=4")
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, *words)
    resumed = train(tmp_path, *words)
    unbroken = train(tmp_path, *words, "experiment=unbroken")
    assert not changed(weights(resumed), weights(unbroken))
    assert resumed.per_image.read_bytes() == unbroken.per_image.read_bytes()


def test_nothing_is_dropped_in_a_frozen_encoder_of_your_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    modes = []
    forward = WithDropout.forward

    def watched(network: WithDropout, image: Tensor) -> Tensor:
        if network.training:
            modes.append([module.training for module in (*network.encoder, network.head)])
        return forward(network, image)

    monkeypatch.setattr(WithDropout, "forward", watched)
    # After the first epoch there was a validation, which changes the modes and changes them back.
    train(tmp_path, *CUSTOM, *SMALL[:2], "+model.freeze_encoder=2", "trainer.max_epochs=3", tiny=False)
    steps = len(modes) // 3
    assert modes == 2 * steps * [[False, False, False, True]] + steps * [[True] * 4]


@pytest.mark.slow
def test_two_processes_train_what_begins_frozen(tmp_path: Path) -> None:
    words = [
        *(word for word in TINY if word not in ("trainer=cpu", "trainer.max_epochs=2", "data.batch_size=4")),
        "data.image_size=32", "data.dataset.count=12", "trainer.accelerator=cpu", "trainer.precision=32-true",
        "trainer.max_epochs=3", "model.norm=group", "optimizer=sgd", "optimizer.lr=0.1", "augmentation=none",
        "loss.dice_weight=0", "model.freeze_encoder=1",
    ]  # fmt: skip
    one = train(tmp_path, *words, "trainer=cpu", "data.batch_size=4", "experiment=one", tiny=False)
    done = command(
        "train", *words, "trainer=ddp", "trainer.devices=2", "data.batch_size=2", "experiment=two",
        f"data_dir={tmp_path / 'data'}", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (path,) = (tmp_path / "runs" / "two").glob("*-seed0")
    first, second = weights(one), weights(RunFolder(path))
    for name, value in first.items():
        torch.testing.assert_close(value, second[name], rtol=1e-3, atol=1e-5, msg=name)


@pytest.mark.parametrize("freeze", [False, 0])
def test_nothing_is_frozen_by_default(freeze: bool | int) -> None:
    assert frozen_encoder(WithDropout(3, 2), freeze) == []


def test_a_network_without_an_encoder(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="OneConv has no encoder to load, freeze or train at another learning rate"):
        FrozenEncoder(OneConv(3, 2), None)
    words = [word for word in CUSTOM if "_target_" not in word]
    with pytest.raises(ConfigError, match="OneConv has no encoder"):
        train(tmp_path, *words, "+model._target_=tests.networks.OneConv", "+model.freeze_encoder=true", tiny=False)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("value", ["-1", "1.5", "yes", "null"])
def test_what_is_no_number_of_epochs(value: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"model\.freeze_encoder is .*; it must be true or false or a whole number"):
        train(tmp_path, f"model.freeze_encoder={value}")
