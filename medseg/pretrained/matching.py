"""Which tensor of a file belongs to which one of an encoder: by name, or by order and shape. All of them, or none."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor

from medseg.errors import UserError
from medseg.models.reference.released import as_text

COUNTER = "num_batches_tracked"
"""Last part of the name of what a batch norm counts."""

RGB = 3
"""Channels of the images that pretrained encoders are trained on."""


@dataclass(frozen=True)
class Match:
    """What fits.

    Args:
        names: name in the network -> in the file.
        how: the tensors were matched.
        unused: names in the file that the encoder has no use for.
    """

    names: Mapping[str, str]
    how: str
    unused: Sequence[str]


class Encoder:
    """The tensors of an encoder that are to be loaded.

    Args:
        tensors: by their names in the network, in its order.
        in_channels: of the images that it takes.
    """

    def __init__(self, tensors: Mapping[str, Tensor], in_channels: int) -> None:
        self.tensors = tensors
        self.in_channels = in_channels

    def optional(self, name: str) -> bool:
        """Tell whether a tensor need not be in a file: whole numbers, which count or number something."""
        return not self.tensors[name].is_floating_point()

    def takes(self, name: str, value: Tensor) -> bool:
        """Tell whether a tensor fits: its shape is the same, but for ones at its end.

        Of a convolution that sees the image, of which an encoder of several branches has some, it may be one of RGB or
        of grey images, see `medseg.pretrained.load.with_channels`.
        """
        own = self.tensors[name]
        if self.optional(name):  # in a file of half precision, counters may be floats
            return own.shape == value.shape
        if not value.is_floating_point():
            return False
        if own.ndim == value.ndim == 4 and own.shape[1] == self.in_channels and value.shape[1] in (1, RGB):
            return (own.shape[0], *own.shape[2:]) == (value.shape[0], *value.shape[2:])
        return without_ones(own.shape) == without_ones(value.shape)


def without_ones(shape: Sequence[int]) -> tuple[int, ...]:
    """Return a shape without ones at its end: a 1 x 1 convolution has the weights of a linear layer."""
    sizes = list(shape)
    while sizes and sizes[-1] == 1:
        sizes.pop()
    return tuple(sizes)


def match_by_name(encoder: Encoder, state: Mapping[str, Tensor], how: str = "by name") -> Match | str:
    """Match where each tensor of the encoder has its name in the file, below one prefix.

    The prefix is whatever both have before the names: `model.` or `encoder.` in one, `backbone.` or nothing in the
    other. A dot and an underscore are the same, since timm writes `stages_0` for a part of `stages.0`.

    Returns what differs first where they do not match; an empty text where hardly any name fits.
    Raises `UserError` where they match below several prefixes, and for the file of a deeper network.
    """
    ours = canonical(encoder.tensors)
    theirs = canonical(state)
    found: dict[tuple[tuple[str, str], ...], str] = {}
    closest, fewest = "", len(ours) / 2
    for own_prefix in common_prefixes(list(ours)):
        names = {key.removeprefix(own_prefix): name for key, name in ours.items()}
        required = [key for key, name in names.items() if not encoder.optional(name)]
        # Where the first name is not in the file, the prefix is another one.
        for prefix in dict.fromkeys(key.removesuffix(required[0]) for key in theirs if ends(key, required[0])):
            pairs = {name: theirs[prefix + key] for key, name in names.items() if prefix + key in theirs}
            missing = [names[key] for key in required if prefix + key not in theirs]
            wrong = [name for name, other in pairs.items() if not encoder.takes(name, state[other])]
            if not missing and not wrong:
                found.setdefault(tuple(pairs.items()), prefix)
            elif len(missing) + len(wrong) < fewest:
                fewest = len(missing) + len(wrong)
                # A name that is missing tells more than a shape that differs.
                name = (missing or wrong)[0]
                closest = difference(encoder, name, state.get(pairs.get(name, "")), pairs.get(name, ""))
    if len(found) > 1:
        prefixes = " and ".join(repr(prefix) for prefix in list(found.values())[:3])
        raise UserError(f"the encoder is in it {len(found)} times, below {prefixes}; keep one of them in the file")
    if not found:
        return closest
    pairs = dict(next(iter(found)))
    used = set(pairs.values())
    unused = [name for name in state if name not in used]
    check_depth(list(pairs.values()), [name for name in unused if state[name].is_floating_point()])
    return Match(pairs, how, unused)


def check_depth(used: Sequence[str], unused: Iterable[str]) -> None:
    """Raise `UserError` for the file of a deeper network: it has more blocks in the midst of those of the encoder.

    ResNet-34 has all names of ResNet-18. Blocks after the last one are those that an encoder of fewer stages lacks.

    Args:
        used: names in the file, in the order of the encoder.
        unused: the others.
    """
    last = {parent: place for place, name in enumerate(used) for parent in parents(name)}
    for name in unused:
        for parent in parents(name):
            around, _, number = parent[:-1].rpartition(".")
            if number.isdigit() and parent not in last and last.get(f"{around}.", len(used)) < len(used) - 1:
                raise UserError(f"it is of a deeper network: the encoder has no {parent[:-1]}")


def parents(name: str) -> list[str]:
    """Return the modules that a tensor is in by its name, from the outermost, each with a dot at its end."""
    parts = name.split(".")[:-1]
    return [".".join(parts[:count]) + "." for count in range(1, len(parts) + 1)]


def match_renamed(
    encoder: Encoder, state: Mapping[str, Tensor], rename: Callable[[str], str], how: str
) -> Match | None:
    """Match by the names that `rename` gives to the tensors of the encoder; None where they do not match."""
    back = {rename(name): name for name in encoder.tensors}
    renamed = {other: encoder.tensors[name] for other, name in back.items()}
    match = match_by_name(Encoder(renamed, encoder.in_channels), state, how)
    if not isinstance(match, Match):
        return None
    return Match({back[name]: other for name, other in match.names.items()}, how, match.unused)


def match_by_order(encoder: Encoder, state: Mapping[str, Tensor]) -> Match | str:
    """Match where the file has the tensors of the encoder in their order; what comes after them is not used.

    Each must have the shape of the encoder's, and the last part of its name (weight, bias, running_mean), and begin
    another module where that does. Whole numbers are left out. Two networks that pass all this and mean something else
    by the tensors cannot be told apart.

    Returns what differs first where they do not match.
    """
    ours = [name for name in encoder.tensors if not encoder.optional(name)]
    theirs = [name for name, value in state.items() if value.is_floating_point() and leaf(name) != COUNTER]
    begins, begin_theirs = beginnings(ours), beginnings(theirs)
    for place, name in enumerate(ours):
        if place == len(theirs):
            return f"it ends after {place} tensors of {len(ours)}; {difference(encoder, name, None)}"
        other = theirs[place]
        alike = leaf(name) == leaf(other) and begins[place] == begin_theirs[place]
        if not alike or not encoder.takes(name, state[other]):
            return f"tensor {place + 1}, {difference(encoder, name, state[other], other)}"
    names = dict(zip(ours, theirs, strict=False))
    used = set(names.values())
    return Match(
        names,
        "by order and shape",
        [name for name, value in state.items() if value.is_floating_point() and name not in used],
    )


def difference(encoder: Encoder, name: str, value: Tensor | None, other: str = "") -> str:
    """Describe what a file has instead of a tensor of the encoder."""
    own = f"{name} is {as_text(tuple(encoder.tensors[name].shape))} here"
    return f"{own} and not there" if value is None else f"{own}, {other} is {as_text(tuple(value.shape))} there"


def canonical(names: Iterable[str]) -> dict[str, str]:
    """Return names by what they are with dots for underscores; as they are, where that makes two of them alike."""
    names = list(names)
    dotted = {name.replace("_", "."): name for name in names}
    return dotted if len(dotted) == len(names) else {name: name for name in names}


def common_prefixes(names: Sequence[str]) -> list[str]:
    """Return all prefixes, each ending in a dot, that all names have; the empty one first."""
    return ["", *(prefix for prefix in parents(names[0]) if all(name.startswith(prefix) for name in names))]


def ends(name: str, end: str) -> bool:
    """Tell whether a name ends in another one, after a dot or as a whole."""
    return name == end or name.endswith(f".{end}")


def leaf(name: str) -> str:
    """Return the last part of a name."""
    return name.rpartition(".")[2]


def beginnings(names: Sequence[str]) -> list[bool]:
    """Tell of each name whether it begins another module than the one before it."""
    parents = [name.rpartition(".")[0] for name in names]
    return [True, *(one != other for one, other in pairwise(parents))]
