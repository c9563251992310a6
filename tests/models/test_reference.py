"""Importing released weights: what is read from the shapes, and what is refused."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from medseg.errors import UserError
from medseg.models import (
    AMSUnet,
    AttentionUNet,
    CMUNeXt,
    ConvUNeXt,
    MKUNet,
    ResUNet,
    TinyUNet,
    UNet,
    import_reference,
)
from medseg.models.reference import RELEASED
from tests.models.builds import NETWORKS, settings
from tests.models.test_golden import NAMES, load


def released(name: str, network: torch.nn.Module) -> dict[str, torch.Tensor]:
    """A state dict as the released code would save it: our weights under its names, 1x1 blocks as Linear layers."""
    state = {RELEASED[name].rename(key): value for key, value in network.state_dict().items()}
    linear = re.compile(r".*(pwconv\d|gate|linear\d)\.weight")
    return {key: value[:, :, 0, 0] if linear.fullmatch(key) else value for key, value in state.items()}


@pytest.mark.parametrize(
    ("name", "network"),
    [
        ("unet", UNet(in_channels=1, num_classes=5, base_channels=6)),
        ("unet", UNet(in_channels=4, num_classes=2, base_channels=3, upsampling="transposed")),
        ("convunext", ConvUNeXt(in_channels=1, num_classes=3, base_channels=5)),
        ("convunext", ConvUNeXt(base_channels=4, depths=(1, 2, 9, 1), kernel_size=3)),
        ("amsunet", AMSUnet(in_channels=1, num_classes=3, base_channels=5, strip_kernels=(7, 11, 21), local_kernel=5)),
        ("amsunet", AMSUnet(base_channels=4, skip="identity", undilated=False)),
        ("attention_unet", AttentionUNet(in_channels=1, num_classes=3, base_channels=3)),
        ("attention_unet", AttentionUNet(base_channels=4, skip="identity")),
        ("resunet", ResUNet(in_channels=1, num_classes=3, base_channels=3)),
        ("cmunext", CMUNeXt(in_channels=1, channels=(2, 3, 5, 4, 6), depths=(1, 2, 1, 3, 1), kernels=(3, 5, 7, 7, 9))),
        ("mkunet_s", MKUNet(num_classes=3, channels=(4, 6, 8, 10, 11), depths=(2, 1, 11, 1, 3), deep_supervision=True)),
        ("mkunet", MKUNet(in_channels=1, channels=(5, 4, 3, 2, 1), kernels=(3, 7, 5, 1), expansion=3, gate_kernel=1)),
        ("tinyunet", TinyUNet(in_channels=1, num_classes=3, channels=(16, 16, 32, 48))),
    ],
)
def test_arguments_are_read_from_the_shapes(name: str, network: torch.nn.Module) -> None:
    imported = import_reference(name, released(name, network))
    assert type(imported) is type(network)
    own = network.state_dict()
    assert imported.state_dict().keys() == own.keys()
    assert all(torch.equal(value, own[key]) for key, value in imported.state_dict().items())


@pytest.mark.parametrize("file", NAMES)
def test_names_are_those_of_the_released_code(golden: Path, file: str) -> None:
    state, _, _ = load(golden, file)
    own = released(NAMES[file], import_reference(NAMES[file], state))
    assert {key for key in own if not key.endswith("num_batches_tracked")} == set(state)
    assert all(tuple(own[key].shape) == value.shape for key, value in state.items())


def test_batch_counts_are_taken_when_they_are_there() -> None:
    state = released("unet", UNet(base_channels=2))
    state["in_conv.1.num_batches_tracked"] = torch.tensor(7)
    network = import_reference("unet", state)
    assert network.stem[1].num_batches_tracked == 7
    assert network.stem[4].num_batches_tracked == 0
    del state["in_conv.1.num_batches_tracked"]
    assert import_reference("unet", state).stem[1].num_batches_tracked == 0


def test_nothing_is_shared_with_the_given_state() -> None:
    state = released("unet", UNet(base_channels=2))
    network = import_reference("unet", state)
    before = state["in_conv.0.weight"].clone()
    with torch.no_grad():
        network.stem[0].weight.add_(1)
    assert torch.equal(state["in_conv.0.weight"], before)
    assert network.stem[0].weight.requires_grad


def test_misfits_are_named() -> None:
    state = released("convunext", ConvUNeXt(base_channels=4))

    def refusal(name: str, changed: dict[str, object]) -> str:
        with pytest.raises(UserError) as error:
            import_reference(name, changed)  # type: ignore[arg-type]
        assert "\n" not in str(error.value)
        return str(error.value)

    wrong_shape = refusal("convunext", state | {"down2.1.weight": torch.zeros(16, 8, 3, 3)})
    assert "down2.1.weight is 16x8x3x3 where 16x8x2x2 is expected" in wrong_shape
    missing = refusal("convunext", {key: value for key, value in state.items() if key != "up3.gate.bias"})
    assert "up3.gate.bias (24) is missing" in missing
    extra = refusal("convunext", state | {"up5.gate.bias": torch.zeros(3)})
    assert "up5.gate.bias (3) is not in it" in extra
    # The first three of many are told, with how many there are.
    many = refusal("convunext", {key: value for key, value in state.items() if not key.startswith("up")})
    assert "up1.norm.weight (32) is missing; up1.norm.bias (32) is missing" in many
    assert re.search(r"and \d+ more", many)
    # Another network altogether, an empty state, a whole checkpoint, an unknown name.
    assert "does not fit the released 'unet'" in refusal("unet", state)
    assert "in_conv.0.weight is missing" in refusal("unet", {"conv1.weight": torch.zeros(1)})
    assert "begins with nothing" in refusal("unet", {})
    assert "entry 'model' is a dict" in refusal("convunext", {"model": state})
    assert "choose one of unet, convunext" in refusal("resnet", state)
    assert "4 dimensions are expected" in refusal("unet", state | {"in_conv.0.weight": torch.zeros(3)})


def test_every_network_of_a_class_with_released_weights_is_known_by_its_yaml_name() -> None:
    importable = {settings(name)["_target_"] for name in RELEASED}
    assert {name for name in NETWORKS if settings(name)["_target_"] in importable} == set(RELEASED)
