"""Where a run deviates from what its options have by default."""

from __future__ import annotations

from typing import Any

import pytest
from hydra.core.hydra_config import HydraConfig

from medseg.runs import defaults
from medseg.runs.defaults import deviations, options_of
from tests.helpers import compose_config


def deviating(*words: str) -> dict[str, Any]:
    cfg = compose_config("train", *words)
    return deviations(cfg, options_of(HydraConfig.get()))


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ((), {}),
        (("model=unet", "data=kvasir", "optimizer=sgd", "callbacks=[ema,early_stopping]", "logger=csv"), {}),
        # The default, given.
        (("model=unet", "model.base_channels=32", "optimizer.lr=1e-3", "model.dropout=0"), {}),
        (("model=unet", "model.base_channels=16"), {"model.base_channels": 32}),
        # What follows another key does not deviate by itself.
        (("data.in_channels=1", "data.image_size=96"), {"data.in_channels": 3, "data.image_size": 256}),
        (("model=unet", "model.in_channels=3"), {}),
        (("model=unet", "data=kvasir", "data.in_channels=1", "model.in_channels=3"),
         {"data.in_channels": 3, "model.in_channels": 1}),
        # Inside a list of dictionaries; a key that no option has; one that is taken away.
        (("augmentation.transforms=[{_target_: a.B, p: 1}]", "augmentation=none"),
         {"augmentation.transforms": [], "augmentation.transforms.0._target_": None,
          "augmentation.transforms.0.p": None}),
        (("+trainer.limit_train_batches=2",), {"trainer.limit_train_batches": None}),
        (("~optimizer.weight_decay",), {"optimizer.weight_decay": 0.01}),
        (("+callbacks.stop._target_=a.B",), {"callbacks.stop._target_": None}),
        # What makes no other run is left out.
        (("seed=3", "runs_dir=x", "data.num_workers=2", "experiment=e", "compile=true"), {}),
        # A budget and a protocol are settings for the other options.
        (("budget=smoke",),
         {"data.image_size": 256, "trainer.max_epochs": 100, "trainer.limit_train_batches": None,
          "trainer.limit_val_batches": None}),
        (("data=folder", "data.root=/mine"), {"data.root": None}),
    ],
)  # fmt: skip
def test_deviations(words: tuple[str, ...], expected: dict[str, Any]) -> None:
    assert deviating("data=kvasir", *words) == expected


def test_a_protocol_chooses_options_and_sets_values() -> None:
    found = deviating("data=kvasir", "protocol=released")
    assert found == {
        "data.image_size": 256, "data.batch_size": 8, "trainer.max_epochs": 100, "trainer.precision": "auto",
    }  # fmt: skip
    assert HydraConfig.get().runtime.choices["optimizer"] == "adamw_convunext"


def test_options_are_composed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    composed: list[Any] = []
    loader = defaults.ConfigLoaderImpl
    monkeypatch.setattr(defaults, "ConfigLoaderImpl", lambda path: composed.append(path) or loader(path))
    defaults.default_values.cache_clear()
    for seed in range(3):
        deviating("model=unet", f"seed={seed}", f"optimizer.lr={seed}")
    assert len(composed) == 1
    deviating("model=convunext")
    assert len(composed) == 2
