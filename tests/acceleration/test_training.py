"""Training has its network accelerated, whoever wrote it."""

from __future__ import annotations

from pathlib import Path

import pytest

from medseg.acceleration.depthwise import DepthwiseConv2d
from medseg.data.module import build_datamodule
from medseg.training.build import build_network
from tests.helpers import TINY, compose_config


@pytest.mark.parametrize(
    "words", [("model=convunext", "model.base_channels=4"), ("model=smp", "model.encoder_name=tu-convnext_atto")]
)
def test_the_network_of_a_run_is_accelerated(words: tuple[str, ...], tmp_path: Path) -> None:
    tiny = [word for word in TINY if not word.startswith("model")]
    cfg = compose_config("train", *tiny, *words, f"data_dir={tmp_path}", "data.in_channels=3", "data.num_classes=2")
    network = build_network(cfg.model, build_datamodule(cfg.data))
    assert any(isinstance(module, DepthwiseConv2d) for module in network.modules())
