"""The options that medseg reads itself do not reach a class, unless it takes them by name."""

from __future__ import annotations

from typing import Any

import torch
from omegaconf import OmegaConf

from medseg.config.instantiate import instantiate
from medseg.config.reserved import reserved_in, without_reserved
from medseg.config.targets import reserved_options
from medseg.models import UNet


def takes_by_name(width: int, encoder_weights: str | None = None) -> dict[str, Any]:
    return {"width": width, "encoder_weights": encoder_weights}


def takes_anything(**options: Any) -> dict[str, Any]:
    return options


NODE = {"width": 2, "encoder_weights": "imagenet", "freeze_encoder": 3}


def test_what_a_class_names_is_its_own() -> None:
    assert reserved_in(NODE, takes_by_name) == {"freeze_encoder": 3}
    assert without_reserved(NODE, takes_by_name) == {"width": 2, "encoder_weights": "imagenet"}


def test_a_class_that_takes_anything_does_not_get_them() -> None:
    assert reserved_in(NODE, takes_anything) == {"encoder_weights": "imagenet", "freeze_encoder": 3}
    assert reserved_in(NODE, UNet) == {"encoder_weights": "imagenet", "freeze_encoder": 3}


def test_they_are_left_out_when_a_node_is_built() -> None:
    node = OmegaConf.create({"_target_": f"{__name__}.takes_by_name", **NODE})
    assert instantiate(node) == {"width": 2, "encoder_weights": "imagenet"}
    assert reserved_options("model", node) == {"freeze_encoder": 3}
    assert "freeze_encoder" in node, "the configuration itself stays"
    optimizer = OmegaConf.create(
        {"_target_": "torch.optim.SGD", "_partial_": True, "lr": 0.5, "encoder_lr_factor": 0.1}
    )
    made = instantiate(optimizer)([torch.nn.Parameter(torch.zeros(1))])
    assert made.param_groups[0]["lr"] == 0.5
