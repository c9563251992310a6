"""Which parts of a network are its encoder."""

from __future__ import annotations

import pytest
from torch import nn

from medseg.errors import ConfigError
from medseg.models.encoder import encoder_of
from tests.models.builds import NETWORKS, build
from tests.networks import OneConv

WITHOUT = ("sliding_window", "custom")


@pytest.mark.parametrize("name", [name for name in NETWORKS if name not in WITHOUT])
def test_the_encoder_alone_sees_the_image(name: str) -> None:
    """What is not of the encoder has no layer that changes with the channels of the image."""
    three, four = (build(name, f"model.in_channels={channels}") for channels in (3, 4))
    first = {key for key, value in four.state_dict().items() if value.shape != three.state_dict()[key].shape}
    prefixes = tuple(f"{part}." for part in encoder_of(three))
    assert first
    assert all(key.startswith(prefixes) for key in first)


@pytest.mark.parametrize("name", [name for name in NETWORKS if name not in WITHOUT])
def test_the_encoder_makes_no_logits(name: str) -> None:
    two, five = (build(name, f"model.num_classes={classes}") for classes in (2, 5))
    head = {key for key, value in five.state_dict().items() if value.shape != two.state_dict()[key].shape}
    prefixes = tuple(f"{part}." for part in encoder_of(two))
    assert head
    assert not any(key.startswith(prefixes) for key in head)


def test_a_network_of_ones_own_has_its_encoder_in_that_attribute_or_names_its_parts() -> None:
    class Named(nn.Module):
        encoder_parts = ("stem", "stages.1")

        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Conv2d(3, 4, 1)
            self.stages = nn.ModuleList([nn.Identity(), nn.Conv2d(4, 4, 1)])

    network = Named()
    parts = encoder_of(network)
    assert list(parts) == ["stem", "stages.1"]
    assert parts["stages.1"] is network.stages[1]
    plain = nn.Module()
    plain.encoder = nn.Linear(1, 1)
    assert list(encoder_of(plain)) == ["encoder"]
    with pytest.raises(ConfigError, match="OneConv has no encoder"):
        encoder_of(OneConv(in_channels=3, num_classes=2))
