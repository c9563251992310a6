"""`loss.class_weights=balanced`: the weights of the training split, and a training with them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from medseg.config.instantiate import instantiate
from medseg.data.module import build_datamodule
from medseg.errors import ConfigError
from medseg.system.files import read_csv
from medseg.training.class_weights import balance_classes
from medseg.training.losses import CEDiceLoss, CrossEntropyLoss
from tests.helpers import TINY, compose_config, train


def test_a_rare_class_weighs_more_and_an_absent_one_nothing() -> None:
    loss = CrossEntropyLoss(class_weights="balanced")
    with pytest.raises(ConfigError, match="call balance"):
        loss(torch.zeros(1, 3, 2, 2), torch.zeros(1, 2, 2, dtype=torch.long))
    loss.balance([90, 10, 0])
    assert loss.class_weights is not None
    # 100 pixels of 2 classes that occur.
    assert loss.class_weights.tolist() == pytest.approx([100 / 180, 100 / 20, 0])
    assert loss.state_dict() == {}


def test_the_weights_are_those_of_the_training_split(tmp_path: Path) -> None:
    cfg = compose_config("train", *TINY, f"data_dir={tmp_path}", "data.fraction=0.5", "loss.class_weights=balanced")
    datamodule = build_datamodule(cfg.data, augmentation=instantiate(cfg.augmentation), seed=0)
    loss = instantiate(cfg.loss)
    assert isinstance(loss, CEDiceLoss)
    balance_classes(loss, datamodule)
    masks = np.stack([datamodule.prepared.masks[index] for index in datamodule.indices["train"]])
    assert len(masks) == 8
    pixels = [np.count_nonzero(masks == label) for label in range(2)]
    assert loss.cross_entropy.class_weights is not None
    expected = [sum(pixels) / (2 * number) for number in pixels]
    assert loss.cross_entropy.class_weights.tolist() == pytest.approx(expected)
    assert expected[1] > expected[0]


def test_balanced_trains_as_the_same_weights_given_by_hand(tmp_path: Path) -> None:
    cfg = compose_config("train", *TINY, f"data_dir={tmp_path / 'data'}", "loss.class_weights=balanced")
    datamodule = build_datamodule(cfg.data, augmentation=instantiate(cfg.augmentation), seed=0)
    loss = CrossEntropyLoss(class_weights="balanced")
    balance_classes(loss, datamodule)
    assert loss.class_weights is not None
    given = ",".join(map(repr, loss.class_weights.tolist()))
    words = ("trainer.max_epochs=1", "test=false")
    balanced, by_hand = (
        train(tmp_path, f"loss.class_weights={weights}", *words) for weights in ("balanced", f"[{given}]")
    )
    (first,), (second,) = read_csv(balanced.metrics), read_csv(by_hand.metrics)
    assert first["val/loss"] == second["val/loss"]
    assert "class weights: background 0." in balanced.log.read_text()
