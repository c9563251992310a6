"""Fit the weights of a file to a network that may have another number of classes or channels."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from medseg.trained.weights import first_difference

Varying = Mapping[str, frozenset[int]]
"""Name of a weight -> the dimensions of it that change with a number; none where the weight comes or goes with it."""

MakeOther = Callable[[str], Mapping[str, Tensor]]
"""Makes the state of the network with one more of `num_classes` or `in_channels`; empty where it cannot be built."""


@dataclass
class Match:
    """What becomes of each weight of a network.

    Attributes:
        loaded: name -> value, of the network's shape and type.
        anew: name -> the number that it depends on; empty for one that the file does not have, or in another shape.
        adapted: name -> what was done to fit the channels of the image.
        unused: names in the file that the network has no weight for.
        difference: the first one that the numbers of classes and channels do not explain; empty where there is none.
    """

    loaded: dict[str, Tensor] = field(default_factory=dict)
    anew: dict[str, str] = field(default_factory=dict)
    adapted: dict[str, str] = field(default_factory=dict)
    unused: list[str] = field(default_factory=list)
    difference: str = ""


def match(
    ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor], make_other: MakeOther, changed: Iterable[str] = ()
) -> Match:
    """Fit the weights of a file, `theirs`, to the state of a network, `ours`, by their names.

    A weight whose shape depends on the number of classes begins anew where it differs. The first convolutions take
    another number of channels as in timm, see `with_channels`; what else depends on that begins anew. Which weights
    these are is told by the shapes of the same network with other numbers, which is built only where something differs.

    Args:
        ours, theirs: states by name.
        make_other: makes the state of the network with another number.
        changed: those of `num_classes` and `in_channels` that are known to differ; what comes and goes with a number is
            no difference then. Otherwise it is seen by the shapes of what both have.
    """
    result = Match()
    if not first_difference(ours, theirs):
        result.loaded = {name: theirs[name].to(value.dtype) for name, value in ours.items()}
        return result
    others = {number: make_other(number) for number in ("num_classes", "in_channels")}
    varying = {number: changes(ours, other) for number, other in others.items()}
    of_image = convolutions_of_image(ours, others["in_channels"])
    both = [name for name in ours if name in theirs and ours[name].shape != theirs[name].shape]
    numbers = {*changed, *(n for n, of in varying.items() if any(depends(k, ours[k], theirs[k], of) for k in both))}
    rest_ours = {}
    for name, value in ours.items():
        other = theirs.get(name)
        number = next((n for n in numbers if depends(name, value, other, varying[n])), None)
        if other is not None and other.shape == value.shape and same_kind(other, value):
            result.loaded[name] = other.to(value.dtype)
        elif name in of_image and other is not None and (fitted := with_channels(other, value)) is not None:
            result.loaded[name] = fitted.to(value.dtype)
            result.adapted[name] = f"{other.shape[1]} -> {value.shape[1]}"
        elif number is not None:
            result.anew[name] = number
        elif other is None and name.endswith("num_batches_tracked"):
            result.loaded[name] = value  # older versions of PyTorch had none
        else:
            result.anew[name] = ""
            rest_ours[name] = value
    result.unused = [name for name in theirs if name not in ours]
    explained = {name for number in numbers for name in varying[number]}
    rest_theirs = {
        name: value for name, value in theirs.items() if name in rest_ours or name not in {*ours, *explained}
    }
    result.difference = first_difference(rest_ours, rest_theirs)
    return result


def same_kind(one: Tensor, other: Tensor) -> bool:
    """Tell whether two tensors are both of floats, or both not."""
    return one.is_floating_point() == other.is_floating_point()


def changes(ours: Mapping[str, Tensor], others: Mapping[str, Tensor]) -> Varying:
    """Return the weights that differ between two networks, and the dimensions in which they do."""
    result = {}
    for name in {**ours, **others} if others else ():
        if name not in ours or name not in others or ours[name].dim() != others[name].dim():
            result[name] = frozenset[int]()
        elif ours[name].shape != others[name].shape:
            result[name] = differing(ours[name], others[name])
    return result


def differing(one: Tensor, other: Tensor) -> frozenset[int]:
    """Return the dimensions in which the shapes of two tensors differ."""
    return frozenset(d for d, sizes in enumerate(zip(one.shape, other.shape, strict=True)) if len(set(sizes)) > 1)


def convolutions_of_image(ours: Mapping[str, Tensor], wider: Mapping[str, Tensor]) -> list[str]:
    """Return the weights of the convolutions that see the image, `wider` being the network with one more channel.

    They have one more input there; those with the fewest tell the channels, as some may see features beside the image.
    The widths of hidden layers may depend on the channels as well, and grow by more. A layer may also be there for some
    numbers of channels only, such as a shortcut of as many channels as its block has.
    """
    inputs = {name: value.shape[1] for name, value in ours.items() if value.dim() == 4}
    grown = {name for name in inputs if name in wider and wider[name].shape[1:2] == (inputs[name] + 1,)}
    channels = min((inputs[name] for name in grown), default=None)
    return [name for name in inputs if inputs[name] == channels and (name in grown or name not in wider)]


def depends(name: str, ours: Tensor, theirs: Tensor | None, varying: Varying) -> bool:
    """Tell whether a difference in shape is one that a number makes."""
    dimensions = varying.get(name)
    if dimensions is None:
        return False
    if not dimensions or theirs is None:
        return True
    return theirs.dim() == ours.dim() and differing(ours, theirs) <= dimensions


def with_channels(weight: Tensor, ours: Tensor) -> Tensor | None:
    """Make the weight of a convolution one for another number of channels, as timm does; None where it is no such one.

    For one channel, the weights of all are summed: a grey image has the outputs that it has as equal channels. For more
    or fewer, they are taken in turn, and scaled by the ratio of the numbers.
    """
    if weight.dim() != 4 or ours.dim() != 4 or differing(weight, ours) != {1}:
        return None
    before, now = weight.shape[1], ours.shape[1]
    if now == 1:
        return weight.sum(1, keepdim=True)
    return weight[:, torch.arange(now) % before] * (before / now)
