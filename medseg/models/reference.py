"""Weights of the authors' released code, loaded into our networks.

The released networks and ours compute the same function under other names. For each network this file says which
released name each of our parameters has, and how to read the constructor's arguments from the shapes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor, nn

from medseg.errors import UserError
from medseg.models.convunext import ConvUNeXt
from medseg.models.unet import UNet

Shapes = dict[str, tuple[int, ...]]

Renames = dict[str, str | Callable[[re.Match[str]], str]]
"""Pattern of the beginning of our parameter's name -> what replaces it in the released name; the first one wins."""


def import_reference(name: str, state: Mapping[str, Tensor | np.ndarray]) -> nn.Module:
    """Build our network `name` with the widths, depths and classes of `state`, and load `state` into it.

    Args:
        name: `unet` or `convunext`.
        state: a state dict under the released code's names, of tensors or arrays. `num_batches_tracked` may be
            missing (a fresh network's 0 is kept).

    Returns:
        the network, in float32, on the CPU and in training mode, like a newly built one.

    Raises `UserError` for an unknown name, and for a state that does not fit: it tells the first differing names and
    shapes, in the released code's names.
    """
    if name not in _NETWORKS:
        raise UserError(f"no released weights are known for '{name}': choose one of {', '.join(_NETWORKS)}")
    build, renames = _NETWORKS[name]
    for key, value in state.items():
        if not isinstance(value, Tensor | np.ndarray):
            raise UserError(
                f"this is no state dict of '{name}': entry '{key}' is a {type(value).__name__}, not a tensor"
                " (if it is a whole checkpoint, pass the state dict inside it)"
            )
    network = build({key: tuple(value.shape) for key, value in state.items()})
    own = network.state_dict()
    released = {_rename(key, renames): key for key in own}
    _check_fit(name, {key: tuple(own[released[key]].shape) for key in released}, state)
    for key, value in state.items():
        target = own[released[key]]
        # torch.tensor copies, so that neither a read-only array nor the caller's tensor is shared.
        source = value.detach() if isinstance(value, Tensor) else torch.tensor(value)
        with torch.no_grad():
            target.copy_(source.reshape(target.shape))
    return network


def _check_fit(name: str, expected: Shapes, state: Mapping[str, Tensor | np.ndarray]) -> None:
    """Raise `UserError` with the first differences between the expected shapes and those of `state`."""
    differences = []
    for key, shape in expected.items():
        if key in state:
            given = tuple(state[key].shape)
            # A Linear layer and a 1x1 convolution hold the same weights: 2 dimensions, or 4 with two ones.
            linear_as_conv = len(given) == 2 and (*given, 1, 1) == shape
            if given != shape and not linear_as_conv:
                differences.append(f"{key} is {_text(given)} where {_text(shape)} is expected")
        elif not key.endswith("num_batches_tracked"):
            differences.append(f"{key} ({_text(shape)}) is missing")
    differences += [f"{key} ({_text(tuple(state[key].shape))}) is not in it" for key in state if key not in expected]
    if differences:
        more = f"; and {len(differences) - 3} more" if len(differences) > 3 else ""
        raise UserError(f"this state does not fit the released '{name}': {'; '.join(differences[:3])}{more}")


def _text(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "a scalar"


def _rename(key: str, renames: Renames) -> str:
    """Return the released name of our parameter `key`."""
    for pattern, replacement in renames.items():
        renamed, count = re.subn(f"^{pattern}", replacement, key)
        if count:
            return renamed
    raise KeyError(key)


def _shape(name: str, shapes: Shapes, key: str, dimensions: int) -> tuple[int, ...]:
    """Shape of the entry `key`, from which the network's arguments are read."""
    if key not in shapes:
        present = ", ".join(list(shapes)[:3]) or "nothing"
        raise UserError(f"this state does not fit the released '{name}': {key} is missing (it begins with {present})")
    if len(shapes[key]) != dimensions:
        raise UserError(
            f"this state does not fit the released '{name}': {key} is {_text(shapes[key])} where {dimensions}"
            " dimensions are expected"
        )
    return shapes[key]


# Level k of ours is level k + 1 of the released networks: encoder.0 is down1, decoder.0 is up1.
def _level(prefix: str, suffix: str) -> Callable[[re.Match[str]], str]:
    return lambda match: f"{prefix}{int(match[1]) + 1}{suffix}"


def _build_unet(shapes: Shapes) -> nn.Module:
    base, in_channels = _shape("unet", shapes, "in_conv.0.weight", 4)[:2]
    num_classes = _shape("unet", shapes, "out_conv.0.weight", 4)[0]
    bilinear = "up1.up.weight" not in shapes
    return UNet(in_channels=in_channels, num_classes=num_classes, base_channels=base, bilinear=bilinear)


_UNET: Renames = {
    r"stem\.": "in_conv.",
    r"encoder\.(\d)\.": _level("down", "."),
    r"decoder\.(\d)\.up\.": _level("up", ".up."),
    r"decoder\.(\d)\.fuse\.": _level("up", ".conv."),
    r"head\.": "out_conv.0.",
}


def _build_convunext(shapes: Shapes) -> nn.Module:
    base, in_channels = _shape("convunext", shapes, "in_conv.0.weight", 4)[:2]
    num_classes = _shape("convunext", shapes, "out_conv.0.weight", 4)[0]
    kernel_size = _shape("convunext", shapes, "in_conv.3.dwconv.weight", 4)[-1]
    depths = [sum(bool(re.fullmatch(rf"down{k}\.\d+\.dwconv\.weight", key)) for key in shapes) for k in range(1, 5)]
    return ConvUNeXt(
        in_channels=in_channels,
        num_classes=num_classes,
        base_channels=base,
        kernel_size=kernel_size,
        depths=depths,
    )


def _convunext_block(match: re.Match[str]) -> str:
    released = {"depthwise": "dwconv", "expand": "pwconv1", "project": "pwconv2"}
    place = match["place"]
    if place.startswith("stem"):
        prefix = place.replace("stem", "in_conv")
    elif place.startswith("encoder"):
        _, level, index = place.split(".")
        prefix = f"down{int(level) + 1}.{index}"
    else:
        _, level, _, index = place.split(".")
        prefix = f"up{int(level) + 1}.conv.{int(index) - 1}"
    return f"{prefix}.{released.get(match['part'], match['part'])}."


_CONVUNEXT: Renames = {
    r"(?P<place>.*)\.(?P<part>depthwise|norm1|expand|project|norm2)\.": _convunext_block,
    r"stem\.": "in_conv.",
    r"encoder\.(\d)\.": _level("down", "."),
    r"decoder\.(\d)\.up\.0\.": _level("up", ".norm."),
    r"decoder\.(\d)\.skip\.gate\.": _level("up", ".gate."),
    r"decoder\.(\d)\.skip\.keep\.": _level("up", ".linear1."),
    r"decoder\.(\d)\.skip\.mix\.": _level("up", ".linear2."),
    r"decoder\.(\d)\.fuse\.0\.": _level("up", ".conv1x1."),
    r"head\.": "out_conv.0.",
}

_NETWORKS: dict[str, tuple[Callable[[Shapes], nn.Module], Renames]] = {
    "unet": (_build_unet, _UNET),
    "convunext": (_build_convunext, _CONVUNEXT),
}
